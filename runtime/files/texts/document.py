"""A document as read: its text, what is known of it, and how text is put together."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.domain.seeds.chunking import NO_OUTLINE, Heading, Outline

MAX_TEXT_CHARACTERS: Final = 32 * 1024 * 1024
"""Of one document: ten thousand pages have fewer."""
MAX_TITLE_CHARACTERS: Final = 200
"""Of a document, and of a heading."""

Alive = Callable[[], None]
"""Called every now and then while a document is read, so that nobody takes it for hanging."""

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class UnreadableError(Exception):
    """Why a document is not read, in words for its owner and without any of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document. `pages` is where each page begins in the text, for kinds that have pages."""

    text: str
    title: str | None = None
    outline: Outline = NO_OUTLINE
    pages: Sequence[int] = ()


def one_line(words: str) -> str:
    """A title: one line, not too long."""
    return " ".join(words[: 4 * MAX_TITLE_CHARACTERS].split())[:MAX_TITLE_CHARACTERS].rstrip()


def clean(text: str) -> str:
    """`text` without characters that no JSON and no prompt can hold."""
    text = text.replace("\0", "")
    if _LONE_SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def check_length(characters: int) -> None:
    """Raises `UnreadableError` above the limit."""
    if characters > MAX_TEXT_CHARACTERS:
        raise UnreadableError(f"more than {MAX_TEXT_CHARACTERS} characters of text: split it")


class TextBuilder:
    """Puts a text together from blocks, with empty lines between them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._gap = 0
        self._headings: list[Heading] = []
        self._whole: list[tuple[int, int]] = []
        self._heading: tuple[int, int, int] | None = None
        self._listing = 0

    @property
    def at_line_start(self) -> bool:
        """Whether what is written next begins a line."""
        return self._gap > 0 or self._size == 0

    def gap(self, lines: int) -> None:
        """End the line; two for an empty line behind it. Takes effect when text follows."""
        if self._size:
            self._gap = max(self._gap, lines)

    def rejoin(self) -> None:
        """Take a gap back: what follows stands on the same line, as the next cell of a row."""
        self._gap = 0

    def write(self, text: str) -> None:
        """Append text that is not empty. Raises `UnreadableError` when it becomes too much."""
        if self._gap:
            text, self._gap = "\n" * self._gap + text, 0
        self._parts.append(text)
        self._size += len(text)
        check_length(self._size)

    def begin_heading(self, level: int) -> None:
        """What is written from now on is a heading."""
        self.end_heading()
        self.gap(2)
        self._heading = (self._size + self._gap, len(self._parts), level)

    def end_heading(self) -> None:
        """It ends, if one has begun; an empty one is none."""
        if self._heading is None:
            return
        at, part, level = self._heading
        self._heading = None
        title = one_line("".join(self._parts[part : part + MAX_TITLE_CHARACTERS]))
        if title:
            self._headings.append(Heading(at=at, end=self._size, level=level, title=title))
        self.gap(2)

    def begin_listing(self) -> None:
        """What is written from now on is better not cut."""
        self.gap(2)
        self._listing = self._size + self._gap

    def end_listing(self) -> None:
        """The listing ends."""
        if self._size > self._listing:
            self._whole.append((self._listing, self._size))
        self.gap(2)

    def document(self, title: str | None) -> Document:
        """What was written. Without a title the first heading is one."""
        self.end_heading()
        headings = tuple(self._headings)
        if not title and headings:
            title = headings[0].title
        return Document(
            text=clean_whole("".join(self._parts)),
            title=title,
            outline=Outline(headings=headings, whole=tuple(self._whole)),
        )


def clean_whole(text: str) -> str:
    """A text whose places are known: what can't stay in it is replaced, and nothing moves."""
    return _LONE_SURROGATE.sub("\ufffd", text.replace("\0", "\ufffd"))

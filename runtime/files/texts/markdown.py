"""Markdown: the text as written, with headings and listings found by the rules of CommonMark."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from runtime.domain.seeds.chunking import Heading, Outline
from runtime.files.texts.document import Alive, Document, one_line

MAX_FRONT_MATTER_CHARACTERS: Final = 64 * 1024

_FENCE: Final = re.compile(r"[ ]{0,3}(`{3,}(?=[^`]*$)|~{3,})")
_ATX: Final = re.compile(r"[ ]{0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING_MARKS: Final = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE: Final = re.compile(r"[ ]{0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH: Final = re.compile(
    r"[ ]{0,3}(?:>|[-+*](?:[ \t]|$)|[0-9]{1,9}[.)](?:[ \t]|$))| {4}|\t"
)
"""Begins a quotation, an item of a list, or code."""
_FRONT_MATTER: Final = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(?=[\w\"'][^:=\n]*[:=])")
"""It begins with a name and its value: a line of dashes may also end a section."""
_FRONT_TITLE: Final = re.compile(r"^title[ \t]*[:=][ \t]*(.*)$", re.MULTILINE)
_QUOTES: Final = "\"'"
_LONGEST_HEADING: Final = 1000
"""Characters of a line, beyond which it is a paragraph."""


class _Line(NamedTuple):
    at: int
    end: int
    text: str


def read_markdown(text: str, alive: Alive) -> Document:
    """A Markdown file. Front matter gives a title and is no part of the text."""
    title, begin = _front_matter(text)
    text = text[begin:]
    finder = _Finder()
    for line in _lines(text):
        finder.see(line)
    alive()
    headings = tuple(finder.headings)
    if not title and headings:
        title = next((each.title for each in headings if each.title), None)
    whole = tuple(finder.ended(len(text)))
    return Document(text=text, title=title, outline=Outline(headings=headings, whole=whole))


def _front_matter(text: str) -> tuple[str | None, int]:
    """The title that it gives, and where the text begins."""
    opening = _FRONT_MATTER.match(text)
    if opening is None:
        return None, 0
    closing = re.compile(rf"^(?:{re.escape(opening[1])}|\.\.\.)[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    found = closing.search(text, opening.end(), opening.end() + MAX_FRONT_MATTER_CHARACTERS)
    if found is None:
        return None, 0
    title = _FRONT_TITLE.search(text, opening.end(), found.start())
    words = one_line(title[1]) if title else ""
    if len(words) > 1 and words[0] in _QUOTES and words[-1] == words[0]:
        words = words[1:-1].strip()
    return words or None, found.end()


def _lines(text: str) -> Iterator[_Line]:
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield _Line(at, end, text[at : min(end, at + _LONGEST_HEADING)].removesuffix("\r"))
        at = end + 1


class _Finder:
    """Headings and fenced listings, line by line."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._whole: list[tuple[int, int]] = []
        self._fence = ""
        self._fence_at = 0
        self._paragraph: _Line | None = None

    def ended(self, end: int) -> list[tuple[int, int]]:
        """The listings; one that nobody closed goes to the end."""
        return [*self._whole, (self._fence_at, end)] if self._fence else self._whole

    def see(self, line: _Line) -> None:
        """The next line."""
        if self._fence:
            rest = line.text.strip()
            if rest.startswith(self._fence) and not rest.strip(self._fence[0]):
                self._whole.append((self._fence_at, line.end))
                self._fence = ""
            return
        if (fence := _FENCE.match(line.text)) is not None:
            self._fence, self._fence_at = fence[1], line.at
            self._paragraph = None
        elif (atx := _ATX.match(line.text)) is not None:
            words = _CLOSING_MARKS.sub("", (atx[2] or "").rstrip())
            self._add(line.at, line.end, len(atx[1]), words)
        elif self._paragraph is not None and (under := _UNDERLINE.match(line.text)) is not None:
            level = 1 if under[1][0] == "=" else 2
            self._add(self._paragraph.at, line.end, level, self._paragraph.text)
        elif not line.text.strip():
            self._paragraph = None
        elif self._paragraph is None:
            quoted = _NO_PARAGRAPH.match(line.text) is not None
            # What goes on from a quotation or a list is no heading either.
            self._paragraph = _Line(-1, -1, "") if quoted else line

    def _add(self, at: int, end: int, level: int, words: str) -> None:
        self._paragraph = None
        if at >= 0:
            title = one_line(words)
            self.headings.append(Heading(at=at, end=end, level=level, title=title))

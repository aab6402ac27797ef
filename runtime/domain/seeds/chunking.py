"""Cuts a document into chunks: pieces of its text that each fit a number of tokens.

    text ──▶ cut ──▶ the best border within reach ──▶ cut ──▶ …

The best border is, in this order: the highest heading, the last paragraph, the last sentence or
line, the last word; inside a word only if the word alone is too long. All chunks without overlap
are the text, character by character.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.seeds.clusters import may_cut
from runtime.domain.texts import (
    CHARACTERS_PER_TOKEN,
    WORD,
    sentence_ends,
    word_pattern,
    word_tokens,
)

MIN_TOKENS: Final = 16
MAX_TOKENS: Final = 100_000
MAX_CHUNK_CHARACTERS: Final = 640 * 1024
"""Longest chunk: space costs no token, and a seed has to stay below the largest row as JSON."""

_Pattern = re.Pattern[str]

_LEAST_SHARE: Final = 4
"""A paragraph or sentence that ends in the first quarter of what fits is not cut there."""
_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*\n(?:[^\S\n]*\n)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunking:
    """How documents become seeds: chunks of at most `tokens`, each beginning with the last words
    of the one before (`overlap`, in tokens). Without `tokens`, one seed a file.

    Raises `InputError`.
    """

    tokens: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.tokens is not None and not MIN_TOKENS <= self.tokens <= MAX_TOKENS:
            raise InputError(
                f"--chunk {self.tokens}: use a number from {MIN_TOKENS} to {MAX_TOKENS}"
            )
        if self.tokens is None and self.overlap:
            raise InputError("--overlap is of chunks: use it with --chunk")
        if not 0 <= self.overlap < (self.tokens or 1):
            raise InputError(f"--overlap {self.overlap}: use a number below that of --chunk, or 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """A heading of a document: where its lines begin and end, its level (1 is the highest), its
    words.
    """

    at: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What is known of a text: its headings in order, and parts (start, end) that are better not
    cut at empty lines, such as listings.
    """

    headings: Sequence[Heading] = ()
    whole: Sequence[tuple[int, int]] = ()

    def is_joined(self, text: str, number: int) -> bool:
        """Whether there is no text between a heading and the one before."""
        before, heading = self.headings[number - 1], self.headings[number]
        return not text[before.end : heading.at].strip()


NO_OUTLINE: Final = Outline()


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One chunk: `text[start:end]`. What stands before `fresh` was in the chunk before, too."""

    start: int
    fresh: int
    end: int


def chunk_spans(text: str, outline: Outline, chunking: Chunking) -> Iterator[Span]:
    """The chunks of a text, in order."""
    if chunking.tokens is None:
        yield Span(start=0, fresh=0, end=len(text))
        return
    borders = _Borders(text, outline)
    # A word that doesn't fit alone is not looked at to its end again and again.
    words = word_pattern(str(chunking.tokens * CHARACTERS_PER_TOKEN + 1))
    start = fresh = 0
    while fresh < len(text):
        end = _end_of_chunk(text, words, borders, start, fresh, chunking.tokens)
        yield Span(start=start, fresh=fresh, end=end)
        start, fresh = _overlapping(text, words, start, end, chunking.overlap), end


class HeadingPaths:
    """The headings above each chunk of a text."""

    def __init__(self, text: str, outline: Outline) -> None:
        self._text = text
        self._outline = outline
        self._places = [each.at for each in outline.headings]
        self._parents: list[int] = []
        above: list[int] = []
        for number, heading in enumerate(outline.headings):
            while above and outline.headings[above[-1]].level >= heading.level:
                above.pop()
            self._parents.append(above[-1] if above else -1)
            above.append(number)

    def above(self, span: Span) -> list[str]:
        """The titles over the first new word of a chunk, the highest first, with those of headings
        that it begins with.
        """
        word = WORD.search(self._text, span.fresh, span.end)
        number = bisect_right(self._places, word.start() if word else span.fresh) - 1
        while (
            0 <= number < len(self._places) - 1
            and self._places[number + 1] < span.end
            and self._outline.is_joined(self._text, number + 1)
        ):
            number += 1
        path: list[str] = []
        while number >= 0:
            path.append(self._outline.headings[number].title)
            number = self._parents[number]
        return [title for title in reversed(path) if title]


class _Borders:
    """Headings and paragraphs of a text, found by place."""

    def __init__(self, text: str, outline: Outline) -> None:
        self._text = text
        # A heading right behind another one stays with it: a title alone says nothing.
        headings = [
            each
            for number, each in enumerate(outline.headings)
            if number == 0 or not outline.is_joined(text, number)
        ]
        self._outline = outline
        self._lines = [each.at for each in outline.headings]
        self._headings = [each.at for each in headings]
        self._levels = [each.level for each in headings]
        self._whole = [start for start, _ in outline.whole]
        self._whole_ends = [end for _, end in outline.whole]

    def heading(self, after: int, end: int) -> int | None:
        """The last one of the highest level."""
        first, last = bisect_right(self._headings, after), bisect_right(self._headings, end)
        found = range(first, last)
        if not found:
            return None
        return self._headings[min(found, key=lambda each: (self._levels[each], -each))]

    def paragraph(self, after: int, end: int) -> int | None:
        """The last one that begins behind `after` and not behind `end`."""
        last = None
        for found in _PARAGRAPH_END.finditer(self._text, after, end):
            at = found.end()
            if not self._inside(at) and not self._under_heading(at):
                last = at
        return last

    def sentence(self, after: int, end: int) -> int | None:
        """The same of sentences, and of lines."""
        last = None
        for at in sentence_ends(self._text, after, end):
            # The stop of a sentence may stand right before `after`.
            if at > after and may_cut(self._text, at) and not self._under_heading(at):
                last = at
        return last

    def _inside(self, at: int) -> bool:
        number = bisect_left(self._whole, at) - 1
        return number >= 0 and at < self._whole_ends[number]

    def _under_heading(self, at: int) -> bool:
        """Whether only a heading would be cut off from what follows it."""
        number = bisect_left(self._lines, at) - 1
        return number >= 0 and not self._text[self._outline.headings[number].end : at].strip()


def _end_of_chunk(
    text: str, words: _Pattern, borders: _Borders, start: int, fresh: int, tokens: int
) -> int:
    end, longest = _reach(text, words, start, tokens)
    if end == len(text):
        return end
    if end <= fresh:
        return _inside_word(text, fresh, longest)
    word = WORD.search(text, fresh, end)
    begun = word.start() if word else fresh  # what ends before has no words
    heading = borders.heading(begun, end)
    if heading is not None:
        return heading
    least = max(fresh + (end - fresh) // _LEAST_SHARE, begun)
    border = borders.paragraph(least, end) or borders.sentence(least, end)
    return border or _inside_word(text, fresh, end)


def _reach(text: str, words: _Pattern, start: int, tokens: int) -> tuple[int, int]:
    """Where the first word begins that doesn't fit, and how far it could be cut and fit."""
    stop = min(start + MAX_CHUNK_CHARACTERS, len(text))
    used, word = 0, start
    for word, cost in _words(text, words, start, stop):
        if used + cost > tokens:
            return word, word + (tokens - used) * CHARACTERS_PER_TOKEN
        used += cost
    if stop < len(text) and not text[stop].isspace() and not text[stop - 1].isspace():
        return word, stop
    return stop, stop


def _inside_word(text: str, after: int, end: int) -> int:
    """`end`, or the last place before it where no character is torn; `end` where there is none."""
    at = end
    while at > after + 1 and not may_cut(text, at):
        at -= 1
    return at if may_cut(text, at) else end


def _overlapping(text: str, words: _Pattern, start: int, end: int, overlap: int) -> int:
    """Where the chunk begins that follows `text[start:end]`: at a word, at most so many tokens
    before its end, and behind its beginning.
    """
    begin = end
    if not overlap:
        return begin
    left = overlap
    for at, cost in reversed(list(_words(text, words, start, end))):
        left -= cost
        if left < 0 or at == start:
            break
        if may_cut(text, at):
            begin = at
    return begin


def _words(text: str, words: _Pattern, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where each word begins, and its tokens."""
    for word in words.finditer(text, start, end):
        yield word.start(), word_tokens(word.end() - word.start())

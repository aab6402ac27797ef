"""Counters of bounded size: what a million records look like, in memory that doesn't grow with
them. Each says how exact it is. `document` is all that one has counted, as JSON has it, and `merge`
adds that to another one: what both have counted is as if one had.
"""

from array import array
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

MAX_LABELS: Final = 50
"""Different values of a column whose values are counted."""

MAX_LABEL_CHARACTERS: Final = 64
HISTOGRAM_BARS: Final = 24
TOP_OPENINGS: Final = 10
OPENINGS_KEPT: Final = 4096
"""An opening that more than one text in so many begins with is never lost."""

_EXACT_BITS: Final = 10
"""Sizes below 2**10 are counted one by one, larger ones by their first ten bits."""

_OPENING_WORDS: Final = 3
_OPENING_CHARACTERS: Final = 48
_LONG_WORD: Final = 24
_NO_SPACES: Final = 12
"""Characters of an opening in a script that puts no spaces between words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """How many sizes are from `start` on and below `end`; the last bar may have no end."""

    start: int
    end: int | None
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of texts, or figures like them. Median and 95th percentile are exact below 1024, and
    at most 0.2 % too small above; the others are exact.
    """

    count: int
    minimum: int
    median: int
    p95: int
    maximum: int
    total: int
    histogram: tuple[Bar, ...]


class SizeCounter:
    """Counts sizes of 0 and more in at most some 15 000 buckets, whatever the sizes are."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._minimum = self._maximum = -1
        self._total = 0

    def add(self, size: int) -> None:
        """Count one."""
        self._maximum = max(self._maximum, size)
        if size < self._minimum or self._minimum < 0:
            self._minimum = size
        self._total += size
        surplus = size.bit_length() - _EXACT_BITS
        self._buckets[size if surplus <= 0 else size >> surplus << surplus] += 1

    def document(self) -> dict[str, Any]:
        return {
            "buckets": list(self._buckets.items()),
            "minimum": self._minimum,
            "maximum": self._maximum,
            "total": self._total,
        }

    def merge(self, document: Mapping[str, Any]) -> None:
        for size, count in document["buckets"]:
            self._buckets[size] += count
        found = [each for each in (self._minimum, document["minimum"]) if each >= 0]
        self._minimum = min(found, default=-1)
        self._maximum = max(self._maximum, document["maximum"])
        self._total += document["total"]

    def result(self) -> Sizes | None:
        """All of them; None if there was none."""
        if not self._buckets:
            return None
        ordered = sorted(self._buckets.items())
        count = self._buckets.total()
        return Sizes(
            count=count,
            minimum=self._minimum,
            median=_rank(ordered, (count + 1) // 2),
            p95=_rank(ordered, -(-count * 95 // 100)),
            maximum=self._maximum,
            total=self._total,
            histogram=_histogram(ordered, last=_rank(ordered, -(-count * 99 // 100))),
        )


def _rank(ordered: Sequence[tuple[int, int]], rank: int) -> int:
    """The size of which `rank` ones are as small or smaller, the smallest such."""
    seen = 0
    for size, count in ordered:
        seen += count
        if seen >= rank:
            return size
    raise AssertionError("there are fewer sizes than the rank says")


def _histogram(ordered: Sequence[tuple[int, int]], *, last: int) -> tuple[Bar, ...]:
    """Bars of one width from the smallest size to the 99th percentile. What is larger has a bar of
    its own: one text of a megabyte must not make one bar of all others.
    """
    first = ordered[0][0]
    width = _round_width(-(-(last - first + 1) // HISTOGRAM_BARS))
    start = first // width * width
    bars = (last - start) // width + 1
    counts = [0] * (bars + 1)
    for size, count in ordered:
        counts[min((size - start) // width, bars)] += count
    found = [
        Bar(start=start + place * width, end=start + (place + 1) * width, count=count)
        for place, count in enumerate(counts[:bars])
    ]
    if counts[bars]:
        found.append(Bar(start=start + bars * width, end=None, count=counts[bars]))
    return tuple(found)


def _round_width(width: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 …: edges that people can read."""
    unit: int = 10 ** (len(str(width)) - 1)
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= width)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A value and how many have it."""

    value: str
    count: int


class LabelCounter:
    """Counts the values of a column as long as they are few and short. Exact."""

    def __init__(self) -> None:
        self._counts: Counter[str] | None = Counter()

    def add(self, value: str) -> None:
        """Count one. A long value, or one too many, says that the column holds no labels."""
        counts = self._counts
        if counts is None:
            return
        if len(value) <= MAX_LABEL_CHARACTERS:
            counts[value] += 1
            if len(counts) <= MAX_LABELS:
                return
        self._counts = None

    def document(self) -> dict[str, int] | None:
        return self._counts

    def merge(self, document: Mapping[str, int] | None) -> None:
        if self._counts is None or document is None:
            self._counts = None
            return
        self._counts.update(document)
        if len(self._counts) > MAX_LABELS:
            self._counts = None

    def result(self) -> tuple[Share, ...]:
        """The most frequent first, then by value. Empty where values hardly ever come again, which
        is no balance of anything.
        """
        counts = self._counts
        if not counts or (len(counts) > 1 and counts.total() < 2 * len(counts)):
            return ()
        return _shares(counts)


def _shares(counts: Mapping[str, int]) -> tuple[Share, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(value=value, count=count) for value, count in ordered)


@dataclass(frozen=True, kw_only=True, slots=True)
class Openings:
    """How texts begin most often. Counts are at most `error` too small; 0 says they are exact."""

    texts: int
    most_frequent: tuple[Share, ...]
    error: int


class OpeningCounter:
    """Counts how texts begin, by the rule of Misra and Gries for what is frequent: when twice
    OPENINGS_KEPT are counted, the count of the first one that has to go is taken off all others.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._texts = self._error = 0

    def add(self, words: Sequence[str]) -> None:
        """Count a text by its first words; one without a word is not counted."""
        if not words:
            return
        self._texts += 1
        self._counts[opening_of(words)] += 1
        if len(self._counts) > 2 * OPENINGS_KEPT:
            self._prune()

    def document(self) -> dict[str, Any]:
        return {"counts": self._counts, "texts": self._texts, "error": self._error}

    def merge(self, document: Mapping[str, Any]) -> None:
        self._counts.update(document["counts"])
        self._texts += document["texts"]
        self._error += document["error"]
        if len(self._counts) > 2 * OPENINGS_KEPT:
            self._prune()

    def _prune(self) -> None:
        ordered = self._counts.most_common()
        lost = ordered[OPENINGS_KEPT][1]
        self._error += lost
        self._counts = Counter(
            {opening: count - lost for opening, count in ordered[:OPENINGS_KEPT] if count > lost}
        )

    def result(self) -> Openings:
        """The most frequent ones that more than one text has."""
        repeated = {opening: count for opening, count in self._counts.items() if count > 1}
        return Openings(
            texts=self._texts, most_frequent=_shares(repeated)[:TOP_OPENINGS], error=self._error
        )


def opening_of(words: Sequence[str]) -> str:
    """The first three words; the first characters where there are no spaces."""
    if len(words[0]) > _LONG_WORD:
        return words[0][:_NO_SPACES]
    return " ".join(words[:_OPENING_WORDS])[:_OPENING_CHARACTERS]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Texts that are there before, without regard to case and white space. Exact."""

    texts: int
    repeated: int
    """Texts that another one before them equals: what would go if each were kept once."""
    most: int
    """How often the most frequent text is there."""


class RepeatCounter:
    """Counts texts that come again. 8 bytes a text, 40 more while it counts up."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, normal: str) -> None:
        """Count a text that `normal_text` gave."""
        digest = blake2b(normal.encode("utf-8", "replace"), digest_size=8).digest()
        self._hashes.frombytes(digest)

    def document(self) -> str:
        return b64encode(self._hashes.tobytes()).decode()

    def merge(self, document: str) -> None:
        self._hashes.frombytes(b64decode(document))

    def result(self) -> Repeats:
        """All of them. Two different texts of a million are taken for one with a chance of 1 in 37
        million.
        """
        distinct = most = 0
        for _, group in groupby(sorted(self._hashes)):
            distinct += 1
            most = max(most, sum(1 for _ in group))
        texts = len(self._hashes)
        return Repeats(texts=texts, repeated=texts - distinct, most=most)


def normal_text(words: Sequence[str]) -> str:
    """A text's words with one space between them, in one case: what makes two texts equal."""
    return " ".join(words).casefold()

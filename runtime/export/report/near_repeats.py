"""Texts that are nearly the same, found in a sample and verified pair by pair.

Two texts are alike by the share of their pairs of neighbouring words that both have (Jaccard; of
neighbouring characters in a script without spaces). Of texts that are alike by at least THRESHOLD
the rarest few pairs can't all differ, so only texts that share one of those are compared:

    texts ─▶ pairs of words ─▶ the rarest of each text ─▶ texts that share one ─▶ compared

A text of n pairs that is alike another by t shares at least t·n of its pairs with it, so one of any
n - ⌈t·n⌉ + 1 is shared. Among the texts that share one, the first of each group stands for it.
Nothing is found that is not alike; a chain, in which only neighbours are alike, may count as
several groups. Comparisons are bounded, and the result says whether the bound was reached.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Final
from zlib import crc32

from runtime.domain.checks.shingles import word_pairs, words_of
from runtime.export.report.counters import normal_text

SAMPLE_RECORDS: Final = 20_000
THRESHOLD: Final = 0.7
SHOWN_PAIRS: Final = 5
MAX_COMPARISONS: Final = 1_500_000
"""Some two seconds' worth. Texts that are alike share most of their rarest pairs, so a part of all
comparisons finds nearly all of them.
"""

COMPARED_WORDS: Final = 160
"""Of a text so many words are compared, or so many characters of a script without spaces."""

_KEPT_CHARACTERS: Final = 1200
_FEWEST_PAIRS: Final = 4
"""Shorter texts are alike by chance."""

_TABLE_BITS: Final = 24
_TABLE_MASK: Final = 2**_TABLE_BITS - 1
_MANY: Final = 255
_SKETCH_BITS: Final = 512
_LEADERS: Final = 24
"""Texts of different groups that one more text is compared with for one pair that they share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlikePair:
    """Two texts, in small letters and as long as they were compared, and how alike they are."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NearRepeats:
    """What a sample says of texts that are nearly the same."""

    sampled: int
    """Records of the sample."""
    of: int
    """Records that it was drawn from."""
    compared: int
    """Different texts of the sample that are long enough."""
    near: int
    """Texts that are nearly another one before them: what would go if one of each group were kept.
    Texts that are the same are one text here.
    """
    groups: int
    threshold: float
    complete: bool
    """False: there were more pairs to compare than the bound allows, so there may be more."""
    pairs: tuple[AlikePair, ...]
    """The most alike of each group, of some groups."""


def compared_text(words: Sequence[str]) -> str:
    """What is kept of a text to compare it: its beginning, of bounded length."""
    return normal_text(words[:COMPARED_WORDS])[:_KEPT_CHARACTERS]


def find_near_repeats(texts: Iterable[str], *, of: int) -> NearRepeats:
    """What is nearly the same among texts that `compared_text` gave, a sample `of` so many."""
    sampled = 0
    distinct: dict[str, None] = {}
    for text in texts:
        sampled += 1
        distinct.setdefault(text)
    pairs_of, kept = [], []
    for text in distinct:
        found = _pairs(text)
        if len(found) >= _FEWEST_PAIRS:
            kept.append(text)
            pairs_of.append(found)
    search = _Search(pairs_of)
    complete = search.run()
    return NearRepeats(
        sampled=sampled,
        of=of,
        compared=len(kept),
        near=search.united,
        groups=search.groups(),
        threshold=THRESHOLD,
        complete=complete,
        pairs=tuple(
            AlikePair(first=kept[one], second=kept[other], similarity=round(similarity, 3))
            for similarity, one, other in search.most_alike()[:SHOWN_PAIRS]
        ),
    )


def _pairs(text: str) -> "array[int]":
    """The different pairs of neighbouring words as numbers, sorted."""
    words = words_of(text)[:COMPARED_WORDS]
    return array("I", sorted({crc32(pair.encode()) for pair in word_pairs(words)}))


def _sketch(pairs: Iterable[int]) -> int:
    """A bit for each pair, of as many as a sketch has."""
    sketch = 0
    for pair in pairs:
        sketch |= 1 << pair % _SKETCH_BITS
    return sketch


class _Search:
    """Texts by number, in groups that grow together."""

    def __init__(self, pairs_of: Sequence["array[int]"]) -> None:
        self._pairs_of = pairs_of
        self._sketches = [_sketch(pairs) for pairs in pairs_of]
        self._leader = list(range(len(pairs_of)))
        self._comparisons = 0
        self.united = 0
        self.found: list[tuple[float, int, int]] = []

    def run(self) -> bool:
        """Compare what has to be; whether all was."""
        for sharing in self._sharing():
            leaders: list[int] = []
            for text in sharing:
                group = self._group(text)
                if any(self._group(leader) == group for leader in leaders):
                    continue
                for leader in leaders:
                    if self._comparisons >= MAX_COMPARISONS:
                        return False
                    if self._compare(leader, text):
                        break
                else:
                    if len(leaders) == _LEADERS:
                        self._comparisons += 1  # a pair that everything has takes its time, too
                        continue
                    leaders.append(text)
        return True

    def groups(self) -> int:
        """Groups of more than one text."""
        members = [self._group(text) for text in range(len(self._leader))]
        return len({group for text, group in enumerate(members) if group != text})

    def most_alike(self) -> list[tuple[float, int, int]]:
        """The most alike pair of each group, the most alike first: similarity and both texts."""
        best: dict[int, tuple[float, int, int]] = {}
        for pair in sorted(self.found, key=lambda pair: (-pair[0], pair[1], pair[2])):
            best.setdefault(self._group(pair[1]), pair)
        return list(best.values())

    def _sharing(self) -> Iterator[list[int]]:
        """Texts that share one of their rarest pairs of words."""
        # How many have a pair, at least: pairs that meet in the table only look more frequent, and
        # any order of rareness will do as long as it is one for all.
        having = bytearray(2**_TABLE_BITS)
        for pairs in self._pairs_of:
            for pair in pairs:
                place = pair & _TABLE_MASK
                if having[place] < _MANY:
                    having[place] += 1
        places = array("Q")
        for text, pairs in enumerate(self._pairs_of):
            rarest = len(pairs) - ceil(THRESHOLD * len(pairs)) + 1
            by_rareness = sorted(pairs, key=lambda pair: (having[pair & _TABLE_MASK], pair))
            places.extend(
                pair << 32 | text
                for pair in by_rareness[:rarest]
                if having[pair & _TABLE_MASK] > 1  # nobody shares it otherwise
            )
        for _, group in groupby(sorted(places), key=lambda place: place >> 32):
            sharing = [place & 0xFFFFFFFF for place in group]
            if len(sharing) > 1:
                yield sharing

    def _compare(self, one: int, other: int) -> bool:
        self._comparisons += 1
        first, second = self._pairs_of[one], self._pairs_of[other]
        # Each bit that differs is of a pair that only one of them has, and there may be no more of
        # those than this: hardly a text that isn't alike gets by.
        differing = (self._sketches[one] ^ self._sketches[other]).bit_count()
        if differing > (len(first) + len(second)) * (1 - THRESHOLD) / (1 + THRESHOLD) + 1e-9:
            return False
        common = len(set(first).intersection(second))
        similarity = common / (len(first) + len(second) - common)
        if similarity < THRESHOLD:
            return False
        self._unite(one, other)
        self.found.append((similarity, min(one, other), max(one, other)))
        return True

    def _group(self, text: int) -> int:
        leader = self._leader
        while leader[text] != text:
            leader[text] = leader[leader[text]]
            text = leader[text]
        return text

    def _unite(self, one: int, other: int) -> None:
        one, other = sorted((self._group(one), self._group(other)))
        self._leader[other] = one
        self.united += 1

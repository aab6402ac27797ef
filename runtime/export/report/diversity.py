"""How varied the texts of a dataset are, from a sample of bounded size: what shares of its words,
pairs and triples of words are different ones, and how well it can be compressed.

Both depend on how much text they are taken of: the more there is, the less of it is new. So the
sample has one size for all datasets, and figures of two datasets can be compared where both have
that many records.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from zlib import compress

from runtime.domain.checks.shingles import words_of

DIVERSITY_RECORDS: Final = 2000
"""Records of the sample, of each as much as `near_repeats.compared_text` keeps: some 300 000 words,
which take a second and 50 MB at most.
"""

_LONGEST: Final = 3
_LEVEL: Final = 6
"""Of zlib, its own default: ratios of other levels are other ratios."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diversity:
    """Of a keyed sample of at most DIVERSITY_RECORDS records, each with its first 160 words in
    small letters. What nothing can be said of is None.
    """

    sampled: int
    """Records of the sample."""
    of: int
    """Records that it was drawn from."""
    words: int
    """Words of the sample, without the punctuation around them; of a script without spaces its
    characters.
    """
    distinct_1: float | None
    """The different words as a share of all words, 0 to 1."""
    distinct_2: float | None
    """The same of each two neighbouring words of a record."""
    distinct_3: float | None
    """The same of each three."""
    compression_ratio: float | None
    """Bytes of the sample by its bytes as zlib compresses it: 2 to 3 for varied prose, more where
    texts repeat each other.
    """


def measure_diversity(texts: Iterable[str], *, of: int) -> Diversity:
    """The diversity of texts that `compared_text` gave, a sample `of` so many records."""
    kept = list(texts)
    numbers: dict[str, int] = {}
    numbered = [
        [numbers.setdefault(word, len(numbers)) for word in words_of(text)] for text in kept
    ]
    whole = "\n".join(kept).encode("utf-8", "replace")
    shares = [
        _distinct(numbered, length, base=max(len(numbers), 1)) for length in range(1, _LONGEST + 1)
    ]
    return Diversity(
        sampled=len(kept),
        of=of,
        words=sum(map(len, numbered)),
        distinct_1=shares[0],
        distinct_2=shares[1],
        distinct_3=shares[2],
        compression_ratio=round(len(whole) / len(compress(whole, _LEVEL)), 3) if whole else None,
    )


def _distinct(numbered: Sequence[Sequence[int]], length: int, *, base: int) -> float | None:
    """The share of different ones among the runs of so many neighbours in one text; None: there is
    no run.
    """
    found: set[int] = set()
    runs = 0
    for numbers in numbered:
        for run in _runs(numbers, length, base):
            found.add(run)
            runs += 1
    return round(len(found) / runs, 4) if runs else None


def _runs(numbers: Sequence[int], length: int, base: int) -> Iterator[int]:
    """Each run as one number: its members are the digits, so that no two runs are one."""
    for at in range(len(numbers) - length + 1):
        run = 0
        for number in numbers[at : at + length]:
            run = run * base + number
        yield run

"""Which texts may be near: those whose signatures agree in a band (locality-sensitive hashing).

A MinHash signature of two texts that are alike by s agrees in each place with a chance of s, so in
all rows of one band with s^r, and in at least one of b bands with 1 - (1 - s^r)^b. (Leskovec,
Rajaraman, Ullman: Mining of Massive Datasets, section 3.4.2.) More rows: fewer texts to compare.
More bands: fewer missed, more memory.

    signature ─▶ a key for each band ─▶ the newest text with it ─▶ the one before that ─▶ …

Tables don't grow: one twice as large as the last takes what follows. So nothing is moved, no key
has to be kept, and there is no moment with two copies.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Final

RECALL: Final = 0.95
"""Of texts that are alike by just the threshold, the least share that has to be found …"""
RECALL_ABOVE: Final = 0.98
"""… and of those that are alike by MARGIN more, or half-way to 1 where that is nearer."""
MARGIN: Final = 0.05

MAX_BANDS: Final = 16
"""Each takes some 8 bytes a text."""
_MAX_ROWS: Final = 10

_FIRST_TEXTS: Final = 4096
_LAST_TEXTS: Final = 2**18
"""Texts of a table: each is twice as large as the one before, up to this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Banding:
    """How a signature is cut: so many bands of so many rows."""

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The share of pairs that are alike by so much which agree in a band: 0 to 1."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


def banding_for(threshold: float) -> Banding:
    """The most rows that find enough with MAX_BANDS or fewer, and as few bands as that takes."""
    above = threshold + min(MARGIN, (1 - threshold) / 2)
    for rows in range(_MAX_ROWS, 0, -1):
        bands = max(
            _fewest_bands(threshold, rows, RECALL), _fewest_bands(above, rows, RECALL_ABOVE)
        )
        if bands <= MAX_BANDS:
            return Banding(bands=bands, rows=rows)
    return Banding(bands=MAX_BANDS, rows=1)


def _fewest_bands(similarity: float, rows: int, recall: float) -> int:
    return ceil(log(1 - recall) / log(1 - similarity**rows))


class _Table:
    """So many texts from `first` on: for each band, the newest text of each key, and the one of
    the same key before each. Both are places plus one, 0 for none.
    """

    __slots__ = ("before", "first", "mask", "newest", "texts")

    def __init__(self, *, first: int, texts: int, bands: int) -> None:
        self.first = first
        self.texts = texts
        self.mask = texts - 1
        self.newest = array("I", [0]) * (texts * bands)
        self.before = array("I")


class BandTables:
    """Texts by the keys of their bands, each with a sketch that says quickly how unlike two are."""

    def __init__(self, bands: int, *, first_texts: int = _FIRST_TEXTS) -> None:
        self._bands = bands
        self._sketches = array("Q")
        self._tables = [_Table(first=0, texts=first_texts, bands=bands)]

    def add(self, keys: Sequence[int], sketch: int) -> None:
        """Keep the keys, one for each band, and the sketch, 64 bits, of the next text."""
        table = self._tables[-1]
        place = len(self._sketches)
        if place - table.first == table.texts:
            size = min(2 * table.texts, _LAST_TEXTS)
            table = _Table(first=place, texts=size, bands=self._bands)
            self._tables.append(table)
        newest, before, mask = table.newest, table.before, table.mask
        start = 0
        for key in keys:
            at = start + (key & mask)
            before.append(newest[at])
            newest[at] = place + 1
            start += table.texts
        self._sketches.append(sketch)

    def candidates(
        self, keys: Sequence[int], sketch: int, *, differing: int, at_most: int
    ) -> tuple[dict[int, int], bool]:
        """Texts that agree in a band and whose sketch differs in no more than so many bits: their
        places (how many were added before) with the bits that differ. And whether all texts of
        those bands were looked at: of each band at most `at_most` are, the newest.
        """
        sketches, bands = self._sketches, self._bands
        found: dict[int, int] = {}
        complete = True
        for band, key in enumerate(keys):
            left = at_most
            for table in reversed(self._tables):
                before, first = table.before, table.first
                place = table.newest[band * table.texts + (key & table.mask)]
                while place:
                    if not left:
                        complete = False
                        break
                    left -= 1
                    place -= 1
                    bits = (sketches[place] ^ sketch).bit_count()
                    if bits <= differing:
                        found[place] = bits
                    place = before[(place - first) * bands + band]
        return found, complete

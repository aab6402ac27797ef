"""A set of record indices below a size as a bitmap: one bit each, 125 kB for a million."""

from collections.abc import Iterator, Sequence
from typing import Final

_CLOSE: Final = 1024
"""Indices that differ by less are added as one number: a longer one saves no time."""
_POWERS: Final = tuple(1 << place for place in range(_CLOSE + 8))


class IndexSet:
    """Knows its count. Indices outside 0..size-1 raise `IndexError`.

    With `ranges` nothing else may come in: every other index below the size counts as being in the
    set already, and neither in its count nor in its end.
    """

    __slots__ = ("_bits", "_count", "_end", "_first_missing", "_size")

    def __init__(self, size: int, ranges: Sequence[range] | None = None) -> None:
        self._size = size
        self._bits = bytearray((size + 7) // 8) if ranges is None else _all_but(ranges, size)
        self._count = 0
        self._first_missing = 0
        self._end = 0

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is not in 0..{self._size - 1}")
        return index >> 3, 1 << (index & 7)

    def add(self, index: int) -> bool:
        """Add one index; False if it was there already."""
        if not 0 <= index < self._size:
            self._locate(index)
        byte, bit = index >> 3, 1 << (index & 7)
        if self._bits[byte] & bit:
            return False
        self._bits[byte] |= bit
        self._count += 1
        if index >= self._end:
            self._end = index + 1
        return True

    def add_all(self, indices: Sequence[int]) -> bool:
        """Add some indices, if none was there and none comes twice; else False, and nothing is
        changed. Indices that are close together take a fraction of the time that one after the
        other takes.
        """
        if not indices:
            return True
        smallest, largest = min(indices), max(indices)
        if smallest < 0 or largest >= self._size or len(set(indices)) < len(indices):
            return False
        if largest - smallest >= _CLOSE:
            return self._add_scattered(indices, largest)
        first, end = smallest >> 3, (largest >> 3) + 1
        start = first << 3
        there = int.from_bytes(self._bits[first:end], "little")
        # As a sum, since each comes once: no bit carries.
        new = sum([_POWERS[index - start] for index in indices])
        if there & new:
            return False
        self._bits[first:end] = (there | new).to_bytes(end - first, "little")
        self._note_added(len(indices), largest)
        return True

    def _add_scattered(self, indices: Sequence[int], largest: int) -> bool:
        bits = self._bits
        for index in indices:
            if bits[index >> 3] >> (index & 7) & 1:
                return False
        for index in indices:
            bits[index >> 3] |= 1 << (index & 7)
        self._note_added(len(indices), largest)
        return True

    def _note_added(self, count: int, largest: int) -> None:
        self._count += count
        self._end = max(self._end, largest + 1)

    def discard(self, index: int) -> bool:
        """Take one index out; False if it was not there. `end` stays where it was."""
        byte, bit = self._locate(index)
        if not self._bits[byte] & bit:
            return False
        self._bits[byte] &= ~bit
        self._count -= 1
        self._first_missing = min(self._first_missing, index)
        return True

    def __contains__(self, index: int) -> bool:
        byte, bit = self._locate(index)
        return bool(self._bits[byte] & bit)

    def has(self, index: int) -> bool:
        """Whether it is in the set; of any number."""
        return 0 <= index < self._size and index in self

    def __len__(self) -> int:
        return self._count

    @property
    def end(self) -> int:
        """One more than the largest index that was ever in the set; 0 if none was."""
        return self._end

    @property
    def size(self) -> int:
        """How many indices the set could hold."""
        return self._size

    def __iter__(self) -> Iterator[int]:
        """The indices in the set, ascending; of one without `ranges`."""
        for place, byte in enumerate(self._bits):
            if byte:
                start = place << 3
                for bit in range(8):
                    if byte >> bit & 1:
                        yield start + bit

    def missing(self) -> Iterator[int]:
        """Indices that are not in the set, ascending, each judged when it is reached."""
        while self._first_missing < self._size and self._first_missing in self:
            # Nothing below this is missing until `discard` says so.
            self._first_missing += 1
        index = self._first_missing
        while index < self._size:
            if not index & 7 and self._bits[index >> 3] == 0xFF:  # noqa: PLR2004 - a full byte
                index += 8
                continue
            if not self._bits[index >> 3] & (1 << (index & 7)):
                yield index
            index += 1


def _all_but(ranges: Sequence[range], size: int) -> bytearray:
    bits = bytearray(b"\xff" * ((size + 7) // 8))
    for each in ranges:
        # Whole bytes at once, and what is beside them bit by bit.
        first, last = (each.start + 7) // 8, each.stop // 8
        if first < last:
            bits[first:last] = bytes(last - first)
            edges = (range(each.start, first * 8), range(last * 8, each.stop))
        else:
            edges = (each, range(0))
        for index in (*edges[0], *edges[1]):
            bits[index >> 3] &= ~(1 << (index & 7))
    return bits

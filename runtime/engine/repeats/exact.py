"""Texts that are the same, by a hash of 16 bytes: 16 of the hash, 8 of the number and some 4 to 12
of a table, for each text.
"""

from array import array
from hashlib import blake2b
from typing import Final

from runtime.domain.checks.shingles import normal_form

DIGEST_BYTES: Final = 16
"""Of a million texts, two different ones have one hash with a chance of 1 in 10^27."""

_FIRST_SLOTS: Final = 1024


class ExactIndex:
    """A `RepeatIndex` of texts that are the same."""

    incomplete: Final = 0

    def __init__(self) -> None:
        self._digests = Digests()
        self._numbers = array("Q")

    def find(self, text: str) -> int | None:
        return self.find_normal(normal_form(text))

    def add(self, number: int, text: str) -> None:
        self.add_normal(number, normal_form(text))

    def find_normal(self, normal: str) -> int | None:
        """`find` of a text in normal form."""
        place = self._digests.find(_digest(normal))
        return None if place is None else self._numbers[place]

    def add_normal(self, number: int, normal: str) -> None:
        """`add` of a text in normal form. Of texts that are the same, the first stays."""
        if self._digests.add(_digest(normal)):
            self._numbers.append(number)

    def number_at(self, place: int) -> int:
        """The number of the text that was added after so many others."""
        return self._numbers[place]


def _digest(normal: str) -> bytes:
    return blake2b(normal.encode(), digest_size=DIGEST_BYTES).digest()


class Digests:
    """Digests in the order in which they came, and where each is: a table with open addressing.

    A slot holds the place of a digest plus one, 0 if it is free. It is full to two thirds at most,
    and the digests say where they belong in a larger one.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self._slots = array("I", [0]) * _FIRST_SLOTS
        self._count = 0

    def find(self, digest: bytes) -> int | None:
        """How many came before this one; None if it never came."""
        place = self._slots[self._slot(digest)]
        return place - 1 if place else None

    def add(self, digest: bytes) -> bool:
        """Whether it is new, and now there."""
        slot = self._slot(digest)
        if self._slots[slot]:
            return False
        self._digests += digest
        self._count += 1
        self._slots[slot] = self._count
        if self._count * 3 > len(self._slots) * 2:
            self._grow()
        return True

    def _slot(self, digest: bytes) -> int:
        """Where the digest is, or the free slot where it belongs."""
        slots, digests = self._slots, self._digests
        mask = len(slots) - 1
        slot = int.from_bytes(digest[:8], "little") & mask
        while place := slots[slot]:
            if digests[(place - 1) * DIGEST_BYTES : place * DIGEST_BYTES] == digest:
                break
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        slots = array("I", [0]) * (2 * len(self._slots))
        mask = len(slots) - 1
        digests = self._digests
        for place in range(self._count):
            start = place * DIGEST_BYTES
            slot = int.from_bytes(digests[start : start + 8], "little") & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = place + 1
        self._slots = slots

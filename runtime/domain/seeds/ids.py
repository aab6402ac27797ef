"""Which seeds of a file have an id that an earlier one has."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

_BUCKETS: Final = 256
_EXAMPLES: Final = 3


class Repeats:
    """The seeds whose id an earlier one has. Positions count from 0."""

    def __init__(self, examples: Sequence[tuple[int, int]], later: bytearray, count: int) -> None:
        self._examples = examples
        self._later = later
        self._count = count

    def has(self, position: int) -> bool:
        """Whether the seed at `position` is one of them."""
        return self._count > 0 and self._later[position] == 1

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count

    def warnings(self) -> tuple[str, ...]:
        """What its owner should know: how many there are, and where the first ones stand."""
        if not self._count:
            return ()
        places = ", ".join(
            f"record {later + 1} has that of record {earlier + 1}"
            for later, earlier in self._examples
        )
        some = "1 seed has" if self._count == 1 else f"{self._count} seeds have"
        more = self._count - len(self._examples)
        rest = f", and {more} more" if more > 0 else ""
        return (
            f"{some} an id that an earlier one has: {places}{rest}; their number is added to it",
        )


class Ids:
    """Finds them in 12 bytes a seed: hashes, in buckets that are looked at one by one."""

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(_BUCKETS)]
        self._places = [array("I") for _ in range(_BUCKETS)]
        self._count = 0

    def add(self, name: str) -> None:
        """The id of the next seed."""
        self.extend((name,))

    def extend(self, names: Iterable[str]) -> None:
        """The ids of the next seeds."""
        hashes, places, count = self._hashes, self._places, self._count
        # Python's own hash: it is keyed by the process, so nobody can write ids that collide.
        for value in map(hash, names):
            bucket = value % _BUCKETS
            hashes[bucket].append(value)
            places[bucket].append(count)
            count += 1
        self._count = count

    def repeats(self) -> Repeats:
        """What was found among all that were added."""
        examples: list[tuple[int, int]] = []
        later = bytearray(self._count)
        for hashes, places in zip(self._hashes, self._places, strict=True):
            seen: dict[int, int] = {}
            for value, position in zip(hashes, places, strict=True):
                first = seen.setdefault(value, position)
                if first != position:
                    later[position] = 1
                    examples = sorted([*examples, (position, first)])[:_EXAMPLES]
        return Repeats(examples, later, later.count(1))

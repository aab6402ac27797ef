"""What the walk over a syntax tree knows at one place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate


def paths_to(path: str) -> Iterator[str]:
    """`a.b.c` → a, a.b, a.b.c."""
    return accumulate(path.split("."), "{}.{}".format)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What holds at one place: bound names, the loops around it, the includes that led here."""

    bound: set[str] = field(default_factory=set)
    loops: int = 0
    iterations: int = 1
    chain: tuple[str, ...] = ()

    def inner(self, names: Iterable[str] = ()) -> "Scope":
        return replace(self, bound=self.bound | set(names))

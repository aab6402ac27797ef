"""What the walk over a syntax tree knows at one place, and what a value reads there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

from jinja2 import nodes

from runtime.domain.templates.syntax import item_path, path_of

NO_FIELDS: Final = ("index", "loop", "steps")
"""Names that lead to no seed."""


def paths_to(path: str) -> Iterator[str]:
    """`a.b.c` → a, a.b, a.b.c."""
    return accumulate(path.split("."), "{}.{}".format)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What holds at one place: bound names, the loops around it, the includes that led here.
    `seeds` are those of the bound names that stand for one seed of a batch.
    """

    bound: set[str] = field(default_factory=set)
    loops: int = 0
    iterations: int = 1
    chain: tuple[str, ...] = ()
    seeds: frozenset[str] = frozenset()

    def inner(self, names: Iterable[str] = ()) -> "Scope":
        return replace(self, bound=self.bound | set(names))


def seed_path(node: nodes.Node, scope: Scope, *, batch: bool) -> str:
    """The dotted path into a seed that a value reads; empty where it reads none."""
    path, base = path_of(node)
    if not isinstance(base, nodes.Name) or base.name in NO_FIELDS:
        return ""
    if base.name in scope.bound:
        return ".".join(path) if base.name in scope.seeds else ""
    if batch:
        return ".".join(item_path(node))
    return ".".join(path if base.name == "seed" else (base.name, *path))


def is_seeds(node: nodes.Node, scope: Scope) -> bool:
    """Whether it is the list of a batch's seeds."""
    return isinstance(node, nodes.Name) and node.name == "seeds" and "seeds" not in scope.bound

"""Seed fields that are to become values of rows and that no seed has: most likely typed wrongly.

    looked = AbsentFields(row_fields(template))
    for row in rows: looked.add(row)
    looked.check()

A prompt's fields are in every seed; these may be missing in some, and then are null in their rows.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from runtime.domain.errors import SeedError
from runtime.domain.hints import hint_for
from runtime.domain.seeds.report import MAX_SAMPLED, value_paths
from runtime.domain.seeds.seeds import Row, has_path
from runtime.domain.wording import sentence

_MAX_NAMES: Final = 1000
"""Names that are kept for hints."""


class AbsentFields:
    """Looks for some dotted paths in seeds, until each was found in one of them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = dict.fromkeys(path for path in paths if path)
        self._names: dict[str, None] = {}
        self._rows = 0

    def __bool__(self) -> bool:
        """Whether there is anything that no seed had so far."""
        return bool(self._paths)

    def add(self, row: Row) -> None:
        """Look at one seed."""
        for path in [each for each in self._paths if has_path(row, each)]:
            del self._paths[path]
        self._rows += 1
        if self._paths and self._rows <= MAX_SAMPLED and len(self._names) < _MAX_NAMES:
            self._names.update(dict.fromkeys(_names(row)))

    def problems(self, who: str = "no seed") -> list[tuple[str, str]]:
        """Every path that no seed had, and what to say of it. `who` are all seeds that were looked
        at, as in `no seed has it`.
        """
        said = f"which {who} has"
        hints = {path: hint_for(path, self._names, within="seed.") for path in self._paths}
        return [
            (path, f"rows of the dataset read seed.{path}, {said}{hint}")
            for path, hint in hints.items()
            if self._rows
        ]

    def check(self) -> None:
        """Raises `SeedError` that says it, after all seeds."""
        said = "; ".join(message for _, message in self.problems())
        if said:
            raise SeedError(f"{sentence(said)} A field that has no value yet is null in a seed.")


def _names(row: Row) -> Iterator[str]:
    """Of values, and of the objects that they are in."""
    for path, _ in value_paths(row):
        yield path
        while "." in path:
            path = path.rpartition(".")[0]  # noqa: PLW2901 - upwards
            yield path

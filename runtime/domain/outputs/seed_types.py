"""Types of seed columns: found in all rows of the pinned file, so that no output decides them.

    types = SeedTypes(paths)
    for row in rows: types.add(row)
    types.found()

The same file gives the same types whenever they are asked for. Values that differ in type, or that
one type can't hold exactly, are json, and so are those of fields that no seed has, unless the seeds
are chunks of documents, whose fields are known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.domain.outputs.types import (
    INT64_MAX,
    INT64_MIN,
    ListOf,
    Scalar,
    Type,
    joined,
    struct_of,
)

MAX_FIELDS: Final = 200
"""Names in one object: where rows have more, the names are data, and the object is json."""
MAX_DEPTH: Final = 16
DOCUMENT_FIELDS: Final[Mapping[str, Scalar]] = {
    "id": Scalar.STRING,
    "text": Scalar.STRING,
    "file": Scalar.STRING,
    "title": Scalar.STRING,
    "heading": Scalar.STRING,
    "page": Scalar.INT64,
    "start": Scalar.INT64,
    "end": Scalar.INT64,
    "chunk": Scalar.INT64,
    "chunks": Scalar.INT64,
    "tokens": Scalar.INT64,
}
"""Of a seed that is a chunk of a document: a kind without headings or pages has null there."""

_EXACT: Final = 2**53
"""Whole numbers up to this one are themselves as 64-bit floats."""


@dataclass(slots=True)
class _Seen:
    """What has stood at one place. `item` and `fields` are the places within it."""

    scalars: set[Scalar] = field(default_factory=set)
    wide: bool = False
    """Whether there was a whole number that a float would change."""
    item: "_Seen | None" = None
    fields: "dict[str, _Seen] | None" = None
    is_json: bool = False
    unseen: Scalar = field(default=Scalar.JSON, compare=False)
    """The type where nothing has stood."""

    def add(self, value: object, levels: int = MAX_DEPTH) -> None:
        if value is None or self.is_json:
            return
        if levels == 0:
            self._give_up()
            return
        match value:
            case dict():
                self._add_object(value, levels)
            case list():
                self.item = self.item or _Seen()
                for each in value:
                    self.item.add(each, levels - 1)
            case bool():
                self.scalars.add(Scalar.BOOL)
            case int() if INT64_MIN <= value <= INT64_MAX:
                self.scalars.add(Scalar.INT64)
                self.wide = self.wide or abs(value) > _EXACT
            case float():
                self.scalars.add(Scalar.FLOAT64)
            case str():
                self.scalars.add(Scalar.STRING)
            case _:
                self._give_up()

    def type(self) -> Type:
        kinds: list[Type] = [*sorted(self.scalars)]
        if self.item is not None:
            kinds.append(ListOf(self.item.type()))
        if self.fields is not None:
            kinds.append(struct_of({name: each.type() for name, each in self.fields.items()}))
        if not kinds and not self.is_json:
            return self.unseen
        if self.is_json or (self.wide and Scalar.FLOAT64 in self.scalars):
            return Scalar.JSON
        return joined(kinds)

    def _add_object(self, value: Mapping[str, Any], levels: int) -> None:
        self.fields = {} if self.fields is None else self.fields
        for name, each in value.items():
            self.fields.setdefault(name, _Seen()).add(each, levels - 1)
        if len(self.fields) > MAX_FIELDS:
            self._give_up()

    def _give_up(self) -> None:
        self.is_json, self.item, self.fields = True, None, None
        self.scalars.clear()


class SeedTypes:
    """Collects the types at some dotted paths; the empty path is the whole seed."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._seen = {path: _Seen() for path in paths}
        self._parts = {path: path.split(".") if path else [] for path in self._seen}
        self._of_document = not DOCUMENT_FIELDS.keys().isdisjoint(self._seen) or "" in self._seen
        self._documents = False

    def add(self, row: Mapping[str, Any]) -> None:
        """Look at one seed."""
        if self._of_document and not self._documents:
            self._documents = row.keys() == DOCUMENT_FIELDS.keys()
        for path, parts in self._parts.items():
            value: Any = row
            for part in parts:
                value = value.get(part) if isinstance(value, Mapping) else None
            self._seen[path].add(value)

    @property
    def empty(self) -> tuple[str, ...]:
        """The paths at which no seed has a value."""
        return tuple(path for path, seen in self._seen.items() if seen == _Seen())

    def found(self) -> dict[str, Type]:
        """The type of each path; json where no seed has a value and none is of a document."""
        if self._documents:
            whole = self._seen.get("")
            of_whole = {} if whole is None else whole.fields or {}
            for name, kind in DOCUMENT_FIELDS.items():
                for seen in (self._seen.get(name), of_whole.get(name)):
                    if seen is not None:
                        seen.unseen = kind
        return {path: seen.type() for path, seen in self._seen.items()}

"""Types of columns, as plain data: what Arrow, a card and JSON need to know of a column.

    string  int64  float64  bool  json      list<type>      struct<name: type, …>

Every value may be null. A json column holds whatever JSON can; files without such a type keep it
as JSON text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
"""Whole numbers that every file format of a dataset can hold."""


class Scalar(StrEnum):
    """A type without parts."""

    STRING = "string"
    INT64 = "int64"
    FLOAT64 = "float64"
    BOOL = "bool"
    JSON = "json"
    """Any value: what has no one type."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items have one type."""

    item: "Type"


@dataclass(frozen=True, slots=True)
class Struct:
    """An object with known names, in their order."""

    fields: tuple[tuple[str, "Type"], ...]

    def get(self, name: str) -> "Type | None":
        """The type of a field; None: there is none of this name."""
        return next((kind for each, kind in self.fields if each == name), None)


Type = Scalar | ListOf | Struct

_NUMBERS: Final = frozenset({Scalar.INT64, Scalar.FLOAT64})


def struct_of(fields: Mapping[str, Type]) -> Type:
    """A struct of these fields; json where there are none, since files have no empty struct."""
    return Struct(tuple(fields.items())) if fields else Scalar.JSON


def joined(types: Iterable[Type]) -> Type:
    """The type that takes the values of all of these without changing one: json where they differ,
    and where there are none.
    """
    found: Type | None = None
    for each in types:
        found = each if found is None else _common(found, each)
    return Scalar.JSON if found is None else found


def _common(one: Type, other: Type) -> Type:
    if one == other:
        return one
    if one in _NUMBERS and other in _NUMBERS:
        return Scalar.FLOAT64
    return Scalar.JSON


def type_document(kind: Type) -> object:
    """The type as JSON: `"int64"`, `{"list": type}` or `{"struct": [[name, type], …]}`."""
    match kind:
        case ListOf(item):
            return {"list": type_document(item)}
        case Struct(fields):
            return {"struct": [[name, type_document(each)] for name, each in fields]}
        case Scalar():
            return kind.value


def parse_type(document: object) -> Type:
    """Inverse of `type_document`. Raises `ValueError` on a document this project didn't write."""
    match document:
        case str():
            return Scalar(document)
        case {"list": item}:
            return ListOf(parse_type(item))
        case {"struct": list(fields)}:
            return Struct(tuple((str(name), parse_type(each)) for name, each in fields))
    raise ValueError("not the type of a column")


def type_text(kind: Type) -> str:
    """The type for people: `list<struct<role: string, content: string>>`."""
    match kind:
        case ListOf(item):
            return f"list<{type_text(item)}>"
        case Struct(fields):
            return f"struct<{', '.join(f'{name}: {type_text(each)}' for name, each in fields)}>"
        case Scalar():
            return kind.value

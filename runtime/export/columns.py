"""Types of columns as files need them: in Arrow's words, and as what a value becomes in a file."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from runtime.domain.outputs.types import INT64_MAX, INT64_MIN, ListOf, Scalar, Struct, Type

if TYPE_CHECKING:
    import pyarrow as pa

Convert = Callable[[Any], Any]


def arrow_schema(columns: Mapping[str, Type]) -> "pa.Schema":
    """Every column nullable. JSON columns carry the type that `datasets`, DuckDB and polars know as
    JSON (arrow.json), and are texts to others.
    """
    import pyarrow as pa  # noqa: PLC0415 - some 0.3 s and 60 MiB that text need not pay

    return pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])


def arrow_type(kind: Type, *, stored: bool = False) -> "pa.DataType":
    """`stored`: with texts for JSON, as which Arrow has to be given it inside lists."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    match kind:
        case ListOf(item):
            return pa.list_(arrow_type(item, stored=stored))
        case Struct(fields):
            return pa.struct([(name, arrow_type(each, stored=stored)) for name, each in fields])
        case Scalar.JSON:
            return pa.string() if stored else pa.json_()
    return {
        Scalar.STRING: pa.string(),
        Scalar.INT64: pa.int64(),
        Scalar.FLOAT64: pa.float64(),
        Scalar.BOOL: pa.bool_(),
    }[kind]


def json_texts(kind: Type) -> Convert | None:
    """What turns JSON within a value into its text; None where there is none."""
    match kind:
        case Scalar.JSON:
            return _json_text
        case ListOf(item):
            inner = json_texts(item)
            return None if inner is None else _each(inner)
        case Struct(fields):
            inners = {name: convert for name, each in fields if (convert := json_texts(each))}
            return None if not inners else _some(inners)
    return None


def filled(kind: Type) -> Convert | None:
    """What gives an object every name that its type has, null where it has none; None where there
    is nothing to do. A reader that guesses types from the first lines loses what only comes later.
    """
    match kind:
        case ListOf(item):
            inner = filled(item)
            return None if inner is None else _each(inner)
        case Struct(fields):
            return _all({name: filled(each) for name, each in fields})
    return None


def fits(value: Any, kind: Type) -> bool:
    """Whether a JSON value can stand in a column of this type. Null always can."""
    if value is None:
        return True
    match kind:
        case ListOf(item):
            return isinstance(value, list) and all(fits(each, item) for each in value)
        case Struct():
            return isinstance(value, dict) and all(
                (inner := kind.get(name)) is not None and fits(each, inner)
                for name, each in value.items()
            )
    return _FITS[kind](value)


_FITS: Final[Mapping[Scalar, Callable[[Any], bool]]] = {
    Scalar.STRING: lambda value: isinstance(value, str),
    Scalar.BOOL: lambda value: isinstance(value, bool),
    Scalar.INT64: lambda value: (
        isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX
    ),
    Scalar.FLOAT64: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    Scalar.JSON: lambda _value: True,
}


def _json_text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _each(inner: Convert) -> Convert:
    return lambda value: None if value is None else [inner(each) for each in value]


def _some(inners: Mapping[str, Convert]) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        changed = {name: inner(value.get(name)) for name, inner in inners.items()}
        return {**value, **changed}

    return convert


def _all(inners: Mapping[str, Convert | None]) -> Convert:
    def convert(value: Any) -> Any:
        if value is None:
            return None
        return {
            name: value.get(name) if inner is None else inner(value.get(name))
            for name, inner in inners.items()
        }

    return convert

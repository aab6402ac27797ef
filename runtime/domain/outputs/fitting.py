"""Values made to fit the type of their column, and what JSON values are in files without them.

What fits is changed in its form only: 1.0 becomes 1 in a column of integers, 1 becomes 1.0 in one
of numbers, and an object gets null for each name that it lacks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from runtime.domain.outputs.types import INT64_MAX, INT64_MIN, ListOf, Scalar, Struct, Type

Convert = Callable[[Any], Any]

_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


class UnfitError(ValueError):
    """A value that its column can't hold; the message names types, never a value."""


def fitter(kind: Type) -> Convert:
    """What makes a value fit `kind`: null stays null. It raises `UnfitError`."""
    match kind:
        case Scalar():
            return _SCALARS[kind]
        case ListOf(item):
            return _list_fitter(fitter(item))
        case Struct(fields):
            return _struct_fitter([(name, fitter(each)) for name, each in fields])


def column_fitter(fit: Convert) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """`fit` for all values of a column. Those of its very type need no look at each."""
    own = _OWN_TYPES.get(fit)
    if own is None:
        return lambda values: [fit(value) for value in values]
    return lambda values: (
        values if own.issuperset(map(type, values)) else [fit(value) for value in values]
    )


def as_text(value: Any) -> str | None:
    """A value where a text is wanted: a text as it is, null as null, the rest as compact JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def encoder(kind: Type) -> Convert | None:
    """What puts JSON text in the place of every json value, for files that have no such type;
    None: there is nothing to do. Null stays null.
    """
    match kind:
        case Scalar.JSON:
            return _json_text
        case ListOf(item):
            inner = encoder(item)
            return None if inner is None else _each(inner)
        case Struct(fields):
            parts = {name: found for name, each in fields if (found := encoder(each)) is not None}
            return _parts(parts) if parts else None
    return None


def _json_text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _each(inner: Convert) -> Convert:
    return lambda value: None if value is None else [inner(each) for each in value]


def _parts(parts: Mapping[str, Convert]) -> Convert:
    def encode(value: Any) -> Any:
        if value is None:
            return None
        return {name: parts[name](each) if name in parts else each for name, each in value.items()}

    return encode


def _list_fitter(inner: Convert) -> Convert:
    def fit(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise _unfit("a list", value)
        return [inner(each) for each in value]

    return fit


def _struct_fitter(parts: list[tuple[str, Convert]]) -> Convert:
    def fit(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _unfit("an object", value)
        return {name: inner(value.get(name)) for name, inner in parts}

    return fit


def _string(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise _unfit("a text", value)


def _integer(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit("a whole number", value)
    if not INT64_MIN <= value <= INT64_MAX:
        raise UnfitError("it is a whole number beyond 64 bits")
    return value


def _number(value: Any) -> Any:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit("a number", value)
    return float(value)


def _boolean(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    word = value.strip().casefold() if isinstance(value, str) else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _unfit("true or false", value)


def _unfit(wanted: str, value: object) -> UnfitError:
    return UnfitError(f"it is {_NAMES.get(type(value), 'something else')}, not {wanted}")


_NAMES: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_SCALARS: Final[Mapping[Scalar, Convert]] = {
    Scalar.STRING: _string,
    Scalar.INT64: _integer,
    Scalar.FLOAT64: _number,
    Scalar.BOOL: _boolean,
    Scalar.JSON: lambda value: value,
}
_OWN_TYPES: Final[Mapping[Convert, frozenset[type]]] = {
    _string: frozenset({str, type(None)}),
    as_text: frozenset({str, type(None)}),
    _number: frozenset({float, type(None)}),
    _boolean: frozenset({bool, type(None)}),
}
"""What these leave as it is."""

"""What becomes of the types of a Parquet file: values as JSON has them, or no value at all.

Texts, numbers, truth values, lists and structs stay what they are. Times, durations and decimals
become texts, maps become objects, and a UUID its text. What has no text (bytes, so images too) is
left out and named with its type: it is refused only where it is asked for.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa

Convert = Callable[[Any], Any]
"""A value as Arrow gives it, None included, to one that JSON has. Raises `UnreadableValueError`."""

INDEX_COLUMN: Final = re.compile(r"__index_level_[0-9]+__")
"""What pandas calls an index that has no name."""

_NANOSECONDS: Final = 1_000_000_000
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": _NANOSECONDS}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_END: Final = len("2026-11-23T12:30:01")
_OUT_OF_RANGE: Final = "out of the years 1 to 9999"


class UnreadableValueError(ValueError):
    """One value that JSON has no text for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """How the values of one type are read: cast to `raw` first, then converted. Without a `raw`
    they can't be read; without `convert` they stay what they are. `unread` are the dotted paths
    inside the type that are left out, and their types; the empty path is the type itself.
    """

    raw: "pa.DataType | None"
    convert: Convert | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


def reader_of(kind: "pa.DataType") -> Reader:
    """The reader of a type."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(kind)
    if types.is_dictionary(kind):
        inner = reader_of(kind.value_type)
        # Left as it is, a text that is repeated stands in memory once.
        plain = inner.raw == kind.value_type and inner.convert is None
        return Reader(raw=kind) if plain else inner
    for matches, make in _MAKERS:
        if matches(kind):
            return make(kind)
    if any(matches(kind) for matches in _PLAIN):
        return Reader(raw=kind)
    return _unreadable(kind)


def _unreadable(kind: "pa.DataType") -> Reader:
    return Reader(raw=None, unread={"": str(kind)})


def _is_plain_float(kind: "pa.DataType") -> bool:
    return pa.types.is_float32(kind) or pa.types.is_float64(kind)


def _extension(kind: "pa.BaseExtensionType") -> Reader:
    if kind.extension_name == "arrow.uuid":
        return Reader(raw=kind.storage_type, convert=lambda value: value and str(UUID(bytes=value)))
    return reader_of(kind.storage_type)


def _half_float(_kind: "pa.DataType") -> Reader:
    return Reader(raw=pa.float32())


def _decimal(kind: "pa.DataType") -> Reader:
    return Reader(raw=kind, convert=lambda value: None if value is None else str(value))


# ── times ──────────────────────────────────────────────────────────────────────────────────────


def _fraction(nanoseconds: int) -> str:
    """A part of a second as Python writes it, and nine digits where six are not enough."""
    if not nanoseconds:
        return ""
    return f".{nanoseconds:09}" if nanoseconds % 1000 else f".{nanoseconds // 1000:06}"


def _timestamp(kind: Any) -> Reader:
    per_second = _PER_SECOND[kind.unit]
    nanoseconds = _NANOSECONDS // per_second
    zone = _zone(kind.tz)

    def convert(value: int | None) -> str | None:
        if value is None:
            return None
        seconds, rest = divmod(value, per_second)
        try:
            moment = _EPOCH + timedelta(seconds=seconds)
            local = moment.replace(tzinfo=None) if kind.tz is None else moment.astimezone(zone)
        except OverflowError:
            raise UnreadableValueError(_OUT_OF_RANGE) from None
        text = local.isoformat()
        return text[:_SECONDS_END] + _fraction(rest * nanoseconds) + text[_SECONDS_END:]

    return Reader(raw=pa.int64(), convert=convert)


def _zone(name: str | None) -> Any:
    """UTC for a zone that this machine doesn't know: the moment is the same."""
    if name is None or name.upper() == "UTC":
        return UTC
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", name)
    try:
        if offset is None:
            return ZoneInfo(name)
        sign, hours, minutes = offset.groups()
        return datetime.strptime(f"{sign}{hours}{minutes}", "%z").tzinfo
    except (KeyError, ValueError, OSError):
        return UTC


def _time(kind: Any) -> Reader:
    per_second = _PER_SECOND[kind.unit]
    nanoseconds = _NANOSECONDS // per_second

    def convert(value: int | None) -> str | None:
        if value is None:
            return None
        seconds, rest = divmod(value, per_second)
        if not 0 <= seconds < timedelta(days=1).total_seconds():
            raise UnreadableValueError("out of a day")
        moment = _EPOCH + timedelta(seconds=seconds)
        return moment.time().isoformat() + _fraction(rest * nanoseconds)

    return Reader(raw=pa.int32() if pa.types.is_time32(kind) else pa.int64(), convert=convert)


def _date(kind: Any) -> Reader:
    days_per_unit = (
        1 if pa.types.is_date32(kind) else timedelta(days=1) // timedelta(milliseconds=1)
    )

    def convert(value: int | None) -> str | None:
        if value is None:
            return None
        try:
            return (date(1970, 1, 1) + timedelta(days=value // days_per_unit)).isoformat()
        except OverflowError:
            raise UnreadableValueError(_OUT_OF_RANGE) from None

    return Reader(raw=pa.int32() if pa.types.is_date32(kind) else pa.int64(), convert=convert)


def _duration(kind: Any) -> Reader:
    per_second = _PER_SECOND[kind.unit]
    nanoseconds = _NANOSECONDS // per_second

    def convert(value: int | None) -> str | None:
        if value is None:
            return None
        seconds, rest = divmod(value, per_second)
        try:
            text = str(timedelta(seconds=seconds))
        except OverflowError:
            raise UnreadableValueError("too long") from None
        return text + _fraction(rest * nanoseconds)

    return Reader(raw=pa.int64(), convert=convert)


# ── what holds others ──────────────────────────────────────────────────────────────────────────


def _list(kind: Any) -> Reader:
    inner = reader_of(kind.value_type)
    if inner.raw is None:
        return _unreadable(kind)
    field = kind.value_field.with_type(inner.raw)
    if pa.types.is_fixed_size_list(kind):
        raw: Any = pa.list_(field, kind.list_size)
    elif pa.types.is_large_list(kind):
        raw = pa.large_list(field)
    else:
        raw = pa.list_(field)
    convert = inner.convert
    if convert is None:
        return Reader(raw=raw, unread=inner.unread)
    return Reader(
        raw=raw,
        convert=lambda value: None if value is None else [convert(each) for each in value],
        unread=inner.unread,
    )


def _struct(kind: Any) -> Reader:
    fields: list[Any] = []
    converts: dict[str, Convert] = {}
    unread: dict[str, str] = {}
    for each in kind:
        inner = reader_of(each.type)
        unread |= {
            f"{each.name}.{path}" if path else each.name: told
            for path, told in inner.unread.items()
        }
        if inner.raw is not None:
            fields.append(each.with_type(inner.raw))
        if inner.convert is not None:
            converts[each.name] = inner.convert
    if not fields:
        return _unreadable(kind)

    def convert(value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            for name, convert_value in converts.items():
                value[name] = convert_value(value[name])
        return value

    return Reader(raw=pa.struct(fields), convert=convert if converts else None, unread=unread)


def _map(kind: Any) -> Reader:
    keys, items = reader_of(kind.key_type), reader_of(kind.item_type)
    if keys.raw is None or items.raw is None or pa.types.is_nested(kind.key_type):
        return _unreadable(kind)

    def convert(value: list[tuple[Any, Any]] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        return {
            _text(keys.convert(key) if keys.convert else key): (
                items.convert(item) if items.convert else item
            )
            for key, item in value
        }

    return Reader(raw=pa.map_(keys.raw, items.raw), convert=convert, unread=items.unread)


def _text(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


_MAKERS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], Reader]], ...]] = (
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_time, _time),
    (pa.types.is_date, _date),
    (pa.types.is_duration, _duration),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_float16, _half_float),
    (pa.types.is_list, _list),
    (pa.types.is_large_list, _list),
    (pa.types.is_fixed_size_list, _list),
    (pa.types.is_struct, _struct),
    (pa.types.is_map, _map),
)
_PLAIN: Final[tuple[Callable[[Any], bool], ...]] = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    _is_plain_float,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
)


def leaves_of(kind: "pa.DataType", path: str, unread: Mapping[str, str]) -> Iterator[bool]:
    """For each column that the file holds of a type, in order: whether it is read."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if path in unread:
        inner: list[tuple[Any, str]] = [(field.type, path) for field in _fields(kind)]
    elif pa.types.is_struct(kind):
        inner = [(field.type, f"{path}.{field.name}") for field in _fields(kind)]
    else:
        inner = [(field.type, path) for field in _fields(kind)]
    if not inner:
        yield path not in unread
    for each, below in inner:
        yield from leaves_of(each, below, unread)


def _fields(kind: Any) -> list[Any]:
    if pa.types.is_struct(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [kind.field(number) for number in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if pa.types.is_fixed_size_list(kind):
        return [kind.value_field]
    return []

"""Arrow arrays out of Python values, by their buffers.

`pyarrow.array` imports pandas wherever that is installed, to ask whether it was given a series: a
fifth of a second and 50 MiB in a process that has just made its last call.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final

from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.export.columns import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def array_of(values: Sequence[Any], kind: Type) -> "pa.Array[Any]":
    """Values that fit the type, texts in the place of JSON. Null stands where there is none; a
    struct may lack names, whose values are null.
    """
    stored, wanted = _stored(values, kind), arrow_type(kind)
    return stored if stored.type == wanted else stored.cast(wanted)


def timestamps(times: Sequence[datetime]) -> "pa.Array[Any]":
    """Times in UTC, by the microsecond."""
    import pyarrow as pa  # noqa: PLC0415 - some 0.1 s and 40 MiB that text need not pay

    numbers = array("q", ((time - _EPOCH) // _MICROSECOND for time in times))
    kind = pa.timestamp("us", tz="UTC")
    return pa.Array.from_buffers(kind, len(times), [None, pa.py_buffer(numbers)])


def _stored(values: Sequence[Any], kind: Type) -> "pa.Array[Any]":
    import pyarrow as pa  # noqa: PLC0415 - as above

    buffers: list[pa.Buffer | None] = [_present(values)]
    children: list[pa.Array[Any]] = []
    match kind:
        case ListOf(item):
            buffers.append(_offsets(0 if each is None else len(each) for each in values))
            items = chain.from_iterable(each for each in values if each is not None)
            children.append(_stored(list(items), item))
        case Struct(fields):
            children += [_stored(list(_field(values, name)), each) for name, each in fields]
        case Scalar.STRING | Scalar.JSON:
            texts = [b"" if each is None else each.encode() for each in values]
            buffers += [_offsets(map(len, texts)), pa.py_buffer(b"".join(texts))]
        case Scalar.BOOL:
            buffers.append(_bits(map(bool, values)))
        case Scalar.INT64 | Scalar.FLOAT64:
            numbers = (0 if each is None else each for each in values)
            code = "q" if kind is Scalar.INT64 else "d"
            buffers.append(pa.py_buffer(array(code, numbers)))
    kind_there = arrow_type(kind, stored=True)
    return pa.Array.from_buffers(kind_there, len(values), buffers, children=children or None)


def _field(values: Iterable[Any], name: str) -> Iterator[Any]:
    return (None if each is None else each.get(name) for each in values)


def _present(values: Sequence[Any]) -> "pa.Buffer | None":
    """A bit for each value that is not null; None: all are there."""
    return _bits(each is not None for each in values) if None in values else None


def _offsets(lengths: Iterable[int]) -> "pa.Buffer":
    import pyarrow as pa  # noqa: PLC0415 - as above

    return pa.py_buffer(array("i", accumulate(lengths, initial=0)))


def _bits(flags: Iterable[bool]) -> "pa.Buffer":
    """The first is the lowest bit."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    digits = "".join("1" if flag else "0" for flag in flags)[::-1]
    return pa.py_buffer(int(digits or "0", 2).to_bytes((len(digits) + 7) // 8, "little"))

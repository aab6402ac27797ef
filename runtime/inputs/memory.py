"""Seeds in memory as JSON lines: lists of mappings, tables of pandas or Arrow."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.seeds import seeds

_NOTHING: Final = object()
"""In place of what pandas doesn't have: another thread may be importing it."""


def lines_in_memory(source: Any) -> Iterator[bytes]:
    """Seeds in memory as JSON lines, one after the other. Raises `SeedError`."""
    return _json_lines(_rows_of(source))


def _rows_of(source: Any) -> Iterable[Any]:
    pandas = sys.modules.get("pandas")  # who has a frame has imported it
    frame: Any = getattr(pandas, "DataFrame", None)  # absent while another thread imports it
    if frame is not None and isinstance(source, frame):
        _check_columns(source.columns)
        rows: Iterable[Any] = source.to_dict("records")
        return rows
    if hasattr(source, "__arrow_c_stream__"):
        import pyarrow as pa  # noqa: PLC0415 - it takes longer to import than a small job to run

        try:
            table = pa.table(source)
        except (TypeError, ValueError, pa.ArrowException) as exc:  # a column, say
            raise SeedError(
                "seeds are a path, a list of mappings, or a table with named columns, not "
                f"{type(source).__name__}"
            ) from exc
        _check_columns(table.column_names)
        return (row for batch in table.to_batches() for row in batch.to_pylist())
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes | bytearray):
        return source
    raise SeedError(
        "seeds are a path, a list of mappings, or a table of pandas or Arrow, not "
        f"{type(source).__name__}"
    )


def _check_columns(names: Iterable[object]) -> None:
    counted = Counter(names)
    for name, count in counted.items():
        if not isinstance(name, str):
            raise SeedError(f"seeds: the column {name!r} needs a text as its name")
        if count > 1:
            raise SeedError(f"seeds: {count} columns are named {name!r}: rename them")


def _json_lines(rows: Iterable[Any]) -> Iterator[bytes]:
    size = 0
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise SeedError(f"seeds, record {number}: expected a mapping, got {type(row).__name__}")
        try:
            line = orjson.dumps(
                dict(row),
                default=_value,
                option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
            )
        except TypeError as exc:  # also a number that is too large, and a key that is no text
            raise SeedError(
                f"seeds, record {number}: only texts, numbers, times, lists and mappings with "
                "texts as keys can be seeds"
            ) from exc
        size += len(line)
        if size > seeds.MAX_SEED_BYTES:
            raise SeedError(
                f"seeds: larger than {seeds.MAX_SEED_BYTES // 1024} KiB, which is the limit"
            )
        yield line
    if not size:
        raise SeedError("seeds: there are none")


def _value(value: Any) -> Any:
    """What JSON has for a value that it doesn't know. Raises `TypeError`."""
    pandas = sys.modules.get("pandas")
    missing = (getattr(pandas, "NA", _NOTHING), getattr(pandas, "NaT", _NOTHING))
    if any(value is each for each in missing):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, date | time):  # subclasses: where pandas is installed, its Timestamp
        return value.isoformat()
    raise TypeError

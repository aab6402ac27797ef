"""Seeds from files and from memory: rows, and the bytes that a job keeps a copy of.

What is in memory becomes JSON lines and is read like a file of them, so a list, a table of Arrow
or pandas, and a `.jsonl` file with the same rows are the same seeds and make the same dataset.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.seeds.readers import json_value
from runtime.domain.seeds.seeds import MAX_SEED_BYTES, Row, missing_paths, parse_seeds
from runtime.inputs.files import read_file

SeedSource = Any
"""A seed file (`str` or `Path`), a list of mappings, a pandas DataFrame, or anything that gives
itself as an Arrow table: pyarrow's, or one with `__arrow_c_stream__` such as a frame of polars.
"""

_NOTHING: Final = object()
"""In place of what pandas doesn't have: another thread may be importing it."""

IN_MEMORY: Final = "seeds.jsonl"
"""What the copy of seeds from memory is called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedFile:
    """Seeds as read: their rows, and the bytes that a job keeps a copy of."""

    name: str
    body: bytes
    rows: list[Row]


def read_seeds(source: SeedSource, requirements: Sequence[str]) -> SeedFile:
    """Seeds of which each has what the template needs. Raises `SeedError`."""
    if isinstance(source, str | Path):
        path = Path(source)
        shown, name = str(path), path.name
        body = read_file(path, MAX_SEED_BYTES, SeedError)
    else:
        shown, name = "seeds", IN_MEMORY
        body = lines_of(source)
    rows = parse_seeds(body, name)
    missing = list(missing_paths(rows, requirements))
    if missing:
        first = missing[0]
        more = f" ({len(missing) - 1} more like this)" if len(missing) > 1 else ""
        raise SeedError(
            f"{shown}, record {first.row}: the template needs {first.path!r}, which this seed "
            f"lacks{more}"
        )
    return SeedFile(name=name, body=body, rows=rows)


def lines_of(source: SeedSource) -> bytes:
    """Seeds in memory as JSON lines. Raises `SeedError`."""
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


def _json_lines(rows: Iterable[Any]) -> bytes:
    lines: list[bytes] = []
    size = 0
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise SeedError(f"seeds, record {number}: expected a mapping, got {type(row).__name__}")
        try:
            line = orjson.dumps(dict(row), default=_value, option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as exc:  # also a number that is too large, and a key that is no text
            raise SeedError(
                f"seeds, record {number}: only texts, numbers, times, lists and mappings with "
                "texts as keys can be seeds"
            ) from exc
        lines.append(line)
        size += len(line) + 1
        if size > MAX_SEED_BYTES:
            raise SeedError(f"seeds: larger than {MAX_SEED_BYTES // 1024} KiB, which is the limit")
    if not lines:
        raise SeedError("seeds: there are none")
    return b"\n".join(lines) + b"\n"


def _value(value: Any) -> Any:
    """What JSON has for a value that it doesn't know. Raises `TypeError`."""
    pandas = sys.modules.get("pandas")
    missing = (getattr(pandas, "NA", _NOTHING), getattr(pandas, "NaT", _NOTHING))
    if any(value is each for each in missing):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    return json_value(value)

"""Seed data: JSON, JSONL, CSV or Parquet bytes to rows, with the place of every problem.

A seed is an object. Its id is its own `id` field where that is a string or a whole number, else
`row-N` with N counted from 1.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final

import orjson

from runtime.domain.errors import SeedError

MAX_SEED_BYTES: Final = 256 * 1024 * 1024
"""Largest seed file. Seeds stay in memory while a job runs, and memory must stay bounded."""

FORMATS: Final = ("json", "jsonl", "csv", "parquet")
_SUFFIXES: Final[Mapping[str, str]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """A required path that a seed lacks; `row` counts from 1."""

    row: int
    path: str


def parse_seeds(body: bytes, name: str) -> list[Row]:
    """All seeds of a file. The suffix of `name` gives the format.

    Raises `SeedError`: unknown suffix, too large, no seeds, or damage with line and column.
    """
    kind = check_suffix(name)
    if len(body) > MAX_SEED_BYTES:
        raise SeedError(f"{name}: {len(body)} bytes; the limit is {MAX_SEED_BYTES}")
    parse = {"json": _json, "jsonl": _jsonl, "csv": _csv, "parquet": _parquet}[kind]
    rows = parse(body, name)
    if not rows:
        raise SeedError(f"{name}: there are no seeds in it")
    return rows


def check_suffix(name: str) -> str:
    """Which of `FORMATS` a file of this name holds. Raises `SeedError`."""
    kind = _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise SeedError(f"{name}: seeds are .json, .jsonl, .csv or .parquet files")
    return kind


def seed_id(row: Row, position: int) -> str:
    """The id of the seed at `position` (from 0)."""
    own = row.get("id")
    if isinstance(own, str) and own:
        return own
    if isinstance(own, int) and not isinstance(own, bool):
        return str(own)
    return f"row-{position + 1}"


def missing_paths(rows: Sequence[Row], requirements: Sequence[str]) -> Iterator[Missing]:
    """Every required path that a row lacks, in row order. An empty value is not missing."""
    paths = [(path, tuple(path.split("."))) for path in requirements]
    for number, row in enumerate(rows, start=1):
        for path, parts in paths:
            value: Any = row
            for part in parts:
                if not isinstance(value, Mapping) or part not in value:
                    yield Missing(number, path)
                    break
                value = value[part]


def _text(body: bytes, name: str) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        # `exc.object` is what `exc.start` counts in: the body without its byte order mark.
        before = exc.object[: exc.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SeedError(f"{name}, line {line}, column {column}: not UTF-8 text") from exc


def _document(text: str, name: str, line: int | None = None) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        place = f"line {line or exc.lineno}, column {exc.colno}"
        raise SeedError(f"{name}, {place}: not valid JSON: {exc.msg}") from exc


def _json(body: bytes, name: str) -> list[Row]:
    text = _text(body, name)
    if not text.strip():
        return []
    rows = _document(text, name)
    if not isinstance(rows, list):
        raise SeedError(f"{name}: expected an array of objects, or one object a line in .jsonl")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise SeedError(f"{name}, record {number}: expected an object")
    return rows


def _jsonl(body: bytes, name: str) -> list[Row]:
    rows: list[Row] = []
    # Only "\n" separates lines: str.splitlines would cut at U+2028 inside a string.
    for number, line in enumerate(_text(body, name).split("\n"), start=1):
        if line.strip():
            row = _document(line.removesuffix("\r"), name, number)
            if not isinstance(row, dict):
                raise SeedError(f"{name}, line {number}: expected an object")
            rows.append(row)
    return rows


def _csv(body: bytes, name: str) -> list[Row]:
    reader = csv.reader(io.StringIO(_text(body, name), newline=""), strict=True)
    header: Sequence[str] = ()
    rows: list[Row] = []
    line = 1  # where the current row begins: quoted cells may hold line ends
    try:
        for cells in reader:
            if not header:
                header = cells
                _check_header(header, name, line)
            elif cells and len(cells) != len(header):
                raise SeedError(
                    f"{name}, line {line}: {len(cells)} cells where the header has {len(header)}"
                )
            elif cells:
                rows.append(dict(zip(header, cells, strict=True)))
            line = reader.line_num + 1
    except csv.Error as exc:
        raise SeedError(f"{name}, line {line}, column 1: not a valid CSV row: {exc}") from exc
    return rows


def _check_header(header: Sequence[str], name: str, line: int) -> None:
    seen: set[str] = set()
    for position, column in enumerate(header, start=1):
        if not column.strip():
            raise SeedError(f"{name}, line {line}: column {position} of the header has no name")
        if column in seen:
            raise SeedError(f"{name}, line {line}: the header names {column!r} twice")
        seen.add(column)


def _parquet(body: bytes, name: str) -> list[Row]:
    # pyarrow takes longer to import than a small job takes to run.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        rows = pq.read_table(pa.BufferReader(body)).to_pylist()
        # Prompts are rendered from JSON: times and decimals become text here, once.
        return list(orjson.loads(orjson.dumps(rows, default=_plain)))
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as exc:
        raise SeedError(f"{name}: not a Parquet file of texts, numbers, times and lists") from exc


def _plain(value: object) -> str:
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, date | time):  # subclasses: where pandas is installed, its Timestamp
        return value.isoformat()
    raise TypeError

"""Seed data: what a seed file is, what its rows are called, and what they have to have.

A seed is an object. Its id is its own `id` field where that is a string or a whole number, else
`row-N` with N counted from 1. `readers.py` reads the formats.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from runtime.domain.errors import SeedError
from runtime.domain.seeds.readers import (
    Found,
    Row,
    load_json,
    read_csv,
    read_json,
    read_jsonl,
    read_parquet,
)

__all__ = ["Found", "Row"]

MAX_SEED_BYTES: Final = 256 * 1024 * 1024
"""Largest seed file. Seeds stay in memory while a job runs, and memory must stay bounded."""
MAX_SEEDS: Final = 1_000_000
"""Most seeds of a file: a job has no more records than that."""

_SUFFIXES: Final[Mapping[str, str]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
_READERS: Final[Mapping[str, Callable[[BinaryIO, str], Iterator[Found]]]] = {
    "json": read_json,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
}
FORMATS: Final = tuple(_READERS)


@dataclass(frozen=True, slots=True)
class Missing:
    """A required path that a seed lacks; `row` counts from 1."""

    row: int
    path: str


def check_suffix(name: str) -> str:
    """Which of `FORMATS` a file of this name holds. Raises `SeedError`."""
    kind = _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise SeedError(f"{name}: seeds are .json, .jsonl, .csv or .parquet files")
    return kind


def check_seed_size(size: int, name: str) -> None:
    """Raises `SeedError` for a file of more than `MAX_SEED_BYTES`."""
    if size > MAX_SEED_BYTES:
        raise SeedError(f"{name}: {size} bytes; the limit is {MAX_SEED_BYTES}")


def read_seeds(file: BinaryIO, name: str) -> Iterator[Found]:
    """The rows of a file in order, read as they are asked for. A Parquet file has to be seekable.

    Raises `SeedError`: unknown suffix, no rows, too many, or damage with line and column.
    """
    count = 0
    for count, found in enumerate(_READERS[check_suffix(name)](file, name), start=1):
        if count > MAX_SEEDS:
            raise SeedError(f"{name}: more than {MAX_SEEDS} seeds, which is the limit")
        yield found
    if count == 0:
        raise SeedError(f"{name}: there are no seeds in it")


def parse_seeds(body: bytes, name: str) -> list[Row]:
    """All seeds of a file. The suffix of `name` gives the format.

    Raises `SeedError`: unknown suffix, too large, no seeds, damage with line and column, or a row
    that is no seed.
    """
    kind = check_suffix(name)
    check_seed_size(len(body), name)
    if kind == "json" and (loaded := load_json(body)) and len(loaded) <= MAX_SEEDS:
        return loaded
    rows: list[Row] = []
    for found in read_seeds(io.BytesIO(body), name):
        if found.row is None:
            place = f"record {len(rows) + 1}" if kind == "json" else f"line {found.line}"
            raise SeedError(f"{name}, {place}: {found.problem}")
        rows.append(found.row)
    return rows


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
    for number, row in enumerate(rows, start=1):
        for path in requirements:
            if not has_path(row, path):
                yield Missing(number, path)


def check_paths(rows: Sequence[Row], requirements: Sequence[str], name: str) -> None:
    """Raises `SeedError` that names the first seed of the file `name` without a required path."""
    missing = next(missing_paths(rows, requirements), None)
    if missing is not None:
        raise SeedError(
            f"{name}, record {missing.row}: the template needs {missing.path!r}, which this seed"
            " lacks"
        )


def has_path(row: Row, path: str) -> bool:
    """Whether a dotted path leads to a value, also to an empty one."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True

"""Reads seed files of every format, as a stream or into `SeedRows`."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import BinaryIO, Final

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.jobs.record import RECORD_FIELDS
from runtime.domain.seeds import seeds
from runtime.domain.seeds.readers import Found, read_csv, read_json, read_jsonl
from runtime.domain.seeds.seeds import check_suffix, lacks
from runtime.files.parquet import read_parquet
from runtime.files.rows import RowWriter, SeedRows

_READERS: Final[Mapping[str, Callable[[BinaryIO, str], Iterator[Found]]]] = {
    "json": read_json,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "tsv": partial(read_csv, separator="\t"),
    "parquet": read_parquet,
}
READABLE: Final = tuple(_READERS)
"""Every format; the pinned object of a job has one of those that `check_suffix` knows."""


def read_rows(file: BinaryIO, name: str, kind: str | None = None) -> Generator[Found, None, None]:
    """The rows of a file in order, read as they are asked for. The format is `kind`, one of
    `READABLE`; without it the suffix of `name` gives it.

    Raises `SeedError`: unknown suffix, no rows, too many, or damage with line and column.
    """
    count = 0
    reader = _READERS[kind or check_suffix(name)]
    for count, found in enumerate(reader(file, name), start=1):
        if count > seeds.MAX_SEEDS:
            raise SeedError(f"{name}: more than {seeds.MAX_SEEDS} seeds, which is the limit")
        yield _as_record(found)
    if count == 0:
        raise SeedError(f"{name}: there are no seeds in it")


def _as_record(found: Found) -> Found:
    """Records of a dataset are the same seeds whichever format they were exported to: Parquet and
    CSV have the outputs as one text.
    """
    row = found.row
    if row is None or row.keys() != _RECORD_FIELDS:
        return found
    outputs = row[_OUTPUTS]
    if not isinstance(outputs, str):
        return found
    try:
        return found._replace(row={**row, _OUTPUTS: orjson.loads(outputs)})
    except orjson.JSONDecodeError:
        return found


_RECORD_FIELDS: Final = frozenset(RECORD_FIELDS)
_OUTPUTS: Final = "generation_result"


def load_rows(
    file: BinaryIO,
    name: str,
    *,
    shown: str | None = None,
    requirements: Sequence[str] = (),
    kind: str | None = None,
) -> SeedRows:
    """All seeds of a file, each with what the template needs, in the memory of a few. `shown` is
    where a user knows them from, if that is not `name`; `kind` is as `read_rows` takes it.

    Raises `SeedError` as `read_rows` does, and for a row that is no seed or lacks a path; and
    `StorageError` when the disk is full.
    """
    writer = RowWriter()
    try:
        _fill(writer, read_rows(file, name, kind), name, shown or name, requirements, kind)
        return writer.rows()
    except BaseException:
        writer.close()
        raise


def _fill(
    writer: RowWriter,
    rows: Iterator[Found],
    name: str,
    shown: str,
    requirements: Sequence[str],
    kind: str | None,
) -> None:
    first, more = "", -1
    for number, found in enumerate(rows, start=1):
        if found.row is None:
            raise no_seed(found, number, name, kind or check_suffix(name))
        for _, message in lacks(found, requirements):
            first = first or f"{shown}, record {number}: {message}"
            more += 1
        writer.add(found.row)
    if first:
        raise SeedError(f"{first} ({more} more like this)" if more else first)


def no_seed(found: Found, number: int, name: str, kind: str) -> SeedError:
    """What to say of the row at `number`, from 1, of a file of this format that is no seed."""
    # The elements of an array are no lines.
    place = f"record {number}" if kind == "json" else f"line {found.line}"
    return SeedError(f"{name}, {place}: {found.problem}")

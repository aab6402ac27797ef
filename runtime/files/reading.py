"""Reads seed files of every format, as a stream or into `SeedRows`."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import BinaryIO, Final, cast

from runtime.domain.errors import SeedError
from runtime.domain.seeds import seeds
from runtime.domain.seeds.readers import Found, Row, read_csv, read_json, read_jsonl
from runtime.domain.seeds.seeds import check_suffix, lacks
from runtime.files.json_lines import load_json_lines
from runtime.files.parquet import read_parquet
from runtime.files.records import as_record
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
    """Records of a dataset are the same seeds whichever format they were exported to."""
    if found.row is None:
        return found
    row = as_record(found.row)
    return found if row is found.row else found._replace(row=row)


def load_rows(
    file: BinaryIO,
    name: str,
    *,
    shown: str | None = None,
    requirements: Sequence[str] = (),
    kind: str | None = None,
    on_bytes: Callable[[int], object] = lambda _count: None,
    on_row: Callable[[Row], object] | None = None,
) -> SeedRows:
    """All seeds of a file, each with what the template needs, in the memory of a few. `shown` is
    where a user knows them from, if that is not `name`; `kind` is as `read_rows` takes it.
    `on_bytes` is called with every number of bytes that were read, also with none while it goes on,
    and `on_row` with every row.

    Raises `SeedError` as `read_rows` does, and for a row that is no seed or lacks a path;
    `StorageError` when the disk is full; and what the two raise.
    """
    kind = kind or check_suffix(name)
    if kind == "jsonl":
        return load_json_lines(
            file,
            name,
            shown=shown or name,
            requirements=requirements,
            on_bytes=on_bytes,
            on_row=on_row,
        )
    # A process reads Parquet by the file's own descriptor.
    counted = file if kind == "parquet" else cast("BinaryIO", _Counted(file, on_bytes))
    writer = RowWriter()
    try:
        found = _watched(read_rows(counted, name, kind), on_bytes, on_row)
        _fill(writer, found, name, shown or name, requirements, kind)
        return writer.rows()
    except BaseException:
        writer.close()
        raise


class _Counted:
    """A file that says how much of it was read."""

    def __init__(self, file: BinaryIO, on_bytes: Callable[[int], object]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self._on_bytes(len(chunk))
        return chunk


def _watched(
    rows: Iterator[Found],
    on_bytes: Callable[[int], object],
    on_row: Callable[[Row], object] | None,
) -> Iterator[Found]:
    for number, found in enumerate(rows, start=1):
        if on_row is not None and found.row is not None:
            on_row(found.row)
        if number % _BEAT_ROWS == 0:
            on_bytes(0)
        yield found


_BEAT_ROWS: Final = 1000


def _fill(
    writer: RowWriter,
    rows: Iterator[Found],
    name: str,
    shown: str,
    requirements: Sequence[str],
    kind: str,
) -> None:
    first, more = "", -1
    for number, found in enumerate(rows, start=1):
        if found.row is None:
            raise no_seed(found, number, name, kind)
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

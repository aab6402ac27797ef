"""Rows as files: Parquet in parts that loaders know, and JSONL and CSV for each split.

    data/train-00000-of-00002.parquet    a range of indices each, so that the files of shards follow
    data/train-00001-of-00002.parquet    each other (`joining.py`)
    data/test-00000-of-00001.parquet
    data-jsonl/train.jsonl, data-csv/train.csv    where asked for

Nothing is published before the last row, and then all of it. Memory is bounded by a row group of
each open file and what the object store buffers, never by the number of rows.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, repeat
from typing import Any, Final

import orjson

from runtime.contract.keys import (
    JSON_LINES,
    row_file_name,
    row_folders,
    row_text_name,
)
from runtime.domain.errors import ExportError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.outputs.fitting import encoder
from runtime.domain.outputs.types import Scalar, Type
from runtime.domain.ports import ObjectStore
from runtime.export.arrays import array_of
from runtime.export.columns import arrow_schema
from runtime.export.formats import (
    CSV_BUFFER_CHARACTERS,
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    csv_head,
    inert,
)

FILE_BYTES: Final = 256 * 1024 * 1024
"""Bytes of stored records that one Parquet file is made of: about what the Hub's viewer likes."""

_TEXT: Final = frozenset({str})

Values = Sequence[Any]
"""The cells of a row, in the order of the columns: plain Python values that fit their types, with
every name that these have. Null stands where there is none: a reader that guesses types from the
first lines would lose what only comes later.
"""
Put = Callable[[Sequence[tuple[int, Values]]], None]
"""Takes the rows of some records, each with its index."""


def file_count(stored_bytes: int, share: float) -> int:
    """How many files a split gets that holds `share` of records of `stored_bytes`."""
    return max(1, round(stored_bytes * share / FILE_BYTES))


@dataclass(frozen=True, kw_only=True, slots=True)
class RowPlan:
    """What is written: `files` says how many Parquet files each split gets, `records` how many
    indices there are, from `first` on. `folder` is below `exports`, the prefix of what a job
    exports, or of a piece of it.
    """

    exports: str
    folder: str
    columns: Mapping[str, Type]
    files: Mapping[str, int]
    records: int
    first: int = 0
    formats: frozenset[OutputFormat] = frozenset()
    """Besides Parquet."""
    byte_order_mark: bool = False
    """CSV begins with one, by which spreadsheets know UTF-8."""


class RowFiles:
    """Opened by `open_rows`. `counts` are rows by split, `keys` what is published in the end."""

    def __init__(self, objects: ObjectStore, plan: RowPlan, publishing: ExitStack) -> None:
        self._objects = objects
        self._plan = plan
        self._publishing = publishing
        self._puts: dict[str, tuple[Put, ...]] = {}
        self.counts: dict[str, int] = dict.fromkeys(plan.files, 0)
        self.keys: list[str] = []

    def write(self, split: str, rows: Sequence[tuple[int, Values]]) -> None:
        """Some rows, each with its index. Indices of a split ascend. Raises `StorageError`,
        `ExportError`.
        """
        if not rows:
            return
        puts = self._puts.get(split)
        if puts is None:
            puts = self._puts[split] = tuple(self._open(split))
        for put in puts:
            put(rows)
        self.counts[split] += len(rows)

    def _open(self, split: str) -> Iterator[Put]:
        prefix = f"{self._plan.exports}{self._plan.folder}/"
        yield self._entered(_parquet(self._objects, self._plan, prefix, split, self.keys))
        texts = {OutputFormat.JSONL: _jsonl, OutputFormat.CSV: _csv}
        for output_format, opened in texts.items():
            if output_format in self._plan.formats:
                name = row_text_name(self._plan.folder, split, output_format.lower())
                key = self._plan.exports + name
                self.keys.append(key)
                yield self._entered(opened(self._objects, self._plan, key))

    def _entered(self, opened: Any) -> Put:
        put: Put = self._publishing.enter_context(opened)
        return put


@contextmanager
def open_rows(objects: ObjectStore, plan: RowPlan) -> Iterator[RowFiles]:
    """The files are published, and what an earlier export left in their folders goes, when the
    block ends without an exception. Raises `StorageError`, `ExportError`.
    """
    with ExitStack() as publishing:
        files = RowFiles(objects, plan, publishing)
        yield files
    remove_others(objects, plan.exports, plan.folder, files.keys)


def remove_others(objects: ObjectStore, exports: str, folder: str, keys: Iterable[str]) -> None:
    """Remove all files of rows in `folder` but those of `keys`. Raises `StorageError`."""
    kept = set(keys)
    for each in row_folders(folder):
        found = objects.list(f"{exports}{each}/")
        objects.delete([stat.key for stat in found if stat.key not in kept])


# ── Parquet ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _parquet(
    objects: ObjectStore, plan: RowPlan, prefix: str, split: str, keys: list[str]
) -> Iterator[Put]:
    """Zstandard-compressed row groups, in as many files as the split gets."""
    # Imported here: it costs some 0.3 s and 60 MiB that text need not pay.
    import pyarrow as pa  # noqa: PLC0415

    count, first = plan.files[split], plan.first
    try:
        with ExitStack() as publishing:
            part: _Part | None = None
            number = -1

            def put(rows: Sequence[tuple[int, Values]]) -> None:
                nonlocal part, number
                for due, some in groupby(
                    rows, lambda row: (row[0] - first) * count // plan.records
                ):
                    while number < due:  # one without rows is a file, too: names hold their number
                        if part is not None:
                            part.finish()
                        number += 1
                        part = open_part(number)
                    if part is not None:
                        part.add([values for _, values in some])

            def open_part(which: int) -> _Part:
                key = prefix + row_file_name(split, which, count)
                keys.append(key)
                return _Part(objects, key, plan.columns, publishing)

            yield put
            while part is not None and number < count - 1:
                part.finish()
                number += 1
                part = open_part(number)
            if part is not None:
                part.finish()
    except pa.ArrowException as exc:
        raise ExportError("the rows can't be written as Parquet: export JSONL or CSV") from exc


class _Part:
    """One Parquet file, which is published with all others."""

    def __init__(
        self, objects: ObjectStore, key: str, columns: Mapping[str, Type], publishing: ExitStack
    ) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - as above

        stream = publishing.enter_context(
            objects.open_writer(key, content_type="application/octet-stream")
        )
        self._schema = arrow_schema(columns)
        self._file: parquet.ParquetWriter = parquet.ParquetWriter(
            stream, self._schema, compression="zstd"
        )
        self._types = tuple(columns.values())
        self._encoders = [encoder(kind) for kind in self._types]
        self._columns: list[list[Any]] = [[] for _ in columns]
        self._bytes = 0

    def add(self, rows: Sequence[Values]) -> None:
        columns = list(zip(*rows, strict=True))
        size = sum(map(_size, columns))
        if len(rows) > 1 and (
            len(self._columns[0]) + len(rows) > ROW_GROUP_ROWS
            or self._bytes + size >= ROW_GROUP_BYTES
        ):
            for row in rows:  # one of them is the last one of a row group
                self.add([row])
            return
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)
        self._bytes += size
        if len(self._columns[0]) >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the end of the file."""
        if self._columns[0]:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - as above

        arrays = []
        for column, encode, kind in zip(self._columns, self._encoders, self._types, strict=True):
            if encode is not None:
                column[:] = map(encode, column)
            arrays.append(array_of(column, kind))
            column.clear()  # one of them is in memory twice, and not all
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._bytes = 0


def _size(column: Sequence[Any]) -> int:
    """About how many bytes its values take."""
    if _TEXT.issuperset(map(type, column)):
        return sum(map(len, column))
    return sum(
        len(value) if type(value) is str else 64 if isinstance(value, list | dict) else 8
        for value in column
        if value is not None
    )


# ── JSONL, CSV ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _jsonl(objects: ObjectStore, plan: RowPlan, key: str) -> Iterator[Put]:
    """One JSON object a line, with every column."""
    names = tuple(plan.columns)
    with objects.open_writer(key, content_type=JSON_LINES) as stream:

        def put(rows: Sequence[tuple[int, Values]]) -> None:
            found = map(dict, map(zip, repeat(names), [values for _, values in rows]))
            lines = [orjson.dumps(each, None, orjson.OPT_APPEND_NEWLINE) for each in found]
            stream.write(b"".join(lines))

        yield put


@contextmanager
def _csv(objects: ObjectStore, plan: RowPlan, key: str) -> Iterator[Put]:
    """RFC 4180 with a header, in UTF-8; null is an empty cell, lists and objects are JSON, and
    cells that begin like a formula are made text.
    """
    with objects.open_writer(key, content_type="text/csv; charset=utf-8") as stream:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        stream.write(csv_head(plan.columns, byte_order_mark=plan.byte_order_mark))
        cells = [_cell(kind) for kind in plan.columns.values()]

        def flush() -> None:
            stream.write(buffer.getvalue().encode())
            buffer.seek(0)
            buffer.truncate()

        def put(rows: Sequence[tuple[int, Values]]) -> None:
            for _, values in rows:
                writer.writerow([cell(value) for cell, value in zip(cells, values, strict=True)])
                if buffer.tell() >= CSV_BUFFER_CHARACTERS:
                    flush()

        yield put
        flush()


def _cell(kind: Type) -> Callable[[Any], str]:
    """How a value of this type is written: a text as it is, everything else as JSON has it."""
    if kind is Scalar.STRING:
        return lambda value: "" if value is None else inert(value)
    return lambda value: "" if value is None else orjson.dumps(value).decode()

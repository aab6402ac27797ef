"""The writers of an export: JSONL (one file, or one a day), CSV and Parquet.

A writer is a context manager that opens one object and yields a function that takes records. The
object is published when the block ends without an exception. Memory is bounded by a row group, a
text buffer and what the object store buffers, never by the number of records.
"""

import codecs
import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import orjson

from runtime.contract.keys import JSON_LINES, partition_key
from runtime.domain.errors import ExportError
from runtime.domain.jobs.record import CHECK_FIELDS, RECORD_FIELDS
from runtime.domain.outputs.types import Scalar
from runtime.domain.ports import ObjectStore
from runtime.export.arrays import array_of, timestamps

MAX_OPEN_DAYS: Final = 8
"""Daily partitions written at once (each writer buffers a part); more days take another pass."""

ROW_GROUP_ROWS: Final = 8192
ROW_GROUP_BYTES: Final = 16 * 1024 * 1024
CSV_BUFFER_CHARACTERS: Final = 256 * 1024

_index, _timestamp = itemgetter("index"), itemgetter("timestamp")
_texts, _result = itemgetter("id", "job_id", "seed_data_id"), itemgetter("generation_result")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


class ExportRecord(NamedTuple):
    """One record: its JSON line, what that says, its time in UTC. Made once for all writers: a
    tuple costs less than an object.
    """

    line: bytes
    document: dict[str, Any]
    timestamp: datetime

    @classmethod
    def parse(cls, line: bytes) -> "ExportRecord":
        """The record in a line. Raises `ValueError` when that is not a whole record."""
        return cls.of((line,), (orjson.loads(line),))[0]

    @classmethod
    def of(
        cls, lines: Sequence[bytes], documents: Sequence[dict[str, Any]]
    ) -> list["ExportRecord"]:
        """The records in lines that say `documents`: many take less time together. Raises
        `ValueError` when one of them is not a whole record.
        """
        try:
            deque(map(_result, documents), maxlen=0)  # each has one
            times = list(map(datetime.fromisoformat, map(_timestamp, documents)))
            if {time.tzinfo for time in times} != {UTC}:  # as records have it
                times = list(map(_utc, times))
            numbers = set(map(type, map(_index, documents)))
            texts = set(map(type, chain.from_iterable(map(_texts, documents))))
        except (KeyError, TypeError, OverflowError) as exc:
            raise ValueError("not a record") from exc
        if numbers != {int} or texts != {str}:
            raise ValueError("not a record")
        make = partial(tuple.__new__, cls)  # by itself a named tuple is made in Python
        return list(map(make, zip(lines, documents, times, strict=True)))

    @property
    def cells(self) -> tuple[str | int, ...]:
        """In the order of RECORD_FIELDS, generation_result as JSON text; made when they are asked
        for, since rows need none of them.
        """
        document = self.document
        result = orjson.dumps(document["generation_result"]).decode()
        return (*[document[name] for name in RECORD_FIELDS[:-1]], result)

    @property
    def checked_cells(self) -> tuple[str | int, ...]:
        """The same and those of CHECK_FIELDS."""
        document = self.document
        return (*self.cells, document.get("try", 0), orjson.dumps(document.get("checks")).decode())


_cells, _checked_cells = attrgetter("cells"), attrgetter("checked_cells")


_NUMBERS: Final = frozenset({"index", "try"})


def _columns(*, checked: bool) -> tuple[tuple[str, ...], Callable[[ExportRecord], Any]]:
    """The columns, and what reads the cells of a record."""
    return ((*RECORD_FIELDS, *CHECK_FIELDS), _checked_cells) if checked else (RECORD_FIELDS, _cells)


def _utc(time: datetime) -> datetime:
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).astimezone(UTC)


Write = Callable[[ExportRecord], None]


@contextmanager
def open_jsonl(objects: ObjectStore, key: str) -> Iterator[Write]:
    """One JSON document a line, byte for byte as in the batches."""
    with objects.open_writer(key, content_type=JSON_LINES) as stream:

        def write(record: ExportRecord) -> None:
            stream.write(record.line + b"\n")

        yield write


@contextmanager
def open_csv(
    objects: ObjectStore, key: str, *, byte_order_mark: bool = False, checked: bool = False
) -> Iterator[Write]:
    """RFC 4180 with a header, in UTF-8; cells that begin like a formula are made text. `checked`:
    of a template with checks.
    """
    names, cells_of = _columns(checked=checked)
    with objects.open_writer(key, content_type="text/csv; charset=utf-8") as stream:
        buffer = io.StringIO(newline="")
        rows = csv.writer(buffer)

        def flush() -> None:
            stream.write(buffer.getvalue().encode())
            buffer.seek(0)
            buffer.truncate()

        def write(record: ExportRecord) -> None:
            cells = cells_of(record)
            rows.writerow([inert(cell) if isinstance(cell, str) else cell for cell in cells])
            if buffer.tell() >= CSV_BUFFER_CHARACTERS:
                flush()

        stream.write(csv_head(names, byte_order_mark=byte_order_mark))
        yield write
        flush()


def csv_head(names: Iterable[str], *, byte_order_mark: bool) -> bytes:
    """What a CSV file begins with: the header, and the mark before it."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(map(inert, names))
    return (codecs.BOM_UTF8 if byte_order_mark else b"") + line.getvalue().encode()


def inert(cell: str) -> str:
    """A leading apostrophe keeps spreadsheets from running a cell (OWASP, CSV injection)."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


@contextmanager
def open_parquet(objects: ObjectStore, key: str, *, checked: bool = False) -> Iterator[Write]:
    """Zstandard-compressed row groups, bounded in rows and in bytes; `checked` as of CSV. Raises
    `ExportError`.
    """
    # Imported here: it costs some 0.3 s and 60 MiB that the other formats need not pay.
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    types = {"index": pa.int64(), "timestamp": pa.timestamp("us", tz="UTC"), "try": pa.int64()}
    names, cells_of = _columns(checked=checked)
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    rows: list[tuple[tuple[str | int, ...], datetime]] = []
    size = 0

    def flush() -> None:
        nonlocal size
        columns = zip(*(cells for cells, _ in rows), strict=True)
        arrays = [
            timestamps([timestamp for _, timestamp in rows])
            if name == "timestamp"
            else array_of(column, Scalar.INT64 if name in _NUMBERS else Scalar.STRING)
            for name, column in zip(names, columns, strict=True)
        ]
        file.write_table(pa.Table.from_arrays(arrays, schema=schema))
        rows.clear()
        size = 0

    def write(record: ExportRecord) -> None:
        nonlocal size
        rows.append((cells_of(record), record.timestamp))
        size += len(record.line)
        if len(rows) >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            flush()

    try:
        with (
            objects.open_writer(key, content_type="application/octet-stream") as stream,
            parquet.ParquetWriter(stream, schema, compression="zstd") as file,
        ):
            yield write
            if rows:
                flush()
    except pa.ArrowException as exc:
        raise ExportError("the records can't be written as Parquet: export JSONL or CSV") from exc


class Days:
    """JSONL with one object a day (UTC), at most MAX_OPEN_DAYS of them in one pass."""

    def __init__(self, objects: ObjectStore, job_id: str) -> None:
        self._objects = objects
        self._job_id = job_id
        self._waiting: set[date] = set()
        self.keys: dict[date, str] = {}

    @contextmanager
    def one_pass(self) -> Iterator[Write]:
        """Write the records of the next days; those of other days are passed over."""
        written = frozenset(self.keys)
        self._waiting.clear()
        writes: dict[date, Write] = {}
        with ExitStack() as publishing:

            def write(record: ExportRecord) -> None:
                day = record.timestamp.date()
                if day in written:
                    return
                if day not in writes:
                    if len(writes) == MAX_OPEN_DAYS:
                        self._waiting.add(day)
                        return
                    self.keys[day] = partition_key(self._job_id, day)
                    opened = open_jsonl(self._objects, self.keys[day])
                    writes[day] = publishing.enter_context(opened)
                writes[day](record)

            yield write

    def finish(self, records: Iterable[ExportRecord]) -> None:
        """Write the days that had to wait. Raises `ExportError` if `records` can't be repeated."""
        while self._waiting:
            done = len(self.keys)
            with self.one_pass() as write:
                for record in records:
                    write(record)
            if len(self.keys) == done:
                raise ExportError("too many days for records that can be read only once")

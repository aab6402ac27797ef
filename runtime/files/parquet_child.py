"""The process that reads a Parquet file: untrusted, limited, expendable.

    python -m runtime.files.parquet_child MEMORY_BYTES ROW_BYTES ALL_BYTES    (parquet.py starts it)

The file is descriptor 0. On descriptor 1 it writes lines; the first byte says what a line is:

    u{"photo": "binary"}     what is left out of rows, by dotted path, with its type
    r{"name": "Ann"}         the next row
    e"…"                     why the file can't be read; the last line
    .                        the end of the file; the last line

Damage inside a Parquet file can make the library abort, or ask for any amount of memory: whatever
happens here, the parent sees a stream that ends without a last line.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.confinement import allow_cpu, give_up_privileges, limit_resources
from runtime.files.lines import write_all, write_line
from runtime.files.parquet_values import (
    INDEX_COLUMN,
    UnreadableValueError,
    leaves_of,
    reader_of,
)

MAX_VALUES: Final = 50_000_000
"""Values in a row group, which compression makes as small as it likes."""
CPU_SECONDS: Final = 3600
"""For as much as a file may unpack to."""

_BATCH_ROWS: Final = 64
_SLICED_BYTES: Final = 16 * 1024 * 1024
"""A batch larger than that becomes Python values row by row."""
_BUFFER_BYTES: Final = 1024 * 1024


class RefusedError(Exception):
    """Why a file is not read, in words for its owner."""


class ParquetRows:
    """The rows of a file, and what is left out of them."""

    def __init__(self, file: BinaryIO) -> None:
        # Pages are read one after the other, not whole column chunks at once.
        self._parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        schema = self._parquet.schema_arrow
        names = [name for name in schema.names if not INDEX_COLUMN.fullmatch(name)]
        counts = Counter(names)
        twice = next((name for name in names if counts[name] > 1), None)
        if twice is not None:
            raise RefusedError(f"the column {twice!r} stands there twice")
        self._readers = {name: reader_of(schema.field(name).type) for name in names}
        self.unread = {
            f"{name}.{path}" if path else name: told
            for name, reader in self._readers.items()
            for path, told in reader.unread.items()
        }
        if names and not any(reader.raw for reader in self._readers.values()):
            told = ", ".join(f"{name!r} ({kind})" for name, kind in self.unread.items())
            raise RefusedError(f"no column of it can be read: {told}")
        leaves = [
            read and not INDEX_COLUMN.fullmatch(name)
            for name in schema.names
            for read in leaves_of(schema.field(name).type, name, self.unread)
        ]
        columns = self._parquet.schema
        self._paths = [columns.column(number).path for number, read in enumerate(leaves) if read]
        self._check_sizes([number for number, read in enumerate(leaves) if read])

    def _check_sizes(self, columns: list[int]) -> None:
        metadata = self._parquet.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if any(group.column(each).num_values > MAX_VALUES for each in columns):
                raise RefusedError(
                    f"a row group has more than {MAX_VALUES} values: write smaller ones"
                )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each row as JSON values; `unread` grows before a row that lacks a value."""
        for batch in self._parquet.iter_batches(
            batch_size=_BATCH_ROWS, columns=self._paths, use_threads=False
        ):
            names = [name for name in batch.schema.names if name in self._readers]
            readers = [self._readers[name] for name in names]
            cast = pa.RecordBatch.from_arrays(
                [
                    batch.column(name).cast(reader.raw, safe=False)
                    for name, reader in zip(names, readers, strict=True)
                ],
                names=names,
            )
            for part in _parts(cast):
                for row in part.to_pylist():
                    yield self._converted(row)

    def _converted(self, row: dict[str, Any]) -> dict[str, Any]:
        for name in list(row):
            reader = self._readers[name]
            if reader.convert is not None:
                try:
                    row[name] = reader.convert(row[name])
                except UnreadableValueError as exc:
                    self.unread.setdefault(name, f"{_type_of(self._parquet, name)}, {exc}")
                    del row[name]
        return row


def _type_of(parquet: Any, name: str) -> str:
    return str(parquet.schema_arrow.field(name).type)


def _parts(batch: Any) -> Iterator[Any]:
    if batch.nbytes <= _SLICED_BYTES:
        yield batch
        return
    for number in range(batch.num_rows):
        yield batch.slice(number, 1)


def write_rows(file: BinaryIO, descriptor: int, *, row_bytes: int, all_bytes: int) -> None:
    """Write the lines of a file that is read to its end. Raises what reading raises."""
    rows = ParquetRows(file)
    lines: list[bytes] = [b"u" + orjson.dumps(rows.unread) + b"\n"]
    told, size, total = len(rows.unread), 0, 0
    for row in rows:
        if len(rows.unread) != told:
            told = len(rows.unread)
            lines.append(b"u" + orjson.dumps(rows.unread) + b"\n")
        body = orjson.dumps(row)
        total += len(body)
        if len(body) > row_bytes:
            raise RefusedError(f"a row has more than {row_bytes} bytes: leave columns out")
        if total > all_bytes:
            raise RefusedError(f"it unpacks to more than {all_bytes} bytes: write several files")
        lines.append(b"r" + body + b"\n")
        size += len(body)
        if size > _BUFFER_BYTES:
            write_all(descriptor, b"".join(lines))
            lines, size = [], 0
    write_all(descriptor, b"".join([*lines, b".\n"]))


def explain(exc: Exception) -> str:
    """Why the file can't be read, in words for its owner and without a value of it."""
    if isinstance(exc, RefusedError):
        return str(exc)
    if isinstance(exc, MemoryError):  # also Arrow's
        return "it needs too much memory: write smaller row groups and rows"
    return "not a Parquet file, or a damaged one"


def main() -> None:
    """Read the file of descriptor 0."""
    # Ctrl-C and a polite kill are the parent's business.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    memory_bytes, row_bytes, all_bytes = (int(argument) for argument in sys.argv[1:4])
    pa.set_memory_pool(pa.system_memory_pool())  # others reserve more than they use
    give_up_privileges()
    limit_resources(memory_bytes, more=True, opens_files=True)
    allow_cpu(CPU_SECONDS)
    try:
        with open(0, "rb", closefd=False) as file:
            write_rows(file, 1, row_bytes=row_bytes, all_bytes=all_bytes)
    except BrokenPipeError:
        pass  # the parent has read enough
    except Exception as exc:  # noqa: BLE001 - whatever it is, the parent has to hear of it
        write_line(1, b"e", explain(exc))
    os._exit(0)  # no clean-up of what a damaged file may have left


if __name__ == "__main__":
    main()

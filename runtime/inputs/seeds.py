"""Seeds from files and from memory: rows, and a copy of the bytes for the job to keep, both on the
disk.

What is in memory becomes JSON lines and is read like a file of them, so a list, a table of Arrow
or pandas, and a `.jsonl` file with the same rows are the same seeds and make the same dataset.
"""

import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from runtime.files.disk import disk_errors, temporary_file
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows
from runtime.inputs.files import chunks_of

SeedSource = Any
"""A seed file (`str` or `Path`), a list of mappings, a pandas DataFrame, or anything that gives
itself as an Arrow table: pyarrow's, or one with `__arrow_c_stream__` such as a frame of polars.
"""

_NOTHING: Final = object()
"""In place of what pandas doesn't have: another thread may be importing it."""

IN_MEMORY: Final = "seeds.jsonl"
"""What the copy of seeds from memory is called."""


_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedFile:
    """Seeds as read: their rows, and a copy of the bytes for the job to keep. Both are on the disk;
    the original may change, or be a pipe that is read once. Equal ones have equal bytes.
    """

    name: str
    copy: BinaryIO = field(compare=False, repr=False)
    sha256: str
    rows: SeedRows = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """Bytes of the copy."""
        return os.fstat(self.copy.fileno()).st_size

    def open(self) -> BinaryIO:
        """The copy from its beginning; one reader at a time. Raises `OSError`."""
        file = os.fdopen(os.dup(self.copy.fileno()), "rb")
        file.seek(0)
        return file

    def write_to(self, writer: BinaryIO) -> None:
        """Write the bytes of the copy. Raises `OSError`."""
        with self.open() as file:
            shutil.copyfileobj(file, writer, _CHUNK_BYTES)

    def close(self) -> None:
        """Give disk and memory back: a job has its own copy."""
        self.copy.close()
        self.rows.close()


def read_seeds(source: SeedSource, requirements: Sequence[str]) -> SeedFile:
    """Seeds of which each has what the template needs.

    Raises `SeedError`, and `StorageError` when they can't be kept on the disk.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        shown, name = str(path), path.name
        chunks = chunks_of(path, MAX_SEED_BYTES, SeedError)
    else:
        shown, name = "seeds", IN_MEMORY
        chunks = _json_lines(_rows_of(source))
    digest = hashlib.sha256()
    copy = temporary_file()
    for chunk in chunks:
        digest.update(chunk)
        with disk_errors("write"):
            copy.write(chunk)
    with disk_errors("write"):
        copy.seek(0)  # writes what is still in memory, too
    return SeedFile(
        name=name,
        copy=copy,
        sha256=digest.hexdigest(),
        rows=load_rows(copy, name, shown=shown, requirements=requirements),
    )


def lines_of(source: SeedSource) -> bytes:
    """Seeds in memory as JSON lines. Raises `SeedError`."""
    return b"".join(_json_lines(_rows_of(source)))


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
        if size > MAX_SEED_BYTES:
            raise SeedError(f"seeds: larger than {MAX_SEED_BYTES // 1024} KiB, which is the limit")
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

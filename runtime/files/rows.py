"""Seeds on the disk: rows in a file without a name, and an index of where each begins. A file of
JSON lines is kept as it is (json_lines.py); of other formats there are their rows alone.

What stays in memory are eight bytes a row for the index, and while it is made twelve more to find
ids that come twice. A row is read again whenever it is asked for.
"""

import os
from array import array
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final, overload

import orjson

from runtime.domain.seeds.ids import Ids, Repeats
from runtime.domain.seeds.seeds import Row, repeated_id, seed_id
from runtime.files.disk import disk_errors, temporary_file

_BUFFER_BYTES: Final = 256 * 1024
_MOST_BYTES: Final = 64 * 1024 * 1024
"""More than a row of the longest text has."""


class SeedRows(Sequence[Row]):
    """All rows of a seed file, in order. Threads may read at the same time."""

    def __init__(
        self,
        file: BinaryIO,
        index: "array[int]",
        read: Callable[[bytes], Row],
        repeats: Repeats,
    ) -> None:
        """`index` is where each row begins in `file`, and where the last one ends. `read` gives the
        row that such bytes are.
        """
        self._file = file
        self._index = index
        self._read = read
        self._repeats = repeats

    def __len__(self) -> int:
        return len(self._index) - 1

    @overload
    def __getitem__(self, position: int) -> Row: ...
    @overload
    def __getitem__(self, position: slice) -> list[Row]: ...
    def __getitem__(self, position: int | slice) -> Row | list[Row]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        number = range(len(self))[position]
        start, end = self._index[number], self._index[number + 1]
        with disk_errors("read"):
            # Any number of empty lines may stand between two rows.
            body = os.pread(self._file.fileno(), min(end - start, _MOST_BYTES), start)
        return self._read(body)

    def seed_id(self, position: int) -> str:
        """What the seed is called; no other seed of the file is called so."""
        named = repeated_id if self._repeats.has(position) else seed_id
        return named(self[position], position)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the seeds, and no reason to refuse them."""
        return self._repeats.warnings()

    def close(self) -> None:
        """Give disk and index back, as also happens when nobody holds the rows any more."""
        self._file.close()
        self._index = array("Q", [0])


class RowWriter:
    """Makes `SeedRows`, row by row."""

    def __init__(self) -> None:
        self._file = temporary_file()
        self._waiting = bytearray()  # orjson gives every text 4 KiB, so none of them is kept
        self._end = 0
        self._index = array("Q", [0])
        self._names: tuple[str, ...] | None = None
        self._ids = Ids()

    def add(self, row: Row) -> None:
        """Append a row of JSON values."""
        names = tuple(row)
        if self._names is None:
            self._names = names
        # Names that all rows have are kept once: long ones would fill the disk.
        body = orjson.dumps(list(row.values()) if names == self._names else row)
        self._waiting += body
        if len(self._waiting) > _BUFFER_BYTES:
            self._write()
        self._ids.add(seed_id(row, len(self._index) - 1))
        self._end += len(body)
        self._index.append(self._end)

    def rows(self) -> SeedRows:
        """What was added. Nothing can be added any more."""
        self._write()
        names = self._names or ()

        def read(body: bytes) -> Row:
            value = orjson.loads(body)
            row: Row = dict(zip(names, value, strict=True)) if isinstance(value, list) else value
            return row

        return SeedRows(self._file, self._index, read, self._ids.repeats())

    def _write(self) -> None:
        with disk_errors("write"):
            self._file.write(self._waiting)
            self._file.flush()
        self._waiting.clear()

    def close(self) -> None:
        """Forget what was added."""
        self._file.close()

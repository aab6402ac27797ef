"""Records in the order of their index, from batches that hold them in the order of their end.

Records come nearly sorted: calls overlap, and what was retried or added later comes last. So they
wait in a window of memory until it is their turn. When the window is full, all that waits goes to
the disk as a sorted run, and the runs are merged: an external sort that a sorted input never needs.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from io import BufferedRandom
from typing import Final, Generic, TypeVar

from runtime.domain.jobs.indices import IndexSet
from runtime.files.disk import disk_errors, temporary_file

WINDOW_BYTES: Final = 16 * 1024 * 1024
"""Lines that wait in memory, at most."""

GIVEN_AT_ONCE: Final = 256
"""Items that are handed on together: fewer calls take less time."""

MAX_RUNS: Final = 64
"""Runs that are merged at once: beyond, they are merged into one first."""

ItemT = TypeVar("ItemT")

_NUMBER_BYTES: Final = 8
_HEADER_BYTES: Final = 2 * _NUMBER_BYTES
_THINGS: Final = "records"


class IndexOrder(Generic[ItemT]):
    """Takes each index once, in any order, and gives `emit` the items in ascending order, some at a
    time, each with its index.

    `line_of` gives the bytes of an item, as which it waits on the disk, and `read` the item again.
    `absent` are indices that won't come: nobody waits for those, nor for any below `first`. Without
    them everything after the first gap waits until `finish`, on the disk if it has to.
    """

    def __init__(
        self,
        emit: Callable[[list[tuple[int, ItemT]]], None],
        *,
        line_of: Callable[[ItemT], bytes],
        read: Callable[[bytes], ItemT],
        absent: IndexSet | None = None,
        first: int = 0,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._emit = emit
        self._line_of = line_of
        self._read = read
        self._absent = absent
        self._window_bytes = window_bytes
        self._window: dict[int, tuple[ItemT, int]] = {}
        self._waiting_bytes = 0
        self._runs: list[Iterator[tuple[int, bytes]]] = []
        self._heads: list[tuple[int, int, bytes]] = []
        self._next = first
        """What is waited for: it neither waits itself nor is it absent."""
        self._advance()

    def add(self, some: Iterable[tuple[int, ItemT, int]]) -> None:
        """Some records: index, item, and about how many bytes of memory it takes. Raises
        `StorageError` when the disk can't hold what waits.
        """
        window, waiting = self._window, self._waiting_bytes
        for index, item, size in some:
            window[index] = item, size
            waiting += size
        self._waiting_bytes = waiting
        if self._next in window:
            self._advance()
        if self._waiting_bytes > self._window_bytes:
            self._spill()

    def finish(self) -> None:
        """Emit what still waits: what is missing now doesn't come."""
        for index in sorted(self._window):
            self._emit_runs(below=index)
            self._emit([(index, self._window.pop(index)[0])])
        self._emit_runs(below=None)
        self._waiting_bytes = 0

    def _advance(self) -> None:
        window, take, index, freed = self._window, self._window.pop, self._next, 0
        ready: list[tuple[int, ItemT]] = []
        while True:
            if index in window:
                item, size = take(index)
                freed += size
                ready.append((index, item))
            elif self._heads and self._heads[0][0] == index:
                ready.append((index, self._read(self._take_head())))
            elif not self._is_absent(index):
                break
            index += 1
            if len(ready) >= GIVEN_AT_ONCE:
                self._emit(ready)
                ready = []
        self._next = index
        self._waiting_bytes -= freed
        if ready:
            self._emit(ready)

    def _is_absent(self, index: int) -> bool:
        absent = self._absent
        return absent is not None and index < absent.size and index in absent

    def _emit_runs(self, *, below: int | None) -> None:
        while self._heads and (below is None or self._heads[0][0] < below):
            index = self._heads[0][0]
            self._emit([(index, self._read(self._take_head()))])

    def _spill(self) -> None:
        """Everything that waits in memory becomes a sorted run on the disk."""
        if len(self._heads) >= MAX_RUNS:
            self._add_run(self._drained())
        waiting = ((index, self._window[index][0]) for index in sorted(self._window))
        self._add_run((index, self._line_of(item)) for index, item in waiting)
        self._window.clear()
        self._waiting_bytes = 0

    def _drained(self) -> Iterator[tuple[int, bytes]]:
        """All runs, merged."""
        while self._heads:
            index = self._heads[0][0]
            yield index, self._take_head()

    def _add_run(self, lines: Iterator[tuple[int, bytes]]) -> None:
        file = temporary_file(_THINGS)
        with disk_errors("write", _THINGS):
            for index, line in lines:
                file.write(index.to_bytes(_NUMBER_BYTES, "big"))
                file.write(len(line).to_bytes(_NUMBER_BYTES, "big"))
                file.write(line)
            file.flush()
            file.seek(0)
        self._runs.append(_read_run(file))
        self._push_head(len(self._runs) - 1)

    def _push_head(self, number: int) -> None:
        head = next(self._runs[number], None)
        if head is not None:
            heapq.heappush(self._heads, (head[0], number, head[1]))

    def _take_head(self) -> bytes:
        _, number, line = heapq.heappop(self._heads)
        self._push_head(number)
        return line


def _read_run(file: BufferedRandom) -> Iterator[tuple[int, bytes]]:
    with file, disk_errors("read", _THINGS):
        while header := file.read(_HEADER_BYTES):
            length = int.from_bytes(header[_NUMBER_BYTES:], "big")
            yield int.from_bytes(header[:_NUMBER_BYTES], "big"), file.read(length)

"""An append-only file of lines: paid replies that no batch holds yet.

A line is one `write` to a file opened for appending. The kernel has it when `write` returns, so a
killed process can't lose it. It is not synced: a power cut may take the last lines, which then are
paid for again; a sync for each record would cost more than those.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from runtime.disk import PRIVATE, disk_errors, make_folder, remove_leftovers, replacing
from runtime.domain.errors import StorageError, StorageFullError

_TAIL_BYTES = 1 << 16


def remove_journal(path: Path) -> None:
    """Delete a journal; fine when there is none. Raises `StorageError`."""
    with disk_errors(f"delete {path}"):
        remove_leftovers(path)
        path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalContent:
    """What a journal holds, by index."""

    records: frozenset[int] = frozenset()
    """Finished ones."""
    failed: frozenset[int] = frozenset()
    tokens: Mapping[int, int] = field(default_factory=dict)
    """Of these, and of steps of records that are not finished."""

    def without(self, *, records: Collection[int], failed: Collection[int]) -> "JournalContent":
        """What is left when these are saved: where a process was killed just after it saved them,
        the journal has them still.
        """
        return JournalContent(
            records=self.records.difference(records),
            failed=self.failed.difference(failed),
            tokens={
                index: tokens
                for index, tokens in self.tokens.items()
                if index not in records and index not in failed
            },
        )


def read_journal(path: Path) -> JournalContent:
    """What is in a journal, whoever writes it now: it is only read. Raises `StorageError`."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return JournalContent()
    except OSError as exc:
        raise StorageError(f"{path} can't be read: {exc.strerror}") from exc
    records, failed, tokens = set[int](), set[int](), Counter[int]()
    for index, entry in _entries(lines):
        tokens[index] += _tokens(entry)
        if entry.get("line") is not None:
            (failed if entry.get("failed") else records).add(index)
    return JournalContent(
        records=frozenset(records), failed=frozenset(failed - records), tokens=tokens
    )


def _entries(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, object]]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(index := entry.get("index"), int):
            yield index, entry


def _tokens(entry: Mapping[str, object]) -> int:
    tokens = entry.get("tokens")
    return tokens if isinstance(tokens, int) else 0


class FileJournal:
    """Implements `ports.Journal`. One claim writes it at a time.

    It keeps no file open between calls, so there is nothing to close. Opening and replaying cut
    off a torn last line. Every method raises `StorageError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors(f"open {path}"):
            make_folder(path.parent)
            self._cut_torn_line()

    def append(self, line: bytes) -> None:
        if b"\n" in line:
            raise StorageError("a journal line can't hold a line break: encode it first")
        with disk_errors(f"append to {self._path}"):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
            try:
                size = os.fstat(descriptor).st_size
                if os.write(descriptor, line + b"\n") <= len(line):
                    os.ftruncate(descriptor, size)  # the next line must not follow half of this
                    raise StorageFullError(
                        f"could not append to {self._path}: no space left, free some and run again"
                    )
            finally:
                os.close(descriptor)

    def replay(self) -> Iterator[bytes]:
        with disk_errors(f"read {self._path}"):
            self._cut_torn_line()
            try:
                file = self._path.open("rb")
            except FileNotFoundError:
                return
        with file:
            while True:
                with disk_errors(f"read {self._path}"):
                    line = file.readline()
                if not line.endswith(b"\n"):
                    return
                yield line[:-1]

    def reset(self, lines: Iterable[bytes] = ()) -> None:
        remaining = iter(lines)
        first = next(remaining, None)
        action = f"reset {self._path}"
        if first is None:
            with disk_errors(action), suppress(FileNotFoundError):
                os.truncate(self._path, 0)
            return
        with replacing(self._path, mode=PRIVATE, durable=True, action=action) as file:
            for line in chain((first,), remaining):
                file.write(line + b"\n")

    def _cut_torn_line(self) -> None:
        """Truncate the file behind its last line break."""
        try:
            file = self._path.open("r+b")
        except FileNotFoundError:
            return
        with file:
            end = size = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _TAIL_BYTES)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            if end < size:
                file.truncate(end)

"""Batches: the finished records of a job as immutable, numbered objects of JSON lines.

A number is written once. Whoever finds it taken gets what is there and goes on with the next one,
so neither a late owner nor a retried request can overwrite paid work. Failures are kept the same
way, in numbered parts: every kind of lines that `runtime.contract.keys` names can be.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.contract.keys import JSON_LINES, RECORDS, NumberedObjects, serial_number
from runtime.domain.errors import ObjectExistsError, StorageError
from runtime.domain.jobs.record import parse_line
from runtime.domain.ports import ObjectStore
from runtime.logs import event

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The readable lines of one object; `indices[i]` is the record index in `lines[i]`."""

    number: int
    key: str
    lines: tuple[bytes, ...]
    indices: tuple[int, ...]


Line = tuple[bytes, int, dict[str, Any]]
"""A readable line, the index in it, and what it says."""


class StoredBatches:
    """Batches in the order of their numbers, read one at a time; each iteration reads anew.

    `size` are the bytes of all, as they were listed. `error` is set, and there are no batches, when
    they could not be listed. Who needs all of them has to look at it. Iterating raises
    `StorageError` when a listed object can't be read.
    """

    def __init__(
        self,
        read: Callable[[str], Iterator[Line]],
        numbered: Sequence[tuple[int, str]],
        error: StorageError | None = None,
        *,
        size: int = 0,
    ) -> None:
        self._read = read
        self._numbered = numbered
        self.error = error
        self.size = size

    @property
    def last_number(self) -> int:
        """The highest number there is; 0 if there is none."""
        return self._numbered[-1][0] if self._numbered else 0

    def __iter__(self) -> Iterator[Batch]:
        for number, key in self._numbered:
            yield _batch(number, key, self._read(key))

    def documents(self) -> Iterator[tuple[str, Iterator[Line]]]:
        """The key and the lines of each, one line at a time: a batch of documents is large."""
        for _, key in self._numbered:
            yield key, self._read(key)


class Batches:
    """The numbered objects of one kind of jobs, or of one shard of a job: records by default.

    Without a shard, reading covers every shard of the job.
    """

    def __init__(
        self,
        objects: ObjectStore,
        kind: NumberedObjects = RECORDS,
        *,
        logger: logging.Logger = _log,
    ) -> None:
        self._objects = objects
        self._kind = kind
        self._logger = logger

    def save_batch(
        self, job_id: str, number: int, lines: Sequence[bytes], *, shard: int | None = None
    ) -> Batch | None:
        """Store lines under `number`, once, in one attempt. None when they are stored.

        Otherwise what another owner had there: it counts, the caller's lines are not stored and go
        under the next number. Raises `StorageError`.
        """
        key = self._kind.key(job_id, number, shard)
        body = b"".join(line + b"\n" for line in lines)
        try:
            self._objects.put_if_absent(key, body, content_type=JSON_LINES)
        except ObjectExistsError:
            stored = self._objects.get(key)
            # Same bytes: an earlier attempt of ours was stored and only its reply was lost.
            if stored != body:
                event(self._logger, logging.WARNING, "batch adopted", key=key)
                return _batch(number, key, self._lines(key, stored))
        return None

    def load_all_batches(
        self, job_id: str, *, shard: int | None = None, from_number: int = 1
    ) -> StoredBatches:
        """Every object from `from_number` on."""
        prefix = self._kind.prefix(job_id, shard)
        try:
            found = [
                (number, stat)
                for stat in self._objects.list(prefix)
                if (number := serial_number(stat.key)) is not None and number >= from_number
            ]
        except StorageError as exc:
            event(self._logger, logging.ERROR, "batches not listed", prefix=prefix, error=exc.code)
            return StoredBatches(self._read, (), exc)
        numbered = sorted((number, stat.key) for number, stat in found)
        return StoredBatches(self._read, numbered, size=sum(stat.size for _, stat in found))

    def _read(self, key: str) -> Iterator[Line]:
        return self._lines(key, self._objects.get(key))

    def _lines(self, key: str, body: bytes) -> Iterator[Line]:
        for position, line in enumerate(body.split(b"\n"), start=1):
            if not line:
                continue
            try:
                index, document = parse_line(line)
            except ValueError:
                event(self._logger, logging.WARNING, "damaged line skipped", key=key, line=position)
                continue
            yield line, index, document


def _batch(number: int, key: str, lines: Iterator[Line]) -> Batch:
    found = [(line, index) for line, index, _ in lines]
    return Batch(
        number=number,
        key=key,
        lines=tuple(line for line, _ in found),
        indices=tuple(index for _, index in found),
    )

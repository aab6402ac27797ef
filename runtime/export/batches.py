"""Batches: the finished records of a job as immutable, numbered objects of JSON lines.

A number is written once. Whoever finds it taken gets what is there and goes on with the next one,
so neither a late owner nor a retried request can overwrite paid work. Failures are kept the same
way, in numbered parts: every kind of lines that `runtime.contract.keys` names can be.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from runtime.contract.keys import JSON_LINES, RECORDS, NumberedObjects, serial_number
from runtime.domain.errors import ObjectExistsError, StorageError
from runtime.domain.jobs.record import parse_lines
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


LINES_AT_ONCE: Final = 64
"""Lines that are read together. Of more documents that are alive, the garbage collector would look
at each: it comes with every 700 new objects.
"""


class Lines(NamedTuple):
    """Some readable lines, the index in each, and what it says."""

    lines: Sequence[bytes]
    indices: Sequence[int]
    documents: Sequence[dict[str, Any]]


class StoredBatches:
    """Batches by shard and number, read one at a time; each iteration reads anew.

    `size` are the bytes of all, as they were listed, `sizes` those of each. `error` is set, and
    there are no batches, when they could not be listed. Who needs all of them has to look at it.
    Iterating raises `StorageError` when a listed object can't be read.
    """

    def __init__(
        self,
        read: Callable[[str], Iterator[Lines]],
        numbered: Sequence[tuple[int, str]],
        error: StorageError | None = None,
        *,
        sizes: Sequence[int] = (),
    ) -> None:
        self._read = read
        self._numbered = numbered
        self.error = error
        self.sizes = sizes
        self.size = sum(sizes)

    @property
    def last_number(self) -> int:
        """The highest number there is; 0 if there is none."""
        return max((number for number, _ in self._numbered), default=0)

    @property
    def keys(self) -> Sequence[str]:
        """Their keys, in their order."""
        return [key for _, key in self._numbered]

    @property
    def digest(self) -> str:
        """Another one where there is another batch, since none is ever changed."""
        listed = orjson.dumps([self.keys, self.sizes])
        return hashlib.sha256(listed).hexdigest()

    def __iter__(self) -> Iterator[Batch]:
        for number, key in self._numbered:
            yield _batch(number, key, self._read(key))

    def lines(self) -> Iterator[tuple[str, Lines]]:
        """Some lines at a time, with the key of their batch."""
        for _, key in self._numbered:
            for some in self._read(key):
                yield key, some


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
        # Shard after shard, which is the order of their indices, but for what a job has grown by.
        found.sort(key=lambda each: (each[1].key.rpartition("/")[0], each[0]))
        numbered = [(number, stat.key) for number, stat in found]
        return StoredBatches(self._read, numbered, sizes=[stat.size for _, stat in found])

    def _read(self, key: str) -> Iterator[Lines]:
        return self._lines(key, self._objects.get(key))

    def _lines(self, key: str, body: bytes) -> Iterator[Lines]:
        everything = body.split(b"\n")
        for start in range(0, len(everything), LINES_AT_ONCE):
            lines = everything[start : start + LINES_AT_ONCE]
            if start + LINES_AT_ONCE >= len(everything) and not lines[-1]:
                lines.pop()  # what follows the last newline
            try:
                if lines:
                    yield Lines(lines, *parse_lines(lines))
            except ValueError:
                yield from self._readable(key, lines, start + 1)

    def _readable(self, key: str, lines: Sequence[bytes], position: int) -> Iterator[Lines]:
        """Line by line, since one of them is damaged. `position` is that of the first."""
        for number, line in enumerate(lines, start=position):
            if not line:
                continue
            try:
                parsed = parse_lines((line,))
            except ValueError:
                event(self._logger, logging.WARNING, "damaged line skipped", key=key, line=number)
                continue
            yield Lines((line,), *parsed)


def _batch(number: int, key: str, lines: Iterator[Lines]) -> Batch:
    found = [(some.lines, some.indices) for some in lines]
    return Batch(
        number=number,
        key=key,
        lines=tuple(line for lines, _ in found for line in lines),
        indices=tuple(index for _, indices in found for index in indices),
    )

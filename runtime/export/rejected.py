"""The rejected tries of a job as one file of JSON lines: what its checks have kept out.

parts, as they were saved ─▶ each try once ─┐
records that a check of the dataset left out ┴▶ rejected.jsonl
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, Self

import orjson

from runtime.contract.keys import JSON_LINES, rejected_key
from runtime.domain.checks.acceptance import MOST_ATTEMPTS
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.record import failed_try_of
from runtime.domain.ports import ObjectStore
from runtime.export.batches import StoredBatches
from runtime.files.disk import disk_errors, temporary_file

_THINGS: Final = "rejected tries"
_LENGTH_BYTES: Final = 8
_NO_TRY: Final = 0xFF


def write_rejected(
    objects: ObjectStore,
    job_id: str,
    parts: StoredBatches,
    *,
    size: int,
    left_out: Iterable[bytes] = (),
) -> int:
    """Write them all; how many there are. Without any there is no file. `size` is above each index.
    Raises `StorageError`, and what `left_out` raises.
    """
    key = rejected_key(job_id)
    lines = chain((line for line, _ in _each_once(parts, size)), left_out)
    first = next(lines, None)
    if first is None:
        objects.delete([stat.key for stat in objects.list(key)])
        return 0
    written = 0
    with objects.open_writer(key, content_type=JSON_LINES) as stream:
        for line in chain((first,), lines):
            stream.write(line + b"\n")
            written += 1
    return written


def each_once(parts: StoredBatches, size: int) -> Iterator[dict[str, Any]]:
    """What the lines of the rejected tries say, each once; `size` is above each index. Raises
    `StorageError`.
    """
    return (document for _, document in _each_once(parts, size))


class RejectedTries:
    """How many tries of each index below `size` were rejected, up to the last of them. A byte an
    index; without `parts` there are none. Raises `StorageError`.
    """

    def __init__(self, parts: StoredBatches | None, size: int, *, attempts: int) -> None:
        self._attempts = attempts
        self._tries = bytearray(size if parts is not None else 0)
        if parts is None:
            return
        if parts.error is not None:
            raise parts.error
        for _, some in parts.lines():
            for index, document in zip(some.indices, some.documents, strict=True):
                attempt = document.get("try")
                if isinstance(attempt, int) and 0 <= attempt < attempts and index < size:
                    self._tries[index] = max(self._tries[index], attempt + 1)

    def overrule(self, index: int, failure: bytes) -> bool:
        """Whether the try that has failed, or one after it, was rejected; of a line that does not
        say which one that was, the last one. Raises `ValueError` if the line is damaged.
        """
        if index >= len(self._tries) or not self._tries[index]:
            return False
        _, attempt = failed_try_of(failure)
        return self._tries[index] > (self._attempts - 1 if attempt is None else attempt)


def _each_once(parts: StoredBatches, size: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """A part that was stored and adopted may be there under two numbers. A bit a try."""
    seen = IndexSet(size * MOST_ATTEMPTS)
    for _, some in parts.lines():
        for line, index, document in zip(some.lines, some.indices, some.documents, strict=True):
            attempt = document.get("try")
            if not isinstance(attempt, int) or not 0 <= attempt < MOST_ATTEMPTS or index >= size:
                continue
            if seen.add(index * MOST_ATTEMPTS + attempt):
                yield line, document


class FirstRejected:
    """The first rejected try of each record of a dataset, as `accepted` has them by index. They
    wait on the disk; memory holds 9 bytes an index. Raises `StorageError`.
    """

    def __init__(self, parts: StoredBatches, accepted: IndexSet) -> None:
        if parts.error is not None:
            raise parts.error
        self._starts = array("Q", bytes(8 * accepted.end))
        self._tries = bytearray([_NO_TRY]) * accepted.end
        self._file = temporary_file(_THINGS)
        with disk_errors("write", _THINGS):
            for _, some in parts.lines():
                for line, document in zip(some.lines, some.documents, strict=True):
                    self._keep(document["index"], document.get("try"), line, accepted)
            self._file.flush()

    def _keep(self, index: int, attempt: object, line: bytes, accepted: IndexSet) -> None:
        if not accepted.has(index) or not isinstance(attempt, int) or not 0 <= attempt < _NO_TRY:
            return
        if attempt < self._tries[index]:
            self._tries[index] = attempt
            self._starts[index] = self._file.tell()
            self._file.write(len(line).to_bytes(_LENGTH_BYTES, "big") + line)

    def of(self, index: int) -> dict[str, Any] | None:
        """What its line says; None where no try of the record was rejected. Raises
        `StorageError`.
        """
        if index >= len(self._tries) or self._tries[index] == _NO_TRY:
            return None
        with disk_errors("read", _THINGS):
            self._file.seek(self._starts[index])
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "big")
            found: dict[str, Any] = orjson.loads(self._file.read(length))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

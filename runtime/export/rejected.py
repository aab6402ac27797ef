"""The rejected tries of a job as one file of JSON lines: what its checks have kept out.

parts, as they were saved ─▶ each try once ─┐
records that a check of the dataset left out ┴▶ rejected.jsonl
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from runtime.contract.keys import JSON_LINES, rejected_key
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.ports import ObjectStore
from runtime.export.batches import StoredBatches

_MOST_ATTEMPTS: Final = 10
"""As `Acceptance.attempts` allows them."""


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
    lines = chain(_each_once(parts, size), left_out)
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


def _each_once(parts: StoredBatches, size: int) -> Iterator[bytes]:
    """A part that was stored and adopted may be there under two numbers. A bit a try."""
    seen = IndexSet(size * _MOST_ATTEMPTS)
    for _, some in parts.lines():
        for line, index, document in zip(some.lines, some.indices, some.documents, strict=True):
            attempt = document.get("try")
            if not isinstance(attempt, int) or not 0 <= attempt < _MOST_ATTEMPTS or index >= size:
                continue
            if seen.add(index * _MOST_ATTEMPTS + attempt):
                yield line

"""Failed records that are to be tried again, though nothing says that they would not fail again.

    mark(p) ─▶ failure lists 1 to p are void ─▶ their indices without a record are tried again

The mark is a numbered object that stays: a crash after it forgets nothing, and records that fail
again are in lists above p, so going on does not repeat it. A shard has lists and marks of its own.
"""

from contextlib import suppress

import orjson

from runtime.contract.keys import FAILURE_PARTS, JSON_LINES, RETRIES, serial_number, shard_number
from runtime.domain.errors import ObjectExistsError
from runtime.domain.ports import ObjectStore


def retry_failed(objects: ObjectStore, job_id: str) -> bool:
    """Void every failure list that a job has saved so far, each shard's apart; whether there was
    any. The job must not be running. Safe to repeat. Raises `StorageError`.
    """
    last: dict[int | None, int] = {}
    for each in objects.list(FAILURE_PARTS.prefix(job_id)):
        shard = shard_number(each.key)
        last[shard] = max(serial_number(each.key) or 0, last.get(shard, 0))
    for shard, number in last.items():
        with suppress(ObjectExistsError):
            objects.put_if_absent(
                RETRIES.key(job_id, number, shard),
                orjson.dumps({"voids": number}, option=orjson.OPT_APPEND_NEWLINE),
                content_type=JSON_LINES,
            )
    return bool(last)

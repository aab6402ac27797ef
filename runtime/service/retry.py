"""Failed records that are to be tried again, though nothing says that they would not fail again.

    mark(p) ─▶ failure lists 1 to p are void ─▶ their indices without a record are tried again

The mark is a numbered object that stays: a crash after it forgets nothing, and records that fail
again are in lists above p, so going on does not repeat it.
"""

from contextlib import suppress

import orjson

from runtime.contract.keys import FAILURE_PARTS, JSON_LINES, RETRIES, serial_number
from runtime.domain.errors import ObjectExistsError
from runtime.domain.ports import ObjectStore


def retry_failed(objects: ObjectStore, job_id: str) -> int:
    """Void every failure list that a job has saved so far; the number of the last one, 0 without
    any. The job must not be running. Safe to repeat. Raises `StorageError`.
    """
    listed = objects.list(FAILURE_PARTS.prefix(job_id))
    last = max((serial_number(each.key) or 0 for each in listed), default=0)
    if last:
        with suppress(ObjectExistsError):
            objects.put_if_absent(
                RETRIES.key(job_id, last),
                orjson.dumps({"voids": last}, option=orjson.OPT_APPEND_NEWLINE),
                content_type=JSON_LINES,
            )
    return last

"""Work as its items in the queue table.

An item: work_id, job_id, shard (absent for the own item of a job), status, owner (while RUNNING),
fence, heartbeat (a beat, +1 each), attempt (claims so far), queued_at. The own item of a sharded
job has shards (their number). A shard's item has, as soon as there are any, its counters (see
`job_items.py`), and from its end run and, when there is one, error_message, error_code and
retry_after. `work_catalog.py` keeps on it who starts and watches the worker.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.batch import get_items
from runtime.aws.job_items import optional_time, parse_progress, progress_attributes
from runtime.aws.table import Item, Refused, Table, stamp
from runtime.contract.statuses import parse_work_status
from runtime.domain.errors import LeaseLostError, NotFoundError, StorageError
from runtime.domain.jobs.job import JobError, JobStatus, Progress, work_id_of
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.jobs.shards import ShardState, new_work

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

ERROR_ATTRIBUTES: Final = ("error_message", "error_code", "retry_after")
"""What is left of why a shard ended before its time."""


def work_items(job_id: str, sharding: Sharding | None, *, queued_at: str) -> Iterator[Item]:
    """The items of a new job, as `DynamoJobStore.create_job` stores them."""
    for work in new_work(sharding):
        item: dict[str, Any] = {
            "work_id": work_id_of(job_id, work.shard),
            "job_id": job_id,
            "status": str(work.status),
            "fence": 0,
            "heartbeat": 0,
            "attempt": 0,
            "queued_at": queued_at,
        }
        if work.shard is not None:
            yield {**item, "shard": work.shard}
        else:
            yield item if sharding is None else {**item, "shards": sharding.count}


def shards_of(
    client: "DynamoDBClient", table: str, job_id: str, shards: Sequence[int]
) -> list[ShardState]:
    """These shards of a job, as they are stored now; see `ports.WorkQueue.shards_of`."""
    keys = ({"work_id": work_id_of(job_id, shard)} for shard in shards)
    return sorted(map(_state, get_items(client, table, keys)), key=lambda state: state.shard)


def _state(item: Item) -> ShardState:
    try:
        return ShardState(
            shard=int(item["shard"]),
            status=parse_work_status(item["status"]),
            progress=parse_progress(item) if "records_generated" in item else Progress(),
            run=int(item.get("run", 0)),
            error=_error(item),
            attempt=int(item["attempt"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        raise StorageError("the item of a shard in the queue table is damaged") from exc


def _error(item: Item) -> JobError | None:
    if "error_message" not in item:
        return None
    return JobError(
        message=item["error_message"],
        code=item.get("error_code"),
        retry_after=optional_time(item, "retry_after"),
    )


def error_attributes(error: JobError | None) -> dict[str, str]:
    """What of a shard's end is stored beside its status."""
    if error is None:
        return {}
    found = {"error_message": error.message}
    if error.code is not None:
        found["error_code"] = error.code
    if error.retry_after is not None:
        found["retry_after"] = stamp(error.retry_after)
    return found


def set_shard_progress(table: Table, work_id: str, fence: int, progress: Progress) -> None:
    """See `ports.JobStore.set_progress`."""
    attributes = progress_attributes(progress)
    outcome = table.update(
        {"work_id": work_id},
        set_=", ".join(f"#{name} = :{name}" for name in attributes),
        # Excludes a worker that lost its lease: its successor goes on from more than it knows.
        condition="#status = :running AND #fence = :fence",
        values={
            **{f":{name}": value for name, value in attributes.items()},
            ":running": JobStatus.RUNNING,
            ":fence": fence,
        },
    )
    if not isinstance(outcome, Refused):
        return
    if outcome.item is None:
        raise no_work(work_id)
    raise LeaseLostError(f"work {work_id} is no longer claimed with {fence}")


def no_work(work_id: str) -> NotFoundError:
    """What a missing work item is."""
    return NotFoundError(f"no work {work_id} in the queue: check the job id and the shard")

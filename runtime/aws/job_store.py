"""The jobs table.

An item: job_id, user_id, status, config, budget_limit (USD: a decimal text, a number once it was
changed, or damage, see `Job`), records_generated, failed_records, tokens_used, cost_estimate (USD),
failures_by_kind and cost_by_model (maps of numbers, USD), service_failures, steps (a map of
`StepTotals` by step id, nano-USD), created_at, updated_at, and when there is one error_message,
error_code, retry_after, launch_error, request_hash, started_at, completed_at, fence.
`active_user_id` is the user's id while the job is QUEUED or RUNNING: an index counts by it.
`unannounced` is there from the job's end until somebody has announced it (`announcer.py`).
`table.py` adds the token of the last write, and `budget_store.py` keeps the account on the item.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.table import (
    Item,
    Refused,
    Table,
    TableNames,
    parse_stamp,
    stamp,
    to_attributes,
)
from runtime.aws.transaction import MAX_PARTS, Transaction
from runtime.aws.work_queue import work_item
from runtime.contract.tables import JOBS, QUEUE
from runtime.domain.errors import (
    ConflictError,
    InputError,
    LeaseLostError,
    NotFoundError,
    StorageError,
)
from runtime.domain.jobs.config import config_document, parse_config
from runtime.domain.jobs.ended import is_end
from runtime.domain.jobs.job import (
    ACTIVE,
    Job,
    JobError,
    JobStatus,
    Progress,
    sources_of,
)
from runtime.domain.jobs.step_totals import steps_document, steps_of
from runtime.domain.money.amounts import exact_usd, nano_of
from runtime.domain.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

UNANNOUNCED: Final = "job"
"""The one value of the attribute: the partition of an index."""

MAX_SHARDS: Final = MAX_PARTS - 1
"""Job and work items are stored in one transaction."""

_WORKER_SOURCES: Final = {
    # A successor takes over what its predecessor left RUNNING.
    JobStatus.RUNNING: sources_of(JobStatus.RUNNING) | {JobStatus.RUNNING},
    # An interrupted worker hands back what runs; a job that has ended meanwhile stays ended.
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING}),
}
"""Where a worker's transitions differ from `sources_of`."""

# Excludes a worker that lost its lease: its successor has stored a higher fence.
_FENCE_HOLDS: Final = "(attribute_not_exists(#fence) OR #fence <= :fence)"


class DynamoJobStore:
    """Implements `ports.JobStore`."""

    def __init__(self, *, client: "DynamoDBClient", names: TableNames, clock: Clock) -> None:
        self._client = client
        self._names = names
        self._table = Table(client, names(JOBS))
        self._clock = clock

    def create_job(self, job: Job, *, shards: Sequence[int | None] = (None,)) -> None:
        if len(shards) > MAX_SHARDS:
            raise InputError(f"a job has at most {MAX_SHARDS} shards: {len(shards)} were asked for")
        queued_at, queue = stamp(self._clock.now()), self._names(QUEUE)
        transaction = Transaction(self._client)
        # The conditions exclude that a job is created twice, and that a new job takes over the
        # work items of an old one.
        transaction.put_new(self._table.name, job_item(job), absent="job_id")
        for shard in shards:
            work = work_item(job.job_id, shard, queued_at=queued_at)
            transaction.put_new(queue, work, absent="work_id")
        if transaction.commit():
            raise ConflictError(f"job {job.job_id} exists already")

    def get_job(self, job_id: str) -> Job:
        item = self._table.get({"job_id": job_id})
        if item is None:
            raise _no_job(job_id)
        return parse_job(item)

    def set_progress(self, job_id: str, fence: int, progress: Progress) -> None:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#records_generated = :generated, #failed_records = :failed,"
            " #tokens_used = :tokens, #cost_estimate = :cost, #failures_by_kind = :kinds,"
            " #cost_by_model = :models, #service_failures = :service, #steps = :steps,"
            " #updated_at = :now",
            # The status excludes a worker that has not yet seen that its job was cancelled.
            condition=f"#status = :running AND {_FENCE_HOLDS}",
            values={
                ":generated": progress.records_generated,
                ":failed": progress.failed_records,
                ":tokens": progress.tokens_used,
                ":cost": exact_usd(progress.cost_nano),
                ":kinds": progress.failures_by_kind,
                ":models": _usd_by_model(progress),
                ":service": progress.service_failures,
                ":steps": steps_document(progress.steps),
                ":now": stamp(self._clock.now()),
                ":running": JobStatus.RUNNING,
                ":fence": fence,
            },
        )
        if isinstance(outcome, Refused):
            item = _existing(outcome, job_id, fence)
            raise ConflictError(f"job {job_id} is {item['status']}: its counters stay as they are")

    def set_budget(self, job_id: str, budget_limit: str) -> None:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#budget_limit = :limit, #updated_at = :now",
            # Excludes a job that was deleted meanwhile: the update would bring half of it back.
            condition="attribute_exists(#job_id)",
            values={":limit": Decimal(budget_limit), ":now": stamp(self._clock.now())},
        )
        if isinstance(outcome, Refused):
            raise _no_job(job_id)

    def set_call_timeout(self, job_id: str, seconds: int) -> None:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#config.#call_timeout = :seconds, #updated_at = :now",
            condition="attribute_exists(#job_id)",  # as above
            values={":seconds": seconds, ":now": stamp(self._clock.now())},
        )
        if isinstance(outcome, Refused):
            raise _no_job(job_id)

    def set_num_records(self, job_id: str, num_records: int) -> None:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#config.#num_records = :new, #updated_at = :now",
            # Excludes a worker that has read the smaller number, and two growths that cross.
            condition="#config.#num_records <= :new AND NOT (#status IN (:running, :deleting))",
            values={
                ":new": num_records,
                ":now": stamp(self._clock.now()),
                ":running": JobStatus.RUNNING,
                ":deleting": JobStatus.DELETING,
            },
        )
        if isinstance(outcome, Refused):
            status = _existing(outcome, job_id, None)["status"]
            if status in {JobStatus.RUNNING, JobStatus.DELETING}:
                raise ConflictError(f"job {job_id} is {status}: its number of records stays")
            raise InputError(f"job {job_id} has more than {num_records} records already")

    def set_status(
        self,
        job_id: str,
        status: JobStatus,
        *,
        fence: int | None,
        error: JobError | None = None,
    ) -> None:
        sources = sources_of(status)
        if fence is not None:
            sources = _WORKER_SOURCES.get(status, sources)
        allowed = {f":from{number}": source for number, source in enumerate(sorted(sources))}
        # Excludes a transition decided on a status that has changed since: a user's cancellation
        # and a worker's end can't overwrite each other.
        condition = f"#status IN ({', '.join(allowed)})"
        set_, remove, values = _status_change(status, error)
        values |= {":now": stamp(self._clock.now()), **allowed}
        if fence is not None:
            set_.append("#fence = :fence")
            values[":fence"] = fence
            condition += f" AND {_FENCE_HOLDS}"
        outcome = self._table.update(
            {"job_id": job_id},
            set_=", ".join(set_),
            remove=", ".join(remove),
            condition=condition,
            values=values,
        )
        if isinstance(outcome, Refused):
            item = _existing(outcome, job_id, fence)
            raise ConflictError(f"job {job_id} is {item['status']}: it can't become {status}")


def _status_change(
    status: JobStatus, error: JobError | None
) -> tuple[list[str], list[str], dict[str, Any]]:
    """What to set and to remove, and the values; `:now` is the caller's. What an earlier end left
    goes: it would be wrong beside the new one.
    """
    set_ = ["#status = :status", "#updated_at = :now"]
    remove = []
    values: dict[str, Any] = {":status": status}
    if status is JobStatus.RUNNING:
        set_.append("#started_at = if_not_exists(#started_at, :now)")
    if status in ACTIVE:
        set_.append("#active_user_id = #user_id")
        remove.append("#completed_at")
    else:
        set_.append("#completed_at = :now")
        remove.append("#active_user_id")
    if is_end(status):  # the same write: no crash loses an end that is to be announced
        set_.append("#unannounced = :unannounced")
        values[":unannounced"] = UNANNOUNCED
    else:
        remove.append("#unannounced")
    told: dict[str, str | None] = dict.fromkeys(("error_message", "error_code", "retry_after"))
    if error is not None:
        told |= {"error_message": error.message, "error_code": error.code}
        told["retry_after"] = stamp(error.retry_after) if error.retry_after else None
    for name, text in told.items():
        if text is None:
            remove.append(f"#{name}")
        else:
            set_.append(f"#{name} = :{name}")
            values[f":{name}"] = text
    return set_, remove, values


def _existing(refused: Refused, job_id: str, fence: int | None) -> Item:
    """The item behind a refusal, unless it is missing or a successor's."""
    if refused.item is None:
        raise _no_job(job_id)
    if fence is not None and refused.item.get("fence", 0) > fence:
        raise LeaseLostError(f"job {job_id} has another owner: fence {fence} is out of date")
    return refused.item


def _no_job(job_id: str) -> NotFoundError:
    return NotFoundError(f"no job {job_id}: check the id")


def job_item(job: Job) -> Item:
    """A job as it is stored. What is None has no attribute."""
    attributes = {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "status": str(job.status),
        "config": config_document(job.config),
        "budget_limit": _storable(job.budget_limit),
        "records_generated": job.progress.records_generated,
        "failed_records": job.progress.failed_records,
        "tokens_used": job.progress.tokens_used,
        "cost_estimate": exact_usd(job.progress.cost_nano),
        "failures_by_kind": job.progress.failures_by_kind,
        "cost_by_model": _usd_by_model(job.progress),
        "service_failures": job.progress.service_failures,
        "steps": steps_document(job.progress.steps),
        "created_at": stamp(job.created_at),
        "updated_at": stamp(job.updated_at),
        "active_user_id": job.user_id if job.status in ACTIVE else None,
        "error_message": job.error_message,
        "error_code": job.error_code,
        "retry_after": job.retry_after and stamp(job.retry_after),
        "launch_error": job.launch_error,
        "request_hash": job.request_hash,
        "started_at": job.started_at and stamp(job.started_at),
        "completed_at": job.completed_at and stamp(job.completed_at),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def parse_job(item: Item) -> Job:
    """Inverse of `job_item`. Raises `StorageError` for an item that this project didn't write."""
    try:
        return Job(
            job_id=item["job_id"],
            user_id=item["user_id"],
            status=JobStatus(item["status"]),
            config=parse_config(item["config"]),
            budget_limit=item.get("budget_limit"),
            created_at=parse_stamp(item["created_at"]),
            updated_at=parse_stamp(item["updated_at"]),
            progress=Progress(
                records_generated=int(item["records_generated"]),
                failed_records=int(item["failed_records"]),
                tokens_used=int(item["tokens_used"]),
                cost_nano=nano_of(item["cost_estimate"]),
                # Items from before they were counted have neither.
                failures_by_kind={
                    kind: int(count) for kind, count in item.get("failures_by_kind", {}).items()
                },
                cost_by_model={
                    model: nano_of(usd) for model, usd in item.get("cost_by_model", {}).items()
                },
                service_failures=int(item.get("service_failures", 0)),
                steps=steps_of(item.get("steps", {})),
            ),
            error_message=item.get("error_message"),
            error_code=item.get("error_code"),
            retry_after=_optional_time(item, "retry_after"),
            launch_error=item.get("launch_error"),
            request_hash=item.get("request_hash"),
            started_at=_optional_time(item, "started_at"),
            completed_at=_optional_time(item, "completed_at"),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        raise StorageError("the job's item in the jobs table is damaged: delete the job") from exc


def _optional_time(item: Item, name: str) -> datetime | None:
    return parse_stamp(item[name]) if name in item else None


def _usd_by_model(progress: Progress) -> dict[str, Decimal]:
    return {model: exact_usd(nano) for model, nano in progress.cost_by_model.items()}


def _storable(limit: object) -> object:
    """As given where DynamoDB can hold it, else as text: `amounts.parse_budget` judges it."""
    if limit is None or isinstance(limit, str | bool):
        return limit
    try:
        number = Decimal(str(limit))
        to_attributes({"": number})
    except (ArithmeticError, TypeError):
        return str(limit)
    return number

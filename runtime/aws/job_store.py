"""The jobs table. What is in an item: see `job_items.py`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.job_items import job_item, parse_job, usd_by_model
from runtime.aws.job_shares import JobChange, JobShares
from runtime.aws.table import Item, Refused, Table, TableNames, stamp
from runtime.aws.transaction import MAX_PARTS, Transaction
from runtime.aws.work_queue import work_item
from runtime.contract.tables import JOBS, QUEUE
from runtime.domain.errors import (
    ConflictError,
    InputError,
    LeaseLostError,
    NotFoundError,
    StorageBusyError,
)
from runtime.domain.jobs.ended import is_end
from runtime.domain.jobs.job import (
    ACTIVE,
    ENDED,
    Job,
    JobError,
    JobStatus,
    Progress,
    sources_of,
)
from runtime.domain.jobs.step_totals import steps_document
from runtime.domain.money.accounts import Admission, active_share
from runtime.domain.money.amounts import exact_usd
from runtime.domain.ports import Clock
from runtime.domain.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

UNANNOUNCED: Final = "job"
"""The one value of the attribute: the partition of an index."""

MAX_SHARDS: Final = MAX_PARTS - 1
"""Job and work items are stored in one transaction, with two accounts of the month and a counter
where it is admitted: then three shards fewer.
"""

_TRIES: Final = 5
"""Refusals in a row that only a change of the job, just over, can explain."""

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
        self._shares = JobShares(client=client, names=names)
        self._clock = clock

    def create_job(
        self,
        job: Job,
        *,
        shards: Sequence[int | None] = (None,),
        admission: Admission | None = None,
    ) -> None:
        most = MAX_SHARDS if admission is None else MAX_SHARDS - 3
        if len(shards) > most:
            raise InputError(f"a job has at most {most} shards: {len(shards)} were asked for")
        queued_at, queue = stamp(self._clock.now()), self._names(QUEUE)
        transaction = Transaction(self._client)
        # The conditions exclude that a job is created twice, and that a new job takes over the
        # work items of an old one.
        share = None
        if admission is not None:
            month = admission.limits.month
            share = active_share(None, month=month, limit_nano=job.budget_nano, committed_nano=0)
        item = {**job_item(job), **self._shares.attributes(share)}
        transaction.put_new(self._table.name, item, absent="job_id")
        for shard in shards:
            work = work_item(job.job_id, shard, queued_at=queued_at)
            transaction.put_new(queue, work, absent="work_id")
        entrance = None
        if admission is not None and share is not None:
            growth = share.reserved_nano
            entrance = self._shares.admit(transaction, job.user_id, admission, growth)
        refusals = transaction.commit()
        if not refusals:
            return
        refusal = None if entrance is None else entrance.refusal(refusals)
        if refusal is not None and not any(refusals[: 1 + len(shards)]):
            raise refusal
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
                ":models": usd_by_model(progress),
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
            # Excludes a job that was deleted meanwhile: the update would bring half of it back; and
            # one that was queued meanwhile: the accounts of the month have let in another budget.
            condition="attribute_exists(#job_id) AND (attribute_not_exists(#budget_month)"
            " OR NOT (#status IN (:queued, :running)))",
            values={
                ":limit": Decimal(budget_limit),
                ":now": stamp(self._clock.now()),
                ":queued": JobStatus.QUEUED,
                ":running": JobStatus.RUNNING,
            },
        )
        if isinstance(outcome, Refused):
            status = _existing(outcome, job_id, None)["status"]
            raise ConflictError(f"job {job_id} is {status}: its budget stays")

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
            raise InputError(f"job {job_id} has more than {counted(num_records, 'record')} already")

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
        change = self._change(sources, status, error)
        if fence is not None:
            change = change.also(
                set_=("#fence = :fence",), values={":fence": fence}, only=_FENCE_HOLDS
            )
        if status in ENDED:
            refused = self._shares.end(job_id, change)
        else:
            outcome = self._table.update(
                {"job_id": job_id},
                set_=", ".join(change.set_),
                remove=", ".join(change.remove),
                condition=change.condition,
                values=change.values,
            )
            refused = outcome if isinstance(outcome, Refused) else None
        if refused is not None:
            item = _existing(refused, job_id, fence)
            raise ConflictError(f"job {job_id} is {item['status']}: it can't become {status}")

    def queue_again(
        self, job_id: str, admission: Admission, *, budget_limit: str | None = None
    ) -> None:
        change = self._change(sources_of(JobStatus.QUEUED) - ACTIVE, JobStatus.QUEUED, None)
        if budget_limit is not None:
            change = change.also(
                set_=("#budget_limit = :limit",), values={":limit": Decimal(budget_limit)}
            )
        item = self._table.get({"job_id": job_id})
        for _ in range(_TRIES):
            if item is None:
                raise _no_job(job_id)
            refused = self._shares.queue_again(item, change, admission, budget_limit=budget_limit)
            if refused is None:
                return
            item = refused.item
        raise StorageBusyError(f"job {job_id} keeps changing: try again")

    def return_rest(self, job_id: str) -> None:
        self._shares.return_rest(job_id)

    def _change(
        self, sources: frozenset[JobStatus], status: JobStatus, error: JobError | None
    ) -> JobChange:
        """The next status, where the present one is of `sources`. What an earlier end left goes: it
        would be wrong beside the new one.
        """
        set_ = ["#status = :status", "#updated_at = :now"]
        remove = []
        allowed = {f":from{number}": source for number, source in enumerate(sorted(sources))}
        values: dict[str, Any] = {":status": status, ":now": stamp(self._clock.now()), **allowed}
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
        return JobChange(
            set_=tuple(set_),
            remove=tuple(remove),
            # Excludes a transition decided on a status that has changed since: a user's
            # cancellation and a worker's end can't overwrite each other.
            condition=f"#status IN ({', '.join(allowed)})",
            values=values,
        )


def _existing(refused: Refused, job_id: str, fence: int | None) -> Item:
    """The item behind a refusal, unless it is missing or a successor's."""
    if refused.item is None:
        raise _no_job(job_id)
    if fence is not None and refused.item.get("fence", 0) > fence:
        raise LeaseLostError(f"job {job_id} has another owner: fence {fence} is out of date")
    return refused.item


def _no_job(job_id: str) -> NotFoundError:
    return NotFoundError(f"no job {job_id}: check the id")

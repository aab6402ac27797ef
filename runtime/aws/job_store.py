"""The jobs table. What is in an item: see `job_items.py`."""

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.job_changes import FENCE_HOLDS, change_to, existing, no_job, queued_again
from runtime.aws.job_exports import queue_export, set_export
from runtime.aws.job_items import job_item, parse_job, progress_attributes
from runtime.aws.job_rounds import open_round, set_selection
from runtime.aws.job_shares import JobShares
from runtime.aws.table import Item, Refused, Table, TableNames, stamp
from runtime.aws.transaction import Transaction
from runtime.aws.work_items import set_shard_progress, shards_of, work_items
from runtime.contract.tables import JOBS, QUEUE
from runtime.domain.checks.acceptance import grown_candidates
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import (
    ConflictError,
    InputError,
    StorageBusyError,
)
from runtime.domain.jobs.job import (
    ACTIVE,
    ENDED,
    Job,
    JobError,
    JobStatus,
    Progress,
    sources_of,
    work_id_of,
)
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.jobs.shards import sum_of_progress
from runtime.domain.money.accounts import Admission, active_share
from runtime.domain.ports import Clock
from runtime.domain.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_TRIES: Final = 5
"""Refusals in a row that only a change of the job, just over, can explain."""

_WORKER_SOURCES: Final = {
    # A successor takes over what its predecessor left RUNNING.
    JobStatus.RUNNING: sources_of(JobStatus.RUNNING) | {JobStatus.RUNNING},
    # An interrupted worker hands back what runs; a job that has ended meanwhile stays ended.
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING}),
}
"""Where a worker's transitions differ from `sources_of`."""


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
        admission: Admission | None = None,
    ) -> None:
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
        items = tuple(work_items(job.job_id, job.config.sharding, queued_at=queued_at))
        for work in items:
            transaction.put_new(queue, work, absent="work_id")
        entrance = None
        if admission is not None and share is not None:
            growth = share.reserved_nano
            entrance = self._shares.admit(transaction, job.user_id, admission, growth)
        refusals = transaction.commit()
        if not refusals:
            return
        refusal = None if entrance is None else entrance.refusal(refusals)
        if refusal is not None and not any(refusals[: 1 + len(items)]):
            raise refusal
        raise ConflictError(f"job {job.job_id} exists already")

    def get_job(self, job_id: str) -> Job:
        item = self._table.get({"job_id": job_id})
        if item is None:
            raise no_job(job_id)
        job = parse_job(item)
        return job if job.config.sharding is None else replace(job, progress=self._sums(job))

    def _sums(self, job: Job) -> Progress:
        """The counters of a sharded job; those that are stored where its work is gone."""
        count = 0 if job.config.sharding is None else job.config.sharding.count
        shards = shards_of(self._client, self._names(QUEUE), job.job_id, range(count))
        return sum_of_progress(each.progress for each in shards) if shards else job.progress

    def get_status(self, job_id: str) -> JobStatus:
        item = self._table.get({"job_id": job_id})
        if item is None:
            raise no_job(job_id)
        return JobStatus(item["status"])

    def set_progress(
        self, job_id: str, fence: int, progress: Progress, *, shard: int | None = None
    ) -> None:
        if shard is not None:
            queue = Table(self._client, self._names(QUEUE))
            set_shard_progress(queue, work_id_of(job_id, shard), fence, progress)
            return
        # The status excludes a worker that has not yet seen that its job was cancelled.
        outcome = self._store_progress(
            job_id,
            progress,
            condition=f"#status = :running AND {FENCE_HOLDS}",
            values={":running": JobStatus.RUNNING, ":fence": fence},
        )
        if isinstance(outcome, Refused):
            item = existing(outcome, job_id, fence)
            raise ConflictError(f"job {job_id} is {item['status']}: its counters stay as they are")

    def refresh_progress(self, job_id: str) -> None:
        item = self._table.get({"job_id": job_id})
        job = None if item is None else parse_job(item)
        if job is None or job.config.sharding is None:
            return
        self._store_progress(
            job_id,
            self._sums(job),
            # Excludes sums that were read before those which are stored, and half an item of a job
            # that was deleted meanwhile.
            condition="#records_generated <= :records_generated",
            values={},
        )

    def _store_progress(
        self, job_id: str, progress: Progress, *, condition: str, values: Item
    ) -> Item | Refused:
        attributes = progress_attributes(progress)
        return self._table.update(
            {"job_id": job_id},
            set_=", ".join((*(f"#{name} = :{name}" for name in attributes), "#updated_at = :now")),
            condition=condition,
            values={
                **values,
                **{f":{name}": value for name, value in attributes.items()},
                ":now": stamp(self._clock.now()),
            },
        )

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
            status = existing(outcome, job_id, None)["status"]
            raise ConflictError(f"job {job_id} is {status}: its budget stays")

    def set_call_timeout(self, job_id: str, seconds: int) -> None:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#config.#call_timeout = :seconds, #updated_at = :now",
            condition="attribute_exists(#job_id)",  # as above
            values={":seconds": seconds, ":now": stamp(self._clock.now())},
        )
        if isinstance(outcome, Refused):
            raise no_job(job_id)

    def set_num_records(
        self, job_id: str, num_records: int, *, max_candidates: int | None = None
    ) -> None:
        item = self._table.get({"job_id": job_id})
        for _ in range(_TRIES):
            if item is None:
                raise no_job(job_id)
            refused = self._grow(parse_job(item), num_records, max_candidates)
            if refused is None:
                return
            item = refused.item
        raise StorageBusyError(f"job {job_id} keeps changing: try again")

    def _grow(self, job: Job, num_records: int, max_candidates: int | None) -> Refused | None:
        """Add records to a job that was read. What stood in the way if it has changed since."""
        if job.status in {JobStatus.RUNNING, JobStatus.DELETING}:
            raise ConflictError(f"job {job.job_id} is {job.status}: its number of records stays")
        if num_records < job.config.num_records:
            has = counted(num_records, "record")
            raise InputError(f"job {job.job_id} has more than {has} already")
        set_ = ["#config.#num_records = :new", "#updated_at = :now"]
        values: dict[str, Any] = {}
        most = grown_candidates(
            job.config.acceptance.max_candidates,
            before=job.config.num_records,
            num_records=num_records,
            asked=max_candidates,
        )
        if most is not None:
            set_ += ["#config.#max_candidates = :most"]
            values[":most"] = most
        sharding = job.config.sharding
        if sharding is not None and num_records > job.config.num_records:
            set_ += ["#config.#sharding = :sharding", "#run = :run"]
            grown = sharding.grown_by_request(num_records, checked=job.config.has_checks)
            values |= {":sharding": grown.document(), ":run": job.run + 1}
        outcome = self._table.update(
            {"job_id": job.job_id},
            set_=", ".join(set_),
            # Excludes a worker that has read the smaller number, and two growths that cross.
            condition="#config.#num_records = :old AND #status = :status",
            values={
                **values,
                ":new": num_records,
                ":old": job.config.num_records,
                ":status": job.status,
                ":now": stamp(self._clock.now()),
            },
        )
        return outcome if isinstance(outcome, Refused) else None

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
        change = change_to(sources, status, error, now=self._clock.now())
        if fence is None and status is JobStatus.QUEUED:
            change = queued_again(change)
        if fence is not None:
            change = change.also(
                set_=("#fence = :fence",), values={":fence": fence}, only=FENCE_HOLDS
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
            item = existing(refused, job_id, fence)
            raise ConflictError(f"job {job_id} is {item['status']}: it can't become {status}")

    def queue_again(
        self, job_id: str, admission: Admission, *, budget_limit: str | None = None
    ) -> None:
        change = queued_again(
            change_to(
                sources_of(JobStatus.QUEUED) - ACTIVE,
                JobStatus.QUEUED,
                None,
                now=self._clock.now(),
            )
        )
        if budget_limit is not None:
            change = change.also(
                set_=("#budget_limit = :limit",), values={":limit": Decimal(budget_limit)}
            )
        item = self._table.get({"job_id": job_id})
        for _ in range(_TRIES):
            if item is None:
                raise no_job(job_id)
            refused = self._shares.queue_again(item, change, admission, budget_limit=budget_limit)
            if refused is None:
                return
            item = refused.item
        raise StorageBusyError(f"job {job_id} keeps changing: try again")

    def queue_export(self, job_id: str, export: RequestedExport) -> None:
        queue_export(self._client, self._names, job_id, export, now=self._clock.now())

    def set_export(self, job_id: str, export: RequestedExport, *, fence: int | None) -> None:
        set_export(self._table, job_id, export, fence=fence, now=self._clock.now())

    def set_selection(self, job_id: str, selection: Selection, *, fence: int) -> None:
        set_selection(self._table, job_id, selection, fence=fence, now=self._clock.now())

    def open_round(self, job_id: str, end: int, *, fence: int) -> None:
        open_round(self._table, job_id, end, fence=fence, now=self._clock.now())

    def return_rest(self, job_id: str) -> None:
        self._shares.return_rest(job_id)

"""Jobs as their users see them: listed by index, counted by another, and deleted with all traces.

Attributes: see `job_store.py`.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from runtime.aws.batch import delete_items
from runtime.aws.job_items import parse_job
from runtime.aws.listing import NewestFirst
from runtime.aws.table import Table, TableNames, stamp
from runtime.aws.transaction import Transaction
from runtime.contract.tables import (
    CHECKPOINT_METADATA,
    COST_TRACKING,
    JOBS,
    JOBS_ACTIVE,
    JOBS_BY_USER,
    QUEUE,
)
from runtime.domain.errors import ConflictError
from runtime.domain.jobs.job import MAX_ERROR_MESSAGE_CHARACTERS, Job, JobStatus, work_id_of
from runtime.domain.pages import Page
from runtime.domain.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_IS_DELETING: Final = "#status = :deleting"
_DELETING_VALUES: Final = {":deleting": JobStatus.DELETING}


class DynamoJobCatalog:
    """Implements `service_ports.JobCatalog`."""

    def __init__(self, *, client: "DynamoDBClient", names: TableNames, clock: Clock) -> None:
        self._client = client
        self._names = names
        self._clock = clock
        self._jobs = Table(client, names(JOBS))
        self._by_user = NewestFirst(
            table=self._jobs, index=JOBS_BY_USER, partition="user_id", identity="job_id", fixed={}
        )

    def list_jobs(
        self, user_id: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Page[Job]:
        return self._by_user.page(
            user_id,
            limit=limit,
            after=after,
            parse=parse_job,
            wanted=None if status is None else lambda item: bool(item["status"] == status),
        )

    def count_active(self, user_id: str, *, at_most: int) -> int:
        return self._jobs.count("active_user_id", user_id, index=JOBS_ACTIVE, at_most=at_most)

    def list_active(self, user_id: str) -> Sequence[Job]:
        found = self._jobs.query("active_user_id", user_id, index=JOBS_ACTIVE)
        return [parse_job(each) for each in found]

    def set_launch_error(self, job_id: str, message: str | None) -> None:
        values = {":now": stamp(self._clock.now())}
        # Excludes a job that was deleted meanwhile: the update would bring half of it back.
        condition = "attribute_exists(#job_id)"
        if message is None:
            self._jobs.update(
                {"job_id": job_id},
                set_="#updated_at = :now",
                remove="#launch_error",
                condition=condition,
                values=values,
            )
            return
        self._jobs.update(
            {"job_id": job_id},
            set_="#launch_error = :error, #updated_at = :now",
            condition=condition,
            values={**values, ":error": message[:MAX_ERROR_MESSAGE_CHARACTERS]},
        )

    def delete_job(self, job_id: str) -> None:
        if not self._is_deleting(job_id):
            return
        # Without a condition, which a batch can't have: entries only tell what was spent.
        costs = Table(self._client, self._names(COST_TRACKING))
        entries = costs.query("job_id", job_id, attributes=("job_id", "timestamp"))
        delete_items(self._client, costs.name, entries)
        # Not before: by its work the sweeper finds a job whose deletion was broken off.
        for work_id in self._work_ids(job_id):
            if not self._delete_work(job_id, work_id):
                return
        refused = self._jobs.delete(
            {"job_id": job_id}, condition=_IS_DELETING, values=_DELETING_VALUES
        )
        if refused:
            self._is_deleting(job_id)

    def _is_deleting(self, job_id: str) -> bool:
        """False when the job is gone. Raises `ConflictError` when it isn't DELETING."""
        item = self._jobs.get({"job_id": job_id})
        if item is None:
            return False
        if item["status"] != JobStatus.DELETING:
            raise ConflictError(f"job {job_id} is {item['status']}: it is not being deleted")
        return True

    def _work_ids(self, job_id: str) -> Iterator[str]:
        """The job's work, its own last: it says how many shards there are to a deletion that goes
        on after one that was broken off.
        """
        own = Table(self._client, self._names(QUEUE)).get({"work_id": work_id_of(job_id)})
        shards = 0 if own is None else int(own.get("shards", 0))
        yield from (work_id_of(job_id, shard) for shard in range(shards))
        yield work_id_of(job_id)

    def _delete_work(self, job_id: str, work_id: str) -> bool:
        """False when another deletion was quicker and the job is gone."""
        transaction = Transaction(self._client)
        # Excludes a slow deletion that another one has overtaken: a job that was created anew
        # under this id would lose its work.
        transaction.require(
            self._jobs.name, {"job_id": job_id}, condition=_IS_DELETING, values=_DELETING_VALUES
        )
        transaction.delete(self._names(QUEUE), {"work_id": work_id})
        transaction.delete(self._names(CHECKPOINT_METADATA), {"job_id": work_id})
        return not transaction.commit() or self._is_deleting(job_id)

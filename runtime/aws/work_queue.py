"""The work queue as a DynamoDB table with an index by status and time; items: `work_items.py`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from runtime.aws.table import Item, Refused, Table, stamp
from runtime.aws.work_items import ERROR_ATTRIBUTES, error_attributes, no_work, shards_of
from runtime.contract.statuses import WaitingStatus, WorkStatus
from runtime.contract.tables import QUEUE_BY_STATUS
from runtime.domain.errors import ConflictError, LeaseLostError
from runtime.domain.jobs.job import ENDED, JobError, JobStatus, work_id_of
from runtime.domain.jobs.shards import ShardState
from runtime.domain.ports import Claim, Clock, Lease

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_PAGE: Final = 25
"""Queued items read at a time: more than one, because others race for the oldest."""


class DynamoWorkQueue:
    """Implements `ports.WorkQueue`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._client = client
        self._table = Table(client, table_name)
        self._clock = clock

    def get_next_job(self, owner: str) -> Claim | None:
        # The index lags behind: it may show work that is taken, or gone. The claim decides.
        queued = self._table.query(
            "status", JobStatus.QUEUED, index=QUEUE_BY_STATUS, page_size=_PAGE
        )
        for item in queued:
            outcome = self._claim(item["work_id"], owner)
            if not isinstance(outcome, Refused):
                return _parse_claim(outcome)
        return None

    def claim(self, work_id: str, owner: str) -> Claim | None:
        outcome = self._claim(work_id, owner)
        if not isinstance(outcome, Refused):
            return _parse_claim(outcome)
        if outcome.item is None:
            raise no_work(work_id)
        return None

    def _claim(self, work_id: str, owner: str) -> Item | Refused:
        return self._table.update(
            {"work_id": work_id},
            set_="#status = :running, #owner = :owner, #fence = #fence + :one,"
            " #heartbeat = #heartbeat + :one, #attempt = #attempt + :one",
            # Excludes two workers that both saw the item QUEUED: the second one finds it RUNNING.
            condition="#status = :queued",
            values={
                ":running": JobStatus.RUNNING,
                ":queued": JobStatus.QUEUED,
                ":owner": owner,
                ":one": 1,
            },
        )

    def heartbeat(self, claim: Claim) -> None:
        self._change_claimed(
            claim, set_="#heartbeat = #heartbeat + :one", remove="", values={":one": 1}
        )

    def release(self, claim: Claim) -> None:
        # queued_at stays: interrupted work keeps its place in the line.
        self._change_claimed(
            claim, set_="#status = :queued", remove="#owner", values={":queued": JobStatus.QUEUED}
        )

    def finish(
        self, claim: Claim, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> None:
        told: Item = error_attributes(error)
        if claim.shard is not None:
            told = {**told, "run": run}
        gone = (
            () if claim.shard is None else (each for each in ERROR_ATTRIBUTES if each not in told)
        )
        self._change_claimed(
            claim,
            set_=", ".join(("#status = :ended", *(f"#{name} = :{name}" for name in told))),
            remove=", ".join(("#owner", *(f"#{name}" for name in gone))),
            values={":ended": status, **{f":{name}": value for name, value in told.items()}},
        )

    def put_off(self, claim: Claim) -> None:
        self._change_claimed(
            claim,
            set_="#status = :waiting",
            remove="#owner",
            values={":waiting": WaitingStatus.WAITING},
        )

    def _change_claimed(self, claim: Claim, *, set_: str, remove: str, values: Item) -> None:
        outcome = self._table.update(
            {"work_id": claim.work_id},
            set_=set_,
            remove=remove,
            # Excludes an owner that was thought dead and wakes up: its work is QUEUED again, or
            # RUNNING under a successor's higher fence.
            condition="#status = :running AND #fence = :fence",
            values={**values, ":running": JobStatus.RUNNING, ":fence": claim.fence},
        )
        if isinstance(outcome, Refused):
            raise LeaseLostError(f"work {claim.work_id} is no longer claimed with {claim.fence}")

    def leases(self) -> Sequence[Lease]:
        running = self._table.query("status", JobStatus.RUNNING, index=QUEUE_BY_STATUS)
        return [
            Lease(
                work_id=item["work_id"],
                job_id=item["job_id"],
                fence=int(item["fence"]),
                beat=int(item["heartbeat"]),
            )
            for item in running
        ]

    def recover(self, lease: Lease) -> bool:
        outcome = self._table.update(
            {"work_id": lease.work_id},
            set_="#status = :queued",
            remove="#owner",
            # Excludes two races: the owner is alive and has beaten since `lease` was read, and
            # another observer has recovered the item, which may be RUNNING again by now.
            condition="#status = :running AND #fence = :fence AND #heartbeat = :beat",
            values={
                ":queued": JobStatus.QUEUED,
                ":running": JobStatus.RUNNING,
                ":fence": lease.fence,
                ":beat": lease.beat,
            },
        )
        return not isinstance(outcome, Refused)

    def enqueue(self, work_id: str) -> None:
        # `attempt` goes on: what starts a task per attempt must not repeat its token.
        self._begin_again(work_id, JobStatus.QUEUED)

    def await_shards(self, job_id: str) -> None:
        self._begin_again(work_id_of(job_id), WaitingStatus.WAITING)

    def _begin_again(self, work_id: str, status: WorkStatus) -> None:
        ended = {f":ended{number}": status for number, status in enumerate(sorted(ENDED))}
        outcome = self._table.update(
            {"work_id": work_id},
            set_="#status = :again, #queued_at = :now",
            # Excludes two retries at once, and a retry of work that somebody has in hand.
            condition=f"#status IN ({', '.join(ended)})",
            values={":again": status, ":now": stamp(self._clock.now()), **ended},
        )
        if not isinstance(outcome, Refused):
            return
        if outcome.item is None:
            raise no_work(work_id)
        raise ConflictError(f"work {work_id} is {outcome.item['status']}: it has not ended")

    def release_own(self, job_id: str) -> bool:
        work_id = work_id_of(job_id)
        outcome = self._table.update(
            {"work_id": work_id},
            set_="#status = :queued, #queued_at = :now",
            # Excludes that it is queued once more by someone who was slower, when it has ended.
            condition="#status = :waiting",
            values={
                ":queued": JobStatus.QUEUED,
                ":waiting": WaitingStatus.WAITING,
                ":now": stamp(self._clock.now()),
            },
        )
        if isinstance(outcome, Refused) and outcome.item is None:
            raise no_work(work_id)
        return not isinstance(outcome, Refused)

    def shards_of(self, job_id: str, count: int) -> list[ShardState]:
        return shards_of(self._client, self._table.name, job_id, range(count))


def _parse_claim(item: Item) -> Claim:
    shard = item.get("shard")
    return Claim(
        work_id=item["work_id"],
        job_id=item["job_id"],
        owner=item["owner"],
        fence=int(item["fence"]),
        attempt=int(item["attempt"]),
        shard=None if shard is None else int(shard),
    )

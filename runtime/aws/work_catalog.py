"""The work queue as whoever starts and watches workers sees it.

Attributes beyond those of `work_queue.py`, each when there is one: launches (attempts to start a
worker), quota_refusals (those that the account's quota refused), launched_at (when the last one
began, unless it failed), seen_fence, seen_beat, seen_at (what an observer has noted), losses
(workers that died in a row) and lost_at (with how many records saved).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from runtime.aws.batch import get_items
from runtime.aws.table import Item, Refused, Table, parse_stamp, stamp
from runtime.aws.work_items import error_attributes, no_work
from runtime.contract.statuses import WaitingStatus, WorkStatus, parse_work_status
from runtime.contract.tables import QUEUE_BY_STATUS
from runtime.domain.jobs.job import JobError, JobStatus, work_id_of
from runtime.domain.ports import Clock
from runtime.domain.service_ports import WorkItem

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoWorkCatalog:
    """Implements `service_ports.WorkCatalog`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._client = client
        self._table = Table(client, table_name)
        self._clock = clock

    def get_work(self, work_id: str) -> WorkItem:
        item = self._table.get({"work_id": work_id})
        if item is None:
            raise no_work(work_id)
        return _parse(item)

    def work_of(self, job_id: str) -> list[WorkItem]:
        own = self._table.get({"work_id": work_id_of(job_id)})
        if own is None:  # it goes last
            return []
        keys = ({"work_id": work_id_of(job_id, each)} for each in range(int(own.get("shards", 0))))
        shards = map(_parse, get_items(self._client, self._table.name, keys))
        return [_parse(own), *sorted(shards, key=lambda item: item.shard or 0)]

    def list_work(self, status: WorkStatus) -> Iterator[WorkItem]:
        yield from map(_parse, self._table.query("status", status, index=QUEUE_BY_STATUS))

    def begin_launch(self, item: WorkItem) -> int | None:
        number = item.launches + 1
        outcome = self._table.update(
            {"work_id": item.work_id},
            set_="#launches = :number, #launched_at = :now",
            # Excludes two observers that both saw that no worker is on its way, and a launch for
            # work that was claimed meanwhile.
            condition="#status IN (:queued, :waiting) AND "
            + (
                "#launches = :launches"
                if item.launches
                else "(attribute_not_exists(#launches) OR #launches = :launches)"
            ),
            values={
                ":number": number,
                ":launches": item.launches,
                ":now": stamp(self._clock.now()),
                ":queued": JobStatus.QUEUED,
                ":waiting": WaitingStatus.WAITING,
            },
        )
        return None if isinstance(outcome, Refused) else number

    def end_failed_launch(self, work_id: str, number: int, *, at_quota: bool = False) -> None:
        counted = "#quota_refusals = if_not_exists(#quota_refusals, :zero) + :one"
        self._table.update(
            {"work_id": work_id},
            set_=counted if at_quota else "",
            remove="#launched_at",
            # Excludes that the launch after this one is forgotten, whose worker is on its way, and
            # that a request which is repeated counts twice.
            condition="#launches = :number AND attribute_exists(#launched_at)",
            values={":number": number, **({":zero": 0, ":one": 1} if at_quota else {})},
        )

    def note_seen(self, item: WorkItem) -> None:
        self._table.update(
            {"work_id": item.work_id},
            set_="#seen_fence = :fence, #seen_beat = :beat, #seen_at = :now",
            # Excludes a note of a beat that is past: the owner is alive.
            condition="#status = :running AND #fence = :fence AND #heartbeat = :beat",
            values={
                ":fence": item.fence,
                ":beat": item.beat,
                ":now": stamp(self._clock.now()),
                ":running": JobStatus.RUNNING,
            },
        )

    def note_loss(self, item: WorkItem, *, finished: int) -> int:
        # Whoever asks has recovered this claim, and nobody else has: no condition on the counters.
        stored = self._table.get({"work_id": item.work_id})
        if stored is None:
            raise no_work(item.work_id)
        again = stored.get("lost_at") == finished
        losses = int(stored.get("losses", 0)) + 1 if again else 1
        outcome = self._table.update(
            {"work_id": item.work_id},
            set_="#losses = :losses, #lost_at = :finished",
            # Excludes a job that was deleted meanwhile: the update would bring half an item back.
            condition="attribute_exists(#work_id)",
            values={":losses": losses, ":finished": finished},
        )
        if isinstance(outcome, Refused):
            raise no_work(item.work_id)
        return losses

    def withdraw(
        self, work_id: str, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> bool:
        told: Item = {**error_attributes(error), **({"run": run} if run else {})}
        outcome = self._table.update(
            {"work_id": work_id},
            set_=", ".join(("#status = :status", *(f"#{name} = :{name}" for name in told))),
            # Excludes a worker that has claimed it meanwhile: it learns of the end by itself.
            condition="#status IN (:queued, :waiting)",
            values={
                ":status": status,
                ":queued": JobStatus.QUEUED,
                ":waiting": WaitingStatus.WAITING,
                **{f":{name}": value for name, value in told.items()},
            },
        )
        if isinstance(outcome, Refused) and outcome.item is None:
            raise no_work(work_id)
        return not isinstance(outcome, Refused)

    def begin_deletion(self, work_id: str) -> bool:
        outcome = self._table.update(
            {"work_id": work_id},
            set_="#status = :deleting",
            # Excludes a worker that still writes, and half an item of work that is gone.
            condition="attribute_exists(#work_id) AND #status <> :running",
            values={":deleting": JobStatus.DELETING, ":running": JobStatus.RUNNING},
        )
        if isinstance(outcome, Refused) and outcome.item is None:
            raise no_work(work_id)
        return not isinstance(outcome, Refused)


def _parse(item: Item) -> WorkItem:
    return WorkItem(
        work_id=item["work_id"],
        job_id=item["job_id"],
        status=parse_work_status(item["status"]),
        owner=item.get("owner"),
        fence=int(item["fence"]),
        beat=int(item["heartbeat"]),
        attempt=int(item["attempt"]),
        launches=int(item.get("launches", 0)),
        launched_at=_time(item.get("launched_at")),
        seen_fence=_number(item.get("seen_fence")),
        seen_beat=_number(item.get("seen_beat")),
        seen_at=_time(item.get("seen_at")),
        shard=_number(item.get("shard")),
        queued_at=_time(item.get("queued_at")),
        quota_refusals=int(item.get("quota_refusals", 0)),
    )


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


def _time(value: str | None) -> datetime | None:
    return None if value is None else parse_stamp(value)

"""The work queue as whoever starts and watches workers sees it, in SQLite."""

import sqlite3
from collections.abc import Iterator

from runtime.contract.statuses import WaitingStatus, WorkStatus, parse_work_status
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import JobError, JobStatus
from runtime.domain.ports import Clock
from runtime.domain.service_ports import WorkItem
from runtime.local.database import Database, parse_time
from runtime.local.job_rows import note_end


class SqliteWorkCatalog:
    """Implements `service_ports.WorkCatalog`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get_work(self, work_id: str) -> WorkItem:
        rows = self._database.rows("SELECT * FROM work WHERE work_id = ?", (work_id,))
        if not rows:
            raise NotFoundError(f"no work item {work_id}")
        return _item_of(rows[0])

    def work_of(self, job_id: str) -> list[WorkItem]:
        rows = self._database.rows("SELECT * FROM work WHERE job_id = ? ORDER BY shard", (job_id,))
        return list(map(_item_of, rows))

    def list_work(self, status: WorkStatus) -> Iterator[WorkItem]:
        rows = self._database.rows(
            "SELECT * FROM work WHERE status = ? ORDER BY position", (status,)
        )
        return map(_item_of, rows)

    def begin_launch(self, item: WorkItem) -> int | None:
        with self._database.write() as connection:
            changed = connection.execute(
                # The count excludes two observers that both saw the item without a worker.
                "UPDATE work SET launches = launches + 1, launched_at = ?"
                " WHERE work_id = ? AND status IN (?, ?) AND launches = ?",
                (
                    self._now(),
                    item.work_id,
                    JobStatus.QUEUED,
                    WaitingStatus.WAITING,
                    item.launches,
                ),
            )
        return item.launches + 1 if changed.rowcount else None

    def end_failed_launch(self, work_id: str, number: int, *, at_quota: bool = False) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE work SET launched_at = NULL, quota_refusals = quota_refusals + ?"
                " WHERE work_id = ? AND launches = ? AND launched_at IS NOT NULL",
                (int(at_quota), work_id, number),
            )

    def note_seen(self, item: WorkItem) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE work SET seen_fence = fence, seen_beat = beat, seen_at = ?"
                " WHERE work_id = ? AND status = ? AND fence = ? AND beat = ?",
                (self._now(), item.work_id, JobStatus.RUNNING, item.fence, item.beat),
            )

    def note_loss(self, item: WorkItem, *, finished: int) -> int:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE work SET losses = CASE WHEN lost_at = :finished THEN losses ELSE 0 END + 1,"
                " lost_at = :finished WHERE work_id = :work_id",
                {"finished": finished, "work_id": item.work_id},
            )
            if changed.rowcount == 0:
                raise NotFoundError(f"no work item {item.work_id}")
            found = connection.execute("SELECT losses FROM work WHERE work_id = ?", (item.work_id,))
            return int(found.fetchone()["losses"])

    def withdraw(
        self, work_id: str, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> bool:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE work SET status = ? WHERE work_id = ? AND status IN (?, ?)",
                (status, work_id, JobStatus.QUEUED, WaitingStatus.WAITING),
            )
            if changed.rowcount and run:
                note_end(connection, work_id, error, run)
            return _has_changed(connection, changed, work_id)

    def begin_deletion(self, work_id: str) -> bool:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE work SET status = ? WHERE work_id = ? AND status <> ?",
                (JobStatus.DELETING, work_id, JobStatus.RUNNING),
            )
            return _has_changed(connection, changed, work_id)

    def _now(self) -> str:
        return self._clock.now().isoformat()


def _item_of(row: sqlite3.Row) -> WorkItem:
    status = parse_work_status(row["status"])
    return WorkItem(
        work_id=row["work_id"],
        job_id=row["job_id"],
        status=status,
        # The last owner's name stays in the row.
        owner=row["owner"] if status is JobStatus.RUNNING else None,
        fence=row["fence"],
        beat=row["beat"],
        attempt=row["attempt"],
        launches=row["launches"],
        launched_at=parse_time(row["launched_at"]),
        seen_fence=row["seen_fence"],
        seen_beat=row["seen_beat"],
        seen_at=parse_time(row["seen_at"]),
        shard=row["shard"],
        quota_refusals=row["quota_refusals"],
    )


def _has_changed(connection: sqlite3.Connection, changed: sqlite3.Cursor, work_id: str) -> bool:
    """Whether an update met its condition. Raises `NotFoundError` where there is no such item."""
    if changed.rowcount:
        return True
    found = connection.execute("SELECT 1 FROM work WHERE work_id = ?", (work_id,))
    if found.fetchone() is None:
        raise NotFoundError(f"no work item {work_id}")
    return False

"""The work queue in SQLite, with file locks that show dead owners.

Locks are taken and let go inside the transaction that changes the item. So whoever sees a RUNNING
item can trust its lock: it is held by a live owner, or the owner is gone.
"""

import sqlite3
from collections.abc import Collection, Sequence

from runtime.contract.statuses import WaitingStatus, WorkStatus
from runtime.domain.errors import ConflictError, LeaseLostError, NotFoundError
from runtime.domain.jobs.job import ENDED, JobError, JobStatus, work_id_of
from runtime.domain.jobs.shards import ShardState
from runtime.domain.ports import Claim, Lease
from runtime.local.database import Database
from runtime.local.job_rows import begin_again, note_end, parse_shard
from runtime.local.liveness import Owner, WorkLocks


class SqliteWorkQueue:
    """Implements `ports.WorkQueue`.

    `position` is the place in the queue: a counter, because a wall clock may jump back. A released
    or recovered item keeps its place, so what is paid for in part is finished first; an item that
    is queued again goes to the end.
    """

    def __init__(self, *, database: Database, locks: WorkLocks) -> None:
        self._database = database
        self._locks = locks

    def get_next_job(self, owner: str) -> Claim | None:
        return self._claim(
            "SELECT * FROM work WHERE status = ? ORDER BY position LIMIT 1",
            (JobStatus.QUEUED,),
            owner,
        )

    def claim(self, work_id: str, owner: str) -> Claim | None:
        if not self._database.rows("SELECT 1 FROM work WHERE work_id = ?", (work_id,)):
            raise NotFoundError(f"no work item {work_id}")
        return self._claim(
            "SELECT * FROM work WHERE work_id = ? AND status = ?",
            (work_id, JobStatus.QUEUED),
            owner,
        )

    def heartbeat(self, claim: Claim) -> None:
        with self._database.write() as connection:
            self._change_own(connection, claim, JobStatus.RUNNING)

    def release(self, claim: Claim) -> None:
        self._end(claim, JobStatus.QUEUED)

    def put_off(self, claim: Claim) -> None:
        self._end(claim, WaitingStatus.WAITING)

    def finish(
        self, claim: Claim, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> None:
        with self._database.write() as connection:
            self._change_own(connection, claim, status)
            if claim.shard is not None:
                note_end(connection, claim.work_id, error, run)
            self._let_go(claim)

    def leases(self) -> Sequence[Lease]:
        rows = self._database.rows(
            "SELECT * FROM work WHERE status = ? ORDER BY position", (JobStatus.RUNNING,)
        )
        return [
            Lease(
                work_id=row["work_id"],
                job_id=row["job_id"],
                fence=row["fence"],
                beat=row["beat"],
                abandoned=self._locks.owner(row["work_id"], row["fence"]) is Owner.GONE,
            )
            for row in rows
        ]

    def recover(self, lease: Lease) -> bool:
        """See the port. Work of another live process stays with it: its beats may stop for long
        (Ctrl-Z), and if it were taken over both would pay.
        """
        with self._database.write() as connection:
            seen = connection.execute(
                "SELECT 1 FROM work WHERE work_id = ? AND status = ? AND fence = ? AND beat = ?",
                (lease.work_id, JobStatus.RUNNING, lease.fence, lease.beat),
            ).fetchone()
            if not seen:
                return False
            if self._locks.owner(lease.work_id, lease.fence) is Owner.OTHER_PROCESS:
                return False
            connection.execute(
                "UPDATE work SET status = ? WHERE work_id = ?", (JobStatus.QUEUED, lease.work_id)
            )
            self._locks.remove(lease.work_id, lease.fence)
        return True

    def enqueue(self, work_id: str) -> None:
        self._begin_again(work_id, JobStatus.QUEUED, ENDED)

    def await_shards(self, job_id: str) -> None:
        self._begin_again(work_id_of(job_id), WaitingStatus.WAITING, ENDED)

    def release_own(self, job_id: str) -> bool:
        try:
            self._begin_again(work_id_of(job_id), JobStatus.QUEUED, {WaitingStatus.WAITING})
        except ConflictError:
            return False
        return True

    def _begin_again(
        self, work_id: str, status: WorkStatus, sources: Collection[WorkStatus]
    ) -> None:
        with self._database.write() as connection:
            begin_again(connection, work_id, status, sources)

    def shards_of(self, job_id: str, count: int) -> list[ShardState]:
        rows = self._database.rows(
            "SELECT * FROM work WHERE job_id = ? AND shard < ? ORDER BY shard", (job_id, count)
        )
        return list(map(parse_shard, rows))

    def _claim(self, select: str, parameters: tuple[str, ...], owner: str) -> Claim | None:
        claim = None
        try:
            with self._database.write() as connection:
                row = connection.execute(select, parameters).fetchone()
                if row is None:
                    return None
                claim = _next_claim(row, owner)
                self._locks.take(claim.work_id, claim.fence)
                connection.execute(
                    "UPDATE work SET status = ?, owner = ?, fence = ?, attempt = ?"
                    " WHERE work_id = ?",
                    (JobStatus.RUNNING, owner, claim.fence, claim.attempt, claim.work_id),
                )
        except BaseException:
            if claim is not None:
                self._locks.drop(claim.work_id, claim.fence)
            raise
        return claim

    def _end(self, claim: Claim, status: WorkStatus) -> None:
        with self._database.write() as connection:
            self._change_own(connection, claim, status)
            self._let_go(claim)

    def _let_go(self, claim: Claim) -> None:
        """Before the commit: when others see the item QUEUED, its lock is free."""
        self._locks.remove(claim.work_id, claim.fence)
        self._locks.drop(claim.work_id, claim.fence)

    def _change_own(self, connection: sqlite3.Connection, claim: Claim, status: WorkStatus) -> None:
        """Change the item only under its current fence: a stale owner changes nothing."""
        changed = connection.execute(
            "UPDATE work SET status = ?, beat = beat + 1"
            " WHERE work_id = ? AND status = ? AND fence = ?",
            (status, claim.work_id, JobStatus.RUNNING, claim.fence),
        )
        if changed.rowcount == 0:
            self._locks.drop(claim.work_id, claim.fence)
            raise LeaseLostError(f"another worker took {claim.work_id}: stop writing")


def _next_claim(row: sqlite3.Row, owner: str) -> Claim:
    return Claim(
        work_id=row["work_id"],
        job_id=row["job_id"],
        owner=owner,
        fence=row["fence"] + 1,
        attempt=row["attempt"] + 1,
        shard=row["shard"],
    )

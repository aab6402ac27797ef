"""The jobs table in SQLite."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from runtime.domain.checks.totals import Selection
from runtime.domain.errors import (
    ConflictError,
    InputError,
    LeaseLostError,
    NotFoundError,
    StorageBusyError,
)
from runtime.domain.jobs.job import (
    ACTIVE,
    ENDED,
    Job,
    JobError,
    JobStatus,
    Progress,
    may_become,
    work_id_of,
)
from runtime.domain.jobs.row_export import RequestedExport, export_document
from runtime.domain.jobs.shards import sum_of_progress
from runtime.domain.money.accounts import Admission, active_share
from runtime.domain.money.amounts import parse_budget
from runtime.domain.ports import Clock
from runtime.domain.wording import counted
from runtime.local.database import Database
from runtime.local.job_rounds import grown_config, store_round, store_selection
from runtime.local.job_rows import (
    begin_again,
    counters,
    error_columns,
    export_of,
    insert_job,
    insert_work,
    is_exported,
    parse_job,
    parse_shard,
)
from runtime.local.monthly_budgets import admit, close_share, committed_of, share_of

_SET_PROGRESS = """
    UPDATE jobs SET
        records_generated = :records_generated,
        failed_records = :failed_records,
        tokens_used = :tokens_used,
        cost_nano = :cost_nano,
        failures_by_kind = :failures_by_kind,
        cost_by_model = :cost_by_model,
        service_failures = :service_failures,
        steps = :steps,
        checks = :checks,
        updated_at = :now
    WHERE job_id = :job_id"""
_SET_STATUS = """
    UPDATE jobs SET
        status = :status,
        fence = coalesce(:fence, fence),
        updated_at = :now,
        run = run + :again,
        started_at = CASE WHEN :runs THEN coalesce(started_at, :now) ELSE started_at END,
        completed_at = CASE WHEN :ended THEN :now END,
        error_message = :message,
        error_code = :code,
        retry_after = :retry_after
    WHERE job_id = :job_id"""


_SHARDS = "SELECT * FROM work WHERE job_id = ? AND shard IS NOT NULL ORDER BY shard"


class SqliteJobStore:
    """Implements `ports.JobStore`. `budget_limit` is kept as a text, whatever it was."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create_job(self, job: Job, *, admission: Admission | None = None) -> None:
        with self._database.write() as connection:
            if not insert_job(connection, job):
                raise ConflictError(f"job {job.job_id} exists already")
            if not insert_work(connection, job.job_id, job.config.sharding):
                raise ConflictError(f"work of job {job.job_id} exists already")
            if admission is not None:
                self._admit(connection, job.job_id, admission)

    def get_job(self, job_id: str) -> Job:
        rows = self._database.rows("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        if not rows:
            raise NotFoundError(f"no job {job_id}")
        job = parse_job(rows[0])
        if job.config.sharding is None:
            return job
        shards = self._database.rows(_SHARDS, (job_id,))
        return replace(job, progress=_sums(shards) or job.progress)

    def get_status(self, job_id: str) -> JobStatus:
        rows = self._database.rows("SELECT status FROM jobs WHERE job_id = ?", (job_id,))
        if not rows:
            raise NotFoundError(f"no job {job_id}")
        return JobStatus(rows[0]["status"])

    def set_progress(
        self, job_id: str, fence: int, progress: Progress, *, shard: int | None = None
    ) -> None:
        if shard is not None:
            self._set_shard_progress(work_id_of(job_id, shard), fence, progress)
            return
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            if row["status"] != JobStatus.RUNNING:
                raise ConflictError(f"job {job_id} is {row['status']}, not RUNNING")
            self._store_progress(connection, job_id, progress)

    def _set_shard_progress(self, work_id: str, fence: int, progress: Progress) -> None:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE work SET progress = ? WHERE work_id = ? AND status = ? AND fence = ?",
                (json.dumps(counters(progress)), work_id, JobStatus.RUNNING, fence),
            )
            if changed.rowcount:
                return
            found = connection.execute("SELECT 1 FROM work WHERE work_id = ?", (work_id,))
            if found.fetchone() is None:
                raise NotFoundError(f"no work item {work_id}")
            raise LeaseLostError(f"another worker took {work_id}: stop writing")

    def refresh_progress(self, job_id: str) -> None:
        with self._database.write() as connection:
            # Read and written in one transaction: no older sums come after newer ones.
            sums = _sums(connection.execute(_SHARDS, (job_id,)).fetchall())
            if sums is not None:
                self._store_progress(connection, job_id, sums)

    def _store_progress(
        self, connection: sqlite3.Connection, job_id: str, progress: Progress
    ) -> None:
        values = {**counters(progress), "now": self._now(), "job_id": job_id}
        connection.execute(_SET_PROGRESS, values)

    def set_budget(self, job_id: str, budget_limit: str) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            if share_of(row) is not None and row["status"] in ACTIVE:
                raise ConflictError(f"job {job_id} is {row['status']}: its budget stays")
            self._set_limit(connection, job_id, budget_limit)

    def set_call_timeout(self, job_id: str, seconds: int) -> None:
        with self._database.write() as connection:
            _, config = _status_and_config(connection, job_id)
            self._set_config(connection, job_id, {**config, "call_timeout": seconds})

    def set_num_records(
        self, job_id: str, num_records: int, *, max_candidates: int | None = None
    ) -> None:
        with self._database.write() as connection:
            status, config = _status_and_config(connection, job_id)
            if status in {JobStatus.RUNNING, JobStatus.DELETING}:
                raise ConflictError(f"job {job_id} is {status}: its number of records stays")
            if num_records < config["num_records"]:
                has = counted(num_records, "record")
                raise InputError(f"job {job_id} has more than {has} already")
            grown = grown_config(config, num_records, max_candidates)
            if "sharding" in grown and num_records > config["num_records"]:
                connection.execute("UPDATE jobs SET run = run + 1 WHERE job_id = ?", (job_id,))
            self._set_config(connection, job_id, grown)

    def _set_config(
        self, connection: sqlite3.Connection, job_id: str, config: Mapping[str, Any]
    ) -> None:
        connection.execute(
            "UPDATE jobs SET config = ?, updated_at = ? WHERE job_id = ?",
            (json.dumps(config, ensure_ascii=False), self._now(), job_id),
        )

    def set_status(
        self,
        job_id: str,
        status: JobStatus,
        *,
        fence: int | None,
        error: JobError | None = None,
    ) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            old = JobStatus(row["status"])
            if not _is_allowed(old, status, fence) or (
                status is JobStatus.QUEUED and fence is None and is_exported(row)
            ):
                raise ConflictError(f"job {job_id} is {old} and can't become {status}")
            self._write_status(connection, job_id, status, fence=fence, error=error)
            if status in ENDED:
                close_share(connection, job_id)

    def queue_again(
        self, job_id: str, admission: Admission, *, budget_limit: str | None = None
    ) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            status = JobStatus(row["status"])
            if is_exported(row):
                raise ConflictError(f"rows of job {job_id} are being exported")
            if status in ACTIVE or not may_become(status, JobStatus.QUEUED):
                raise ConflictError(f"job {job_id} is {status}: it has not ended")
            if budget_limit is not None:
                self._set_limit(connection, job_id, budget_limit)
            self._write_status(connection, job_id, JobStatus.QUEUED)
            self._admit(connection, job_id, admission)

    def queue_export(self, job_id: str, export: RequestedExport) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            before = export_of(row)
            if row["status"] not in ENDED - {JobStatus.DELETING}:
                raise ConflictError(f"job {job_id} is {row['status']}: it has not ended")
            if before is not None and (before.is_pending or before.number >= export.number):
                raise ConflictError(f"job {job_id} has another export")
            try:
                begin_again(connection, work_id_of(job_id), JobStatus.QUEUED, ENDED)
            except ConflictError as exc:
                raise StorageBusyError(
                    f"the worker of job {job_id} is about to end: try again in a moment"
                ) from exc
            self._store_export(connection, job_id, export)

    def set_export(self, job_id: str, export: RequestedExport, *, fence: int | None) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            before = export_of(row)
            if before is None or not before.is_pending or before.number != export.number:
                raise ConflictError(f"export {export.number} of job {job_id} has ended")
            self._store_export(connection, job_id, export, fence=fence)

    def _store_export(
        self,
        connection: sqlite3.Connection,
        job_id: str,
        export: RequestedExport,
        *,
        fence: int | None = None,
    ) -> None:
        connection.execute(
            "UPDATE jobs SET export = ?, updated_at = ?, fence = coalesce(?, fence)"
            " WHERE job_id = ?",
            (json.dumps(export_document(export)), self._now(), fence, job_id),
        )

    def set_selection(self, job_id: str, selection: Selection, *, fence: int) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            store_selection(connection, row, selection, now=self._now())

    def open_round(self, job_id: str, end: int, *, fence: int) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            store_round(connection, row, end, now=self._now())

    def return_rest(self, job_id: str) -> None:
        with self._database.write() as connection, suppress(NotFoundError):
            if _row(connection, job_id)["status"] in ENDED:
                close_share(connection, job_id)

    def _admit(self, connection: sqlite3.Connection, job_id: str, admission: Admission) -> None:
        row = _row(connection, job_id)
        before = share_of(row)
        after = active_share(
            before,
            month=admission.limits.month,
            limit_nano=parse_budget(row["budget_limit"])[0],
            committed_nano=committed_of(connection, job_id),
        )
        admit(connection, job_id, row["user_id"], admission, before=before, after=after)

    def _set_limit(self, connection: sqlite3.Connection, job_id: str, budget_limit: str) -> None:
        connection.execute(
            "UPDATE jobs SET budget_limit = ?, updated_at = ? WHERE job_id = ?",
            (budget_limit, self._now(), job_id),
        )

    def _write_status(
        self,
        connection: sqlite3.Connection,
        job_id: str,
        status: JobStatus,
        *,
        fence: int | None = None,
        error: JobError | None = None,
    ) -> None:
        connection.execute(
            _SET_STATUS,
            {
                "status": status,
                "fence": fence,
                "now": self._now(),
                "runs": status is JobStatus.RUNNING,
                "again": status is JobStatus.QUEUED and fence is None,
                "ended": status in ENDED,
                **error_columns(error),
                "job_id": job_id,
            },
        )

    def _now(self) -> str:
        return self._clock.now().isoformat()


def _status_and_config(connection: sqlite3.Connection, job_id: str) -> tuple[str, dict[str, Any]]:
    row = _row(connection, job_id)
    return row["status"], json.loads(row["config"])


def _sums(shards: Sequence[sqlite3.Row]) -> Progress | None:
    """The counters of a job from the rows of its shards; None without any."""
    return sum_of_progress(parse_shard(row).progress for row in shards) if shards else None


def _row(connection: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM jobs WHERE job_id = ?", (job_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no job {job_id}")
    return row


def _check_fence(job_id: str, stored: int, fence: int | None) -> None:
    if fence is not None and stored > fence:
        raise LeaseLostError(f"another worker took job {job_id}: stop writing")


def _is_allowed(old: JobStatus, new: JobStatus, fence: int | None) -> bool:
    if fence is None:
        return may_become(old, new)
    if new is JobStatus.QUEUED:
        # A worker hands back what runs; a job that has ended meanwhile stays ended.
        return old is JobStatus.RUNNING
    takeover = old is new is JobStatus.RUNNING
    return takeover or may_become(old, new)

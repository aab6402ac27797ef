"""The jobs table in SQLite."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from runtime.domain.errors import ConflictError, InputError, LeaseLostError, NotFoundError
from runtime.domain.jobs.config import config_document, parse_config
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
from runtime.domain.jobs.step_totals import steps_document, steps_of
from runtime.domain.money.accounts import Admission, active_share
from runtime.domain.money.amounts import parse_budget
from runtime.domain.ports import Clock
from runtime.domain.wording import counted
from runtime.local.database import Database, parse_time
from runtime.local.monthly_budgets import admit, close_share, committed_of, share_of

_INSERT_JOB = """
    INSERT OR IGNORE INTO jobs (
        job_id, user_id, status, config, budget_limit, records_generated, failed_records,
        tokens_used, cost_nano, failures_by_kind, cost_by_model, service_failures, steps,
        error_message, error_code, retry_after, launch_error, request_hash, created_at, updated_at,
        started_at, completed_at
    ) VALUES (
        :job_id, :user_id, :status, :config, :budget_limit, :records_generated, :failed_records,
        :tokens_used, :cost_nano, :failures_by_kind, :cost_by_model, :service_failures, :steps,
        :error_message, :error_code, :retry_after, :launch_error, :request_hash, :created_at,
        :updated_at, :started_at, :completed_at
    )"""
_INSERT_WORK = """
    INSERT OR IGNORE INTO work (work_id, job_id, shard, status, position)
    SELECT ?, ?, ?, ?, coalesce(max(position), 0) + 1 FROM work"""
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
        updated_at = :now
    WHERE job_id = :job_id"""
_SET_STATUS = """
    UPDATE jobs SET
        status = :status,
        fence = coalesce(:fence, fence),
        updated_at = :now,
        started_at = CASE WHEN :runs THEN coalesce(started_at, :now) ELSE started_at END,
        completed_at = CASE WHEN :ended THEN :now END,
        error_message = :message,
        error_code = :code,
        retry_after = :retry_after
    WHERE job_id = :job_id"""


class SqliteJobStore:
    """Implements `ports.JobStore`. `budget_limit` is kept as a text, whatever it was."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create_job(
        self,
        job: Job,
        *,
        shards: Sequence[int | None] = (None,),
        admission: Admission | None = None,
    ) -> None:
        with self._database.write() as connection:
            if not _insert_job(connection, job):
                raise ConflictError(f"job {job.job_id} exists already")
            for shard in shards:
                inserted = connection.execute(
                    _INSERT_WORK,
                    (work_id_of(job.job_id, shard), job.job_id, shard, JobStatus.QUEUED),
                )
                if inserted.rowcount == 0:
                    raise ConflictError(f"work of job {job.job_id} exists already")
            if admission is not None:
                self._admit(connection, job.job_id, admission)

    def get_job(self, job_id: str) -> Job:
        rows = self._database.rows("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        if not rows:
            raise NotFoundError(f"no job {job_id}")
        return parse_job(rows[0])

    def set_progress(self, job_id: str, fence: int, progress: Progress) -> None:
        with self._database.write() as connection:
            row = _row(connection, job_id)
            _check_fence(job_id, row["fence"], fence)
            if row["status"] != JobStatus.RUNNING:
                raise ConflictError(f"job {job_id} is {row['status']}, not RUNNING")
            values = {**_counters(progress), "now": self._now(), "job_id": job_id}
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

    def set_num_records(self, job_id: str, num_records: int) -> None:
        with self._database.write() as connection:
            status, config = _status_and_config(connection, job_id)
            if status in {JobStatus.RUNNING, JobStatus.DELETING}:
                raise ConflictError(f"job {job_id} is {status}: its number of records stays")
            if num_records < config["num_records"]:
                raise InputError(
                    f"job {job_id} has more than {counted(num_records, 'record')} already"
                )
            self._set_config(connection, job_id, {**config, "num_records": num_records})

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
            if not _is_allowed(old, status, fence):
                raise ConflictError(f"job {job_id} is {old} and can't become {status}")
            self._write_status(connection, job_id, status, fence=fence, error=error)
            if status in ENDED:
                close_share(connection, job_id)

    def queue_again(
        self, job_id: str, admission: Admission, *, budget_limit: str | None = None
    ) -> None:
        with self._database.write() as connection:
            status = JobStatus(_row(connection, job_id)["status"])
            if status in ACTIVE or not may_become(status, JobStatus.QUEUED):
                raise ConflictError(f"job {job_id} is {status}: it has not ended")
            if budget_limit is not None:
                self._set_limit(connection, job_id, budget_limit)
            self._write_status(connection, job_id, JobStatus.QUEUED)
            self._admit(connection, job_id, admission)

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
                "ended": status in ENDED,
                "message": error and error.message,
                "code": error and error.code,
                "retry_after": error and error.retry_after and error.retry_after.isoformat(),
                "job_id": job_id,
            },
        )

    def _now(self) -> str:
        return self._clock.now().isoformat()


def _status_and_config(connection: sqlite3.Connection, job_id: str) -> tuple[str, dict[str, Any]]:
    row = _row(connection, job_id)
    return row["status"], json.loads(row["config"])


def _insert_job(connection: sqlite3.Connection, job: Job) -> bool:
    values = {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "status": job.status,
        "config": json.dumps(config_document(job.config), ensure_ascii=False),
        "budget_limit": None if job.budget_limit is None else str(job.budget_limit),
        **_counters(job.progress),
        "error_message": job.error_message,
        "error_code": job.error_code,
        "retry_after": job.retry_after and job.retry_after.isoformat(),
        "launch_error": job.launch_error,
        "request_hash": job.request_hash,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "completed_at": job.completed_at and job.completed_at.isoformat(),
    }
    return connection.execute(_INSERT_JOB, values).rowcount == 1


def _counters(progress: Progress) -> dict[str, object]:
    """Counters by their columns."""
    return {
        "records_generated": progress.records_generated,
        "failed_records": progress.failed_records,
        "tokens_used": progress.tokens_used,
        "cost_nano": progress.cost_nano,
        "failures_by_kind": json.dumps(dict(progress.failures_by_kind)),
        "cost_by_model": json.dumps(dict(progress.cost_by_model)),
        "service_failures": progress.service_failures,
        "steps": json.dumps(steps_document(progress.steps)),
    }


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


def parse_job(row: sqlite3.Row) -> Job:
    """A whole row of the jobs table."""
    return Job(
        job_id=row["job_id"],
        user_id=row["user_id"],
        status=JobStatus(row["status"]),
        config=parse_config(json.loads(row["config"])),
        budget_limit=row["budget_limit"],
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        progress=Progress(
            records_generated=row["records_generated"],
            failed_records=row["failed_records"],
            tokens_used=row["tokens_used"],
            cost_nano=row["cost_nano"],
            failures_by_kind=json.loads(row["failures_by_kind"]),
            cost_by_model=json.loads(row["cost_by_model"]),
            service_failures=row["service_failures"],
            steps=steps_of(json.loads(row["steps"])),
        ),
        error_message=row["error_message"],
        error_code=row["error_code"],
        retry_after=parse_time(row["retry_after"]),
        launch_error=row["launch_error"],
        request_hash=row["request_hash"],
        started_at=parse_time(row["started_at"]),
        completed_at=parse_time(row["completed_at"]),
        share=share_of(row),
    )

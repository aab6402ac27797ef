"""A job as its row of the jobs table, and a shard as its row of the work table."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from runtime.contract.statuses import WorkStatus, parse_work_status
from runtime.domain.checks.totals import CheckTotals, check_totals_of, selection_of
from runtime.domain.errors import ConflictError, NotFoundError
from runtime.domain.jobs.config import config_document, parse_config
from runtime.domain.jobs.job import Job, JobError, JobStatus, Progress, work_id_of
from runtime.domain.jobs.row_export import RequestedExport, parse_export
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.jobs.shards import ShardState, new_work
from runtime.domain.jobs.step_totals import steps_document, steps_of
from runtime.local.database import parse_time
from runtime.local.monthly_budgets import share_of

_INSERT_JOB = """
    INSERT OR IGNORE INTO jobs (
        job_id, user_id, status, config, budget_limit, records_generated, failed_records,
        tokens_used, cost_nano, failures_by_kind, cost_by_model, service_failures, steps,
        checks,
        error_message, error_code, retry_after, launch_error, request_hash, created_at, updated_at,
        started_at, completed_at, run
    ) VALUES (
        :job_id, :user_id, :status, :config, :budget_limit, :records_generated, :failed_records,
        :tokens_used, :cost_nano, :failures_by_kind, :cost_by_model, :service_failures, :steps,
        :checks,
        :error_message, :error_code, :retry_after, :launch_error, :request_hash, :created_at,
        :updated_at, :started_at, :completed_at, :run
    )"""
_INSERT_WORK = """
    INSERT OR IGNORE INTO work (work_id, job_id, shard, status, position)
    SELECT ?, ?, ?, ?, coalesce(max(position), 0) + 1 FROM work"""


def insert_job(connection: sqlite3.Connection, job: Job) -> bool:
    """False if there is one with its id."""
    values = {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "status": job.status,
        "config": json.dumps(config_document(job.config), ensure_ascii=False),
        "budget_limit": None if job.budget_limit is None else str(job.budget_limit),
        **counters(job.progress),
        "error_message": job.error_message,
        "error_code": job.error_code,
        "retry_after": job.retry_after and job.retry_after.isoformat(),
        "launch_error": job.launch_error,
        "request_hash": job.request_hash,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
        "started_at": job.started_at and job.started_at.isoformat(),
        "completed_at": job.completed_at and job.completed_at.isoformat(),
        "run": job.run,
    }
    return connection.execute(_INSERT_JOB, values).rowcount == 1


def insert_work(connection: sqlite3.Connection, job_id: str, sharding: Sharding | None) -> bool:
    """The work of a new job. False if some of it is there."""
    return all(
        connection.execute(
            _INSERT_WORK, (work_id_of(job_id, each.shard), job_id, each.shard, each.status)
        ).rowcount
        for each in new_work(sharding)
    )


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
        progress=_progress(row),
        run=row["run"],
        error_message=row["error_message"],
        error_code=row["error_code"],
        retry_after=parse_time(row["retry_after"]),
        launch_error=row["launch_error"],
        request_hash=row["request_hash"],
        started_at=parse_time(row["started_at"]),
        completed_at=parse_time(row["completed_at"]),
        export=export_of(row),
        selection=selection_of(json.loads(row["selection"])) if row["selection"] else None,
        share=share_of(row),
    )


def export_of(row: sqlite3.Row) -> RequestedExport | None:
    """The export that a row of the jobs table has, pending or ended."""
    return parse_export(json.loads(row["export"])) if row["export"] else None


def is_exported(row: sqlite3.Row) -> bool:
    """Whether a job's rows are being exported, or going to be."""
    export = export_of(row)
    return export is not None and export.is_pending


def begin_again(
    connection: sqlite3.Connection,
    work_id: str,
    status: WorkStatus,
    sources: Collection[WorkStatus],
) -> None:
    """Put a work item at the end of the queue, or let it wait. Raises `NotFoundError`,
    `ConflictError` for one whose status is not of `sources`.
    """
    row = connection.execute("SELECT status FROM work WHERE work_id = ?", (work_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no work item {work_id}")
    if row["status"] not in sources:
        raise ConflictError(f"{work_id} is {row['status']}: only ended work is queued again")
    connection.execute(
        "UPDATE work SET status = ?, position = (SELECT max(position) + 1 FROM work)"
        " WHERE work_id = ?",
        (status, work_id),
    )


def parse_shard(row: sqlite3.Row) -> ShardState:
    """A whole row of the work table, of a shard."""
    message, progress = row["error_message"], row["progress"]
    return ShardState(
        shard=row["shard"],
        status=parse_work_status(row["status"]),
        progress=Progress() if progress is None else _progress(json.loads(progress)),
        run=row["run"],
        error=None
        if message is None
        else JobError(
            message=message, code=row["error_code"], retry_after=parse_time(row["retry_after"])
        ),
        attempt=row["attempt"],
    )


def note_end(
    connection: sqlite3.Connection, work_id: str, error: JobError | None, run: int
) -> None:
    """What stays known of how a shard ended in a run."""
    connection.execute(
        "UPDATE work SET run = :run, error_message = :message, error_code = :code,"
        " retry_after = :retry_after WHERE work_id = :work_id",
        {"run": run, "work_id": work_id, **error_columns(error)},
    )


def error_columns(error: JobError | None) -> dict[str, Any]:
    """What is left of why a job or a shard ended before its time."""
    return {
        "message": error and error.message,
        "code": error and error.code,
        "retry_after": error and error.retry_after and error.retry_after.isoformat(),
    }


def counters(progress: Progress) -> dict[str, Any]:
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
        "checks": json.dumps(progress.checks.document()) if progress.checks else None,
    }


def _progress(row: sqlite3.Row | Mapping[str, Any]) -> Progress:
    return Progress(
        records_generated=row["records_generated"],
        failed_records=row["failed_records"],
        tokens_used=row["tokens_used"],
        cost_nano=row["cost_nano"],
        failures_by_kind=json.loads(row["failures_by_kind"]),
        cost_by_model=json.loads(row["cost_by_model"]),
        service_failures=row["service_failures"],
        steps=steps_of(json.loads(row["steps"])),
        checks=_checks_of(row),
    )


def _checks_of(row: sqlite3.Row | Mapping[str, Any]) -> CheckTotals:
    """A shard that was counted by the version before has none."""
    text = row["checks"] if "checks" in row.keys() else None  # noqa: SIM118 - a Row has no such test
    return check_totals_of(None if text is None else json.loads(text))

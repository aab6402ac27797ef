"""A job as its item in the jobs table.

An item: job_id, user_id, status, config, budget_limit (USD: a decimal text, a number once it was
changed, or damage, see `Job`), records_generated, failed_records, tokens_used, cost_estimate (USD),
failures_by_kind and cost_by_model (maps of numbers, USD), service_failures, steps (a map of
`StepTotals` by step id, nano-USD), checks (`CheckTotals`, where a template has any), created_at,
updated_at, and when there is one run (from the second on), error_message, error_code, retry_after,
launch_error, request_hash, started_at, completed_at, fence, export (`RequestedExport`, since rows
were asked for after the end), selection (`Selection`). The counters of a sharded job are those of
the last `refresh_progress`.
`active_user_id` is the user's id while the job is QUEUED or RUNNING: an index counts by it.
`unannounced` is there from the job's end until somebody has announced it (`announcer.py`).
`budget_month`, `budget_reserved` and `budget_base` (nano-USD) are what it has in the accounts of a
month, where it was queued on account of one, and `counted_as_active` stands while it is in the
count of its user's active jobs: see `job_shares.py`. `table.py` adds the token of the last write,
and `budget_store.py` keeps the job's own account on the item.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from runtime.aws.table import Item, parse_stamp, stamp, to_attributes
from runtime.domain.checks.totals import check_totals_of, selection_of
from runtime.domain.errors import StorageError
from runtime.domain.jobs.config import config_document, parse_config
from runtime.domain.jobs.job import ACTIVE, Job, JobStatus, Progress
from runtime.domain.jobs.row_export import parse_export
from runtime.domain.jobs.step_totals import steps_document, steps_of
from runtime.domain.money.accounts import Share
from runtime.domain.money.amounts import exact_usd, nano_of


def job_item(job: Job) -> Item:
    """A job as it is stored. What is None has no attribute."""
    attributes = {
        "job_id": job.job_id,
        "user_id": job.user_id,
        "status": str(job.status),
        "config": config_document(job.config),
        "budget_limit": _storable(job.budget_limit),
        **progress_attributes(job.progress),
        "created_at": stamp(job.created_at),
        "updated_at": stamp(job.updated_at),
        "active_user_id": job.user_id if job.status in ACTIVE else None,
        "error_message": job.error_message,
        "error_code": job.error_code,
        "retry_after": job.retry_after and stamp(job.retry_after),
        "run": job.run if job.run > 1 else None,
        "launch_error": job.launch_error,
        "request_hash": job.request_hash,
        "started_at": job.started_at and stamp(job.started_at),
        "completed_at": job.completed_at and stamp(job.completed_at),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def parse_job(item: Item) -> Job:
    """Inverse of `job_item`. Raises `StorageError` for an item that this project didn't write."""
    try:
        return Job(
            job_id=item["job_id"],
            user_id=item["user_id"],
            status=JobStatus(item["status"]),
            config=parse_config(item["config"]),
            budget_limit=item.get("budget_limit"),
            created_at=parse_stamp(item["created_at"]),
            updated_at=parse_stamp(item["updated_at"]),
            progress=parse_progress(item),
            run=int(item.get("run", 1)),
            error_message=item.get("error_message"),
            error_code=item.get("error_code"),
            retry_after=optional_time(item, "retry_after"),
            launch_error=item.get("launch_error"),
            request_hash=item.get("request_hash"),
            started_at=optional_time(item, "started_at"),
            completed_at=optional_time(item, "completed_at"),
            export=parse_export(item.get("export")),
            selection=selection_of(item.get("selection")),
            share=share_of(item),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        raise StorageError("the job's item in the jobs table is damaged: delete the job") from exc


SHARE_ATTRIBUTES: Final = ("budget_month", "budget_reserved", "budget_base", "counted_as_active")
"""What of an item the budgets table has, too: neither may change without the other."""


def share_of(item: Item) -> Share | None:
    """What the job has in the accounts of a month."""
    if "budget_month" not in item:
        return None
    return Share(
        month=item["budget_month"],
        reserved_nano=int(item["budget_reserved"]),
        base_nano=int(item["budget_base"]),
    )


def share_attributes(share: Share) -> Item:
    """Inverse of `share_of`."""
    return {
        "budget_month": share.month,
        "budget_reserved": share.reserved_nano,
        "budget_base": share.base_nano,
    }


def optional_time(item: Item, name: str) -> datetime | None:
    """A stamp that not every item has."""
    return parse_stamp(item[name]) if name in item else None


def progress_attributes(progress: Progress) -> dict[str, Any]:
    """Counters, of a job's item or of a shard's."""
    return {
        "records_generated": progress.records_generated,
        "failed_records": progress.failed_records,
        "tokens_used": progress.tokens_used,
        "cost_estimate": exact_usd(progress.cost_nano),
        "failures_by_kind": progress.failures_by_kind,
        "cost_by_model": {model: exact_usd(nano) for model, nano in progress.cost_by_model.items()},
        "service_failures": progress.service_failures,
        "steps": steps_document(progress.steps),
        **({"checks": progress.checks.document()} if progress.checks else {}),
    }


def parse_progress(item: Item) -> Progress:
    """Inverse of `progress_attributes`. Raises `KeyError`, `ValueError` … on damage."""
    return Progress(
        records_generated=int(item["records_generated"]),
        failed_records=int(item["failed_records"]),
        tokens_used=int(item["tokens_used"]),
        cost_nano=nano_of(item["cost_estimate"]),
        # Items from before they were counted have neither.
        failures_by_kind={
            kind: int(count) for kind, count in item.get("failures_by_kind", {}).items()
        },
        cost_by_model={model: nano_of(usd) for model, usd in item.get("cost_by_model", {}).items()},
        service_failures=int(item.get("service_failures", 0)),
        steps=steps_of(item.get("steps", {})),
        checks=check_totals_of(item.get("checks")),
    )


def _storable(limit: object) -> object:
    """As given where DynamoDB can hold it, else as text: `amounts.parse_budget` judges it."""
    if limit is None or isinstance(limit, str | bool):
        return limit
    try:
        number = Decimal(str(limit))
        to_attributes({"": number})
    except (ArithmeticError, TypeError):
        return str(limit)
    return number

"""What an ended job is asked to export, on its item and with its own work."""

from datetime import datetime
from typing import TYPE_CHECKING

from runtime.aws.job_changes import (
    EXPORT_PENDS,
    FENCE_HOLDS,
    PENDING_EXPORT,
    existing,
    no_job,
)
from runtime.aws.table import Item, Refused, Table, TableNames, stamp
from runtime.aws.transaction import Transaction
from runtime.aws.work_items import no_work
from runtime.contract.tables import JOBS, QUEUE
from runtime.domain.errors import ConflictError, StorageBusyError
from runtime.domain.jobs.job import ENDED, JobStatus, work_id_of
from runtime.domain.jobs.row_export import RequestedExport, export_document, parse_export

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


def is_exported(item: Item) -> bool:
    """Whether a job's rows are being exported, or going to be."""
    export = parse_export(item.get("export"))
    return export is not None and export.is_pending


def queue_export(
    client: "DynamoDBClient",
    names: TableNames,
    job_id: str,
    export: RequestedExport,
    *,
    now: datetime,
) -> None:
    """See `ports.JobStore.queue_export`."""
    ended = {
        f":ended{number}": status
        for number, status in enumerate(sorted(ENDED - {JobStatus.DELETING}))
    }
    has_ended = f"#status IN ({', '.join(ended)})"
    transaction = Transaction(client)
    transaction.update(
        names(JOBS),
        {"job_id": job_id},
        set_="#export = :export, #updated_at = :now",
        # Excludes two requests at once, and one that crosses a resumption or a deletion.
        condition=f"{has_ended} AND (attribute_not_exists(#export)"
        f" OR (#export.#number < :number AND NOT {EXPORT_PENDS}))",
        values={
            ":export": export_document(export),
            ":number": export.number,
            ":now": stamp(now),
            **ended,
            **PENDING_EXPORT,
        },
    )
    transaction.update(
        names(QUEUE),
        {"work_id": work_id_of(job_id)},
        set_="#status = :queued, #queued_at = :now",
        # Excludes work that the worker which ended the job is about to end.
        condition=has_ended,
        values={":queued": JobStatus.QUEUED, ":now": stamp(now), **ended},
    )
    refusals = transaction.commit()
    if not refusals:
        return
    job, work = refusals
    if job is not None:
        item = existing(job, job_id, None)
        told = "has another export" if item["status"] in ENDED else f"is {item['status']}"
        raise ConflictError(f"job {job_id} {told}")
    if work is None or work.item is None:
        raise no_work(work_id_of(job_id))
    raise StorageBusyError(f"the worker of job {job_id} is about to end: try again in a moment")


def set_export(
    jobs: Table, job_id: str, export: RequestedExport, *, fence: int | None, now: datetime
) -> None:
    """See `ports.JobStore.set_export`."""
    fenced = fence is not None
    outcome = jobs.update(
        {"job_id": job_id},
        set_="#export = :export, #updated_at = :now" + (", #fence = :fence" if fenced else ""),
        # Excludes a late owner, whose successor has ended this export: there may be a new one.
        condition=f"#export.#number = :number AND {EXPORT_PENDS}"
        + (f" AND {FENCE_HOLDS}" if fenced else ""),
        values={
            ":export": export_document(export),
            ":number": export.number,
            ":now": stamp(now),
            **PENDING_EXPORT,
            **({":fence": fence} if fenced else {}),
        },
    )
    if not isinstance(outcome, Refused):
        return
    if outcome.item is None:
        raise no_job(job_id)
    existing(outcome, job_id, fence)
    raise ConflictError(f"export {export.number} of job {job_id} has ended")

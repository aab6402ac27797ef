"""What is written about a job whose checks have chosen records: its selection, and the next round
of its shards.
"""

from datetime import datetime

from runtime.aws.job_changes import FENCE_HOLDS, existing, no_job
from runtime.aws.job_items import parse_job
from runtime.aws.table import Refused, Table, stamp
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import ConflictError, InputError
from runtime.domain.jobs.job import JobStatus


def set_selection(
    table: Table, job_id: str, selection: Selection, *, fence: int, now: datetime
) -> None:
    """See `ports.JobStore.set_selection`."""
    outcome = table.update(
        {"job_id": job_id},
        set_="#selection = :selection, #updated_at = :now",
        condition=f"attribute_exists(#status) AND {FENCE_HOLDS}",
        values={":selection": selection.document(), ":fence": fence, ":now": stamp(now)},
    )
    if isinstance(outcome, Refused):
        existing(outcome, job_id, fence)


def open_round(table: Table, job_id: str, end: int, *, fence: int, now: datetime) -> None:
    """See `ports.JobStore.open_round`."""
    item = table.get({"job_id": job_id})
    if item is None:
        raise no_job(job_id)
    job = parse_job(item)
    if job.config.sharding is None:
        raise InputError(f"job {job_id} has no shards")
    grown = job.config.sharding.grown_to(end)
    run = job.run + (grown is not job.config.sharding)
    outcome = table.update(
        {"job_id": job_id},
        set_="#config.#sharding = :sharding, #run = :run, #updated_at = :now",
        # Excludes, besides, a round that was opened since the item was read: by this worker, whose
        # first attempt was stored and only its reply was lost, or by its successor.
        condition=f"#status = :running AND #config.#sharding = :before AND {FENCE_HOLDS}",
        values={
            ":sharding": grown.document(),
            ":before": job.config.sharding.document(),
            ":run": run,
            ":running": JobStatus.RUNNING,
            ":fence": fence,
            ":now": stamp(now),
        },
    )
    if isinstance(outcome, Refused):
        status = existing(outcome, job_id, fence)["status"]
        raise ConflictError(f"job {job_id} is {status}: no round of it was opened")

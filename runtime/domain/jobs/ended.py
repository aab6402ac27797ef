"""What the world is told when a job has ended: which one, how, and what it cost. Nothing of what
users wrote or models answered.
"""

from typing import Any

from runtime.contract.statuses import ENDS
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.money.amounts import to_usd


def is_end(status: JobStatus) -> bool:
    """Whether a job that gets this status is announced. One that is deleted is not."""
    return status in ENDS


def ended_detail(job: Job, *, stage: str) -> dict[str, Any]:
    """The detail of the event for a job that has ended.

    An end is announced at least once, unless the job goes on or is deleted before. `event_id` is
    the same each time, and another one when the job has gone on and ended again.
    """
    completed_at = "" if job.completed_at is None else job.completed_at.isoformat()
    return {
        "event_id": f"{job.job_id}/{completed_at}",
        "stage": stage,
        "job_id": job.job_id,
        "user_id": job.user_id,
        "status": str(job.status),
        "error_code": job.error_code,
        "records_generated": job.progress.records_generated,
        "failed_records": job.progress.failed_records,
        "cost_usd": to_usd(job.progress.cost_nano),
    }

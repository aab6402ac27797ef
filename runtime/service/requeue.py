"""Queuing an ended job again: a retry, a raised budget, a change of mind."""

from contextlib import suppress

from runtime.domain.errors import ConflictError
from runtime.domain.jobs.job import ENDED, JobStatus, work_id_of
from runtime.domain.ports import JobStore, WorkQueue


def queue_again(jobs: JobStore, queue: WorkQueue, job_id: str) -> None:
    """Make a job claimable that is not COMPLETED; what is generated stays and counts.

    Safe to repeat after a crash at any point, and for a job that is queued or running already.
    Raises `NotFoundError`.
    """
    status = jobs.get_job(job_id).status
    if status is JobStatus.COMPLETED:
        return
    if status in ENDED:
        jobs.set_status(job_id, JobStatus.QUEUED, fence=None)
    # An item that has not ended is claimable, or becomes so when its owner's lease runs out.
    with suppress(ConflictError):
        queue.enqueue(work_id_of(job_id))

"""Queuing an ended job again: a retry, a raised budget, more records, a change of mind."""

from runtime.domain.jobs.job import ENDED, Job, JobStatus
from runtime.domain.models.retry import is_service_failure
from runtime.domain.money.accounts import Admission
from runtime.domain.ports import JobStore, WorkQueue
from runtime.service.shards import queue_work


def queue_again(
    jobs: JobStore,
    queue: WorkQueue,
    job_id: str,
    *,
    admission: Admission | None = None,
    budget_limit: str | None = None,
) -> None:
    """Make a job claimable; what is generated stays and counts. Whether a COMPLETED one has
    anything to do is for the caller to know: see `has_work_left`. With an admission it is let in
    on its terms, with the new budget if one is given; a laptop's folder has none.

    Safe to repeat after a crash at any point, and for a job that is queued or running already.
    Raises `NotFoundError`, `ConflictError` for a job whose data is being deleted, `LimitError`,
    `MonthlyBudgetError`.
    """
    job = jobs.get_job(job_id)
    if job.status in ENDED:
        if admission is None:
            jobs.set_status(job_id, JobStatus.QUEUED, fence=None)
        else:
            jobs.queue_again(job_id, admission, budget_limit=budget_limit)
        job = jobs.get_job(job_id)
    queue_work(queue, job)


def has_work_left(job: Job) -> bool:
    """Whether a job that is queued again as it is would generate anything: records that the service
    failed, or that nobody has tried yet, as after a crash between growing and queuing.
    """
    progress = job.progress
    tried = progress.ended
    # A job of before the two sorts of failures were counted apart has the kinds alone.
    by_service = progress.service_failures or any(
        map(is_service_failure, progress.failures_by_kind)
    )
    if job.config.has_checks:
        # Records that are there already may be what a job that has grown is lacking.
        return bool(by_service) or job.current_selection is None or _has_tries_left(job)
    return bool(by_service) or tried < job.config.num_records


def _has_tries_left(job: Job) -> bool:
    """Whether too few records are accepted, and another index may be tried."""
    left = job.config.size - job.progress.checks.tries
    return job.accepted < job.config.num_records and left >= job.config.acceptance.attempts

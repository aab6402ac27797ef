"""How the work on a job ended, as data: it is written once the heartbeat is silent, so that the
heartbeat can't take the end of the lease for its loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from runtime.contract.exit_codes import ExitCode
from runtime.contract.statuses import ENDS
from runtime.domain.errors import ModelsFailingError, QuotaUsedUpError, SeedwrightError
from runtime.domain.jobs.job import JobError, JobStatus, Progress
from runtime.domain.ports import Claim
from runtime.domain.wording import counted
from runtime.worker.status_writer import Jobs

_CODES: Final[Mapping[JobStatus, ExitCode]] = {
    JobStatus.COMPLETED: ExitCode.DONE,
    JobStatus.CANCELLED: ExitCode.DONE,
    JobStatus.BUDGET_EXCEEDED: ExitCode.BUDGET_EXCEEDED,
    JobStatus.FAILED: ExitCode.JOB_FAILED,
    JobStatus.QUEUED: ExitCode.INTERRUPTED,
    JobStatus.RUNNING: ExitCode.DONE,
}


_ENDS_OF_A_SHARD: Final = frozenset(ENDS) - {JobStatus.CANCELLED}
"""A shard is cancelled with its job alone."""

_SERVICE_PAUSE: Final = timedelta(minutes=15)
"""How soon after an outage a job is worth resuming: one that lasted as long may last longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The status that a job gets, and what its user reads. QUEUED hands the work back; RUNNING lets
    a job's own work wait for its shards, which have something to generate again.
    """

    status: JobStatus
    error: JobError | None = None

    @property
    def code(self) -> ExitCode:
        """What the process ends with."""
        return _CODES[self.status]


def ended_by(
    error: SeedwrightError,
    *,
    now: datetime,
    status: JobStatus = JobStatus.FAILED,
    message: str | None = None,
) -> Ending:
    """The job has ended for this reason; `message` says more than the error where it is given."""
    return Ending(
        status=status,
        error=JobError(
            message=str(error) if message is None else message,
            code=error.code,
            retry_after=_retry_after(error, now),
        ),
    )


def _retry_after(error: SeedwrightError, now: datetime) -> datetime | None:
    """When going on makes sense, where time alone mends it. A quota that the provider gives no time
    for is one of the day, counted from midnight UTC; AWS documents no other hour.
    """
    if isinstance(error, QuotaUsedUpError):
        if error.retry_after is not None:
            return now + timedelta(seconds=error.retry_after)
        tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time(), UTC)
    return now + _SERVICE_PAUSE if isinstance(error, ModelsFailingError) else None


def how_far(progress: Progress, asked: int) -> str:
    """What a job that stops has, for its message."""
    return f"{progress.accepted(asked)} of {counted(asked, 'record')} generated"


def write_ending(jobs: Jobs, claim: Claim, ending: Ending, *, run: int) -> None:
    """Write how the job, or its shard in this run, ended, and free the claim. Raises what `Jobs`
    does.
    """
    if claim.shard is not None and ending.status in _ENDS_OF_A_SHARD:
        jobs.end_shard(claim, ending.status, ending.error, run=run)
        return
    match ending:
        case Ending(status=JobStatus.COMPLETED):
            jobs.mark_job_complete(claim)
        case Ending(status=JobStatus.CANCELLED):
            jobs.acknowledge_cancel(claim)
        case Ending(status=JobStatus.RUNNING):
            jobs.wait_for_round(claim)
        case Ending(status=JobStatus.BUDGET_EXCEEDED, error=JobError() as error):
            jobs.mark_job_budget_exceeded(claim, error)
        case Ending(status=JobStatus.FAILED, error=JobError() as error):
            jobs.mark_job_failed(claim, error)
        case _:
            jobs.mark_job_interrupted(claim)

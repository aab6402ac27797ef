"""How the work on a job ended, as data: it is written once the heartbeat is silent, so that the
heartbeat can't take the end of the lease for its loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from runtime.domain.ports import Claim
from runtime.worker.status_writer import Jobs

_CODES: Final[Mapping[JobStatus, ExitCode]] = {
    JobStatus.COMPLETED: ExitCode.DONE,
    JobStatus.CANCELLED: ExitCode.DONE,
    JobStatus.BUDGET_EXCEEDED: ExitCode.BUDGET_EXCEEDED,
    JobStatus.FAILED: ExitCode.JOB_FAILED,
    JobStatus.QUEUED: ExitCode.INTERRUPTED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The status that a job gets, and what its user reads. QUEUED hands the work back."""

    status: JobStatus
    message: str = ""

    @property
    def code(self) -> ExitCode:
        """What the process ends with."""
        return _CODES[self.status]


def failed(message: str) -> Ending:
    """The job has failed for this reason."""
    return Ending(status=JobStatus.FAILED, message=message)


def write_ending(jobs: Jobs, claim: Claim, ending: Ending) -> None:
    """Write how the job ended, and free the claim. Raises what `Jobs` does."""
    match ending.status:
        case JobStatus.COMPLETED:
            jobs.mark_job_complete(claim)
        case JobStatus.CANCELLED:
            jobs.acknowledge_cancel(claim)
        case JobStatus.BUDGET_EXCEEDED:
            jobs.mark_job_budget_exceeded(claim, ending.message)
        case JobStatus.QUEUED:
            jobs.mark_job_interrupted(claim)
        case _:
            jobs.mark_job_failed(claim, ending.message)

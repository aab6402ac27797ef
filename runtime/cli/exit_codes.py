"""What a job that has ended means to a script."""

from collections.abc import Mapping
from typing import Final

from runtime.contract.exit_codes import EXIT_BUDGET, EXIT_FAILED
from runtime.domain.jobs.job import JobStatus

EXIT_CODES: Final[Mapping[JobStatus, int]] = {
    JobStatus.COMPLETED: 0,
    JobStatus.FAILED: EXIT_FAILED,
    JobStatus.BUDGET_EXCEEDED: EXIT_BUDGET,
}

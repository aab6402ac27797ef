"""Exit codes of the command, see docs/cli.md."""

from collections.abc import Mapping
from typing import Final

from runtime.domain.jobs.job import JobStatus

EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
"""Nothing was started."""

EXIT_BUDGET: Final = 3
EXIT_INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""

EXIT_CODES: Final[Mapping[JobStatus, int]] = {
    JobStatus.COMPLETED: 0,
    JobStatus.FAILED: EXIT_FAILED,
    JobStatus.BUDGET_EXCEEDED: EXIT_BUDGET,
}
"""What a job that has ended means to a script."""

"""Exit codes of the worker, see docs/architecture.md, and of the command, see docs/cli.md."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What a worker's process says to whoever started it."""

    DONE = 0
    JOB_FAILED = 1
    BUDGET_EXCEEDED = 2
    BAD_CONFIGURATION = 64
    INTERRUPTED = 75
    """EX_TEMPFAIL: the work is claimable again."""


EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
"""Nothing was started."""

EXIT_BUDGET: Final = 3
EXIT_TOO_MANY_FAILURES: Final = 4
"""Complete, and a larger share of the records failed than `--max-failures` allows."""

EXIT_INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""

EXIT_OF_STATUS: Final[Mapping[str, int]] = {
    "COMPLETED": 0,
    "FAILED": EXIT_FAILED,
    "BUDGET_EXCEEDED": EXIT_BUDGET,
}
"""What a job that has ended means to a script, by its status."""

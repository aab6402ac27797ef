"""Exit codes of the command, see docs/cli.md."""

from collections.abc import Mapping
from typing import Final

EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
"""Nothing was started."""

EXIT_BUDGET: Final = 3
EXIT_INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""

EXIT_OF_STATUS: Final[Mapping[str, int]] = {
    "COMPLETED": 0,
    "FAILED": EXIT_FAILED,
    "BUDGET_EXCEEDED": EXIT_BUDGET,
}
"""What a job that has ended means to a script, by its status."""

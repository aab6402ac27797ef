"""Exit codes of the command, see docs/cli.md."""

from typing import Final

EXIT_FAILED: Final = 1
EXIT_BAD_INPUT: Final = 2
"""Nothing was started."""

EXIT_BUDGET: Final = 3
EXIT_INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""

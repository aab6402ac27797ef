"""What failed records mean to whoever started a command: `--max-failures` and its exit code."""

from decimal import Decimal

from runtime.contract.exit_codes import EXIT_OF_STATUS, EXIT_TOO_MANY_FAILURES
from runtime.domain.jobs.job import JobStatus
from runtime.domain.wording import counted
from runtime.inputs.options import share_text


def exit_code(
    status: JobStatus, *, failed: int, requested: int, allowed: Decimal, otherwise: int
) -> int:
    """The exit code of a job with this status; `otherwise` is for one that has none of its own.
    `allowed` is the largest share of failed records, 0 to 1, that still is success.
    """
    if status is JobStatus.COMPLETED and failed > allowed * requested:
        return EXIT_TOO_MANY_FAILURES
    return EXIT_OF_STATUS.get(status, otherwise)


def too_many(*, failed: int, requested: int, allowed: Decimal) -> str:
    """Why the exit code is `EXIT_TOO_MANY_FAILURES`."""
    share = share_text(Decimal(failed) / requested)
    return (
        f"{failed} of {counted(requested, 'record')} failed: {share}, and --max-failures allows "
        f"{share_text(allowed)}"
    )

"""How a job ended decides what its worker's process ends with."""

from datetime import UTC, datetime

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import (
    ModelsFailingError,
    QuotaUsedUpError,
    RecordsFailingError,
    SeedError,
    SeedwrightError,
)
from runtime.domain.jobs.job import JobError, JobStatus
from runtime.worker.ending import Ending, ended_by


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (JobStatus.COMPLETED, 0),
        (JobStatus.CANCELLED, 0),
        (JobStatus.FAILED, 1),
        (JobStatus.BUDGET_EXCEEDED, 2),
        (JobStatus.QUEUED, 75),
    ],
)
def test_an_ending_has_its_exit_code(status: JobStatus, code: int) -> None:
    assert Ending(status=status).code == code


NOW = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


def test_a_failure_keeps_its_reason() -> None:
    ending = ended_by(SeedError("no seeds"), now=NOW)
    assert ending == Ending(
        status=JobStatus.FAILED, error=JobError(message="no seeds", code=SeedError.code)
    )
    assert ending.code is ExitCode.JOB_FAILED


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (QuotaUsedUpError("used up"), datetime(2026, 3, 2, tzinfo=UTC)),
        (ModelsFailingError("down"), datetime(2026, 3, 1, 22, 45, tzinfo=UTC)),
        (RecordsFailingError("bad prompts"), None),
    ],
)
def test_b4_what_time_mends_says_when(error: SeedwrightError, again: datetime | None) -> None:
    """Never exit 75, which would start another worker at once."""
    ending = ended_by(error, now=NOW)
    assert ending.error == JobError(message=str(error), code=error.code, retry_after=again)
    assert ending.code is ExitCode.JOB_FAILED

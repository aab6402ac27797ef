"""How a job ended decides what its worker's process ends with."""

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from runtime.worker.ending import Ending, failed


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


def test_a_failure_keeps_its_reason() -> None:
    assert failed("no seeds") == Ending(status=JobStatus.FAILED, message="no seeds")
    assert failed("no seeds").code is ExitCode.JOB_FAILED

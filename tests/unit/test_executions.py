"""Executions of sharded jobs: what Step Functions is asked, and what its answers mean."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import pytest

from runtime.aws.executions import StepFunctionsExecutions
from runtime.domain.errors import LaunchError
from runtime.local.executions import LocalExecutions
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_faults import no_retry_pauses, refused, reply_lost
from tests.fixtures.clock import START
from tests.fixtures.launches import JOB_ID
from tests.fixtures.launches import work_to_launch as item
from tests.fixtures.states_double import MACHINE

LATER: Final = START + timedelta(microseconds=1)


@pytest.fixture
def executions(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> StepFunctionsExecutions:
    no_retry_pauses(monkeypatch)
    return StepFunctionsExecutions(client=aws.step_functions, machine_arn=MACHINE)


def test_an_execution_is_told_ids_and_numbers_only(
    aws: FakeAws, executions: StepFunctionsExecutions
) -> None:
    executions.begin_execution(item(), number=3, created_at=START)
    (begun,) = aws.machine.executions
    assert begun.asked == {"job_id": JOB_ID, "execution": 3}
    assert begun.name.startswith(f"{JOB_ID}-")
    assert begun.name.endswith("-3")


def test_an_execution_whose_reply_was_lost_is_one(
    aws: FakeAws, executions: StepFunctionsExecutions
) -> None:
    with reply_lost(aws.step_functions, "StartExecution") as sent:
        executions.begin_execution(item(), number=1, created_at=START)
    assert len(sent) == 2
    assert len(aws.machine.executions) == 1


def test_the_same_number_is_one_execution_also_when_it_has_ended(
    aws: FakeAws, executions: StepFunctionsExecutions
) -> None:
    executions.begin_execution(item(), number=1, created_at=START)
    executions.begin_execution(item(), number=1, created_at=START)
    aws.machine.end_all()
    executions.begin_execution(item(), number=1, created_at=START)
    assert aws.machine.begun == [(JOB_ID, 1)]
    executions.begin_execution(item(), number=2, created_at=START)
    assert aws.machine.begun == [(JOB_ID, 1), (JOB_ID, 2)]


def test_a_job_that_comes_again_under_its_id_has_executions_of_its_own(
    aws: FakeAws, executions: StepFunctionsExecutions
) -> None:
    executions.begin_execution(item(), number=1, created_at=START)
    aws.machine.end_all()
    executions.begin_execution(item(), number=1, created_at=LATER)
    assert not executions.is_running(JOB_ID, number=1, created_at=START)
    assert executions.is_running(JOB_ID, number=1, created_at=LATER)


def test_whether_an_execution_goes_on(aws: FakeAws, executions: StepFunctionsExecutions) -> None:
    assert not executions.is_running(JOB_ID, number=1, created_at=START)
    executions.begin_execution(item(), number=1, created_at=START)
    assert executions.is_running(JOB_ID, number=1, created_at=START)
    for status in ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"):
        aws.machine.executions[0].status = status
        assert not executions.is_running(JOB_ID, number=1, created_at=START)


def test_an_execution_is_stopped(aws: FakeAws, executions: StepFunctionsExecutions) -> None:
    executions.begin_execution(item(), number=1, created_at=START)
    executions.begin_execution(item(job_id="another"), number=1, created_at=START)
    assert executions.stop(JOB_ID, number=1, created_at=START)
    assert aws.machine.running == [("another", 1)]
    assert not executions.stop(JOB_ID, number=2, created_at=START)


@pytest.mark.parametrize("operation", ["StartExecution", "DescribeExecution", "StopExecution"])
def test_a_failure_is_a_launch_error_without_aws_words(
    aws: FakeAws, executions: StepFunctionsExecutions, operation: str
) -> None:
    calls: Mapping[str, Callable[[], object]] = {
        "StartExecution": lambda: executions.begin_execution(item(), number=1, created_at=START),
        "DescribeExecution": lambda: executions.is_running(JOB_ID, number=1, created_at=START),
        "StopExecution": lambda: executions.stop(JOB_ID, number=1, created_at=START),
    }
    with (
        refused(aws.step_functions, operation, "AccessDeniedException", status=400),
        pytest.raises(LaunchError, match="AccessDeniedException") as caught,
    ):
        calls[operation]()
    assert "secret" not in str(caught.value)


# ── on a laptop ────────────────────────────────────────────────────────────────────────────────


def test_a_laptop_tells_its_worker_that_there_is_work() -> None:
    told: list[str] = []
    executions = LocalExecutions(lambda work: told.append(work.work_id))
    executions.begin_execution(item(), number=1, created_at=START)
    assert told == [JOB_ID]
    assert not executions.is_running(JOB_ID, number=1, created_at=START)
    assert not executions.stop(JOB_ID, number=1, created_at=START)


def test_a_laptop_whose_worker_can_not_be_started() -> None:
    def fail(_: object) -> None:
        raise OSError("no processes left")

    with pytest.raises(LaunchError, match="could not be started"):
        LocalExecutions(fail).begin_execution(item(), number=1, created_at=START)

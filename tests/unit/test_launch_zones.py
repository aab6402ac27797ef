"""Launches that go round a bad zone, and tasks that are stopped."""

import pytest

from runtime.aws.launcher import EcsLauncher
from runtime.domain.errors import LaunchError, LaunchQuotaError
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_faults import hooked, no_retry_pauses, refused
from tests.fixtures.clock import START
from tests.fixtures.ecs_double import NO_CAPACITY, subnets_of
from tests.fixtures.launches import JOB_ID, launcher_in
from tests.fixtures.launches import work_to_launch as item


@pytest.fixture
def launcher(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> EcsLauncher:
    no_retry_pauses(monkeypatch)
    return launcher_in(aws, "a", "b")


# ── zones ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["full_subnets", "other_subnets"])
def test_e12_a_launch_goes_round_a_bad_zone(aws: FakeAws, fault: str) -> None:
    """Requirement S3.5: Fargate may fail in one subnet without trying the others."""
    launcher = launcher_in(aws, "a", "b", "c")
    getattr(aws.tasks, fault).add("a")
    launcher.launch(item(), number=1, created_at=START, on_demand=False)
    asked = [subnets_of(request) for request in aws.tasks.tries]
    assert asked == [("a", "b", "c"), ("a",), ("b",)]
    assert [launch.subnets for launch in aws.tasks.launches] == [("b",)]
    tokens = {request["clientToken"] for request in aws.tasks.tries}
    assert len(tokens) == len(asked), "a token with other parameters is refused"


def test_e12_each_launch_begins_with_another_zone_and_few_requests_are_made(aws: FakeAws) -> None:
    launcher = launcher_in(aws, "a", "b", "c")
    aws.tasks.full_for = 4
    asked = []
    for number, attempt in ((1, 0), (2, 1), (3, 1), (4, 3)):
        with pytest.raises(LaunchError, match=NO_CAPACITY):
            launcher.launch(item(attempt=attempt), number=number, created_at=START, on_demand=False)
        asked.append([subnets_of(request) for request in aws.tasks.tries])
        aws.tasks.tries.clear()
    assert asked == [
        [("a", "b", "c"), ("a",), ("b",)],
        [("b", "c", "a"), ("b",), ("c",)],
        [("c",), ("a",), ("b",)],  # the launch before came to nothing
        [("a", "b", "c"), ("a",), ("b",)],
    ]


def test_e12_at_the_quota_other_zones_are_not_tried(aws: FakeAws) -> None:
    launcher = launcher_in(aws, "a", "b", "c")
    aws.tasks.at_quota_for = 1
    with pytest.raises(LaunchQuotaError):
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    assert len(aws.tasks.tries) == 1
    launcher.launch(item(quota_refusals=1), number=2, created_at=START, on_demand=False)
    assert aws.tasks.launches[0].subnets == ("b", "c", "a")


# ── stopping ───────────────────────────────────────────────────────────────────────────────────


def test_e12_the_task_of_a_lost_worker_is_stopped(aws: FakeAws, launcher: EcsLauncher) -> None:
    for number in (1, 2):
        launcher.launch(item(), number=number, created_at=START, on_demand=False)
    assert launcher.stop(f"{JOB_ID}/1") == 1
    assert aws.tasks.stopped == [f"{JOB_ID}/1"]
    assert launcher.stop(f"{JOB_ID}/1") == 0, "it has stopped already"
    assert launcher.stop("a-laptop:4711") == 0, "no task of ours"
    assert aws.tasks.stopped == [f"{JOB_ID}/1"]


def test_e12_a_task_that_is_gone_when_it_is_stopped_is_no_error(
    aws: FakeAws, launcher: EcsLauncher
) -> None:
    launcher.launch(item(), number=1, created_at=START, on_demand=False)

    def forget(**_: object) -> None:
        aws.tasks.forget_all()

    with hooked(aws.ecs, "before-call.ecs.StopTask", forget, last=False):
        assert launcher.stop(f"{JOB_ID}/1") == 0


@pytest.mark.parametrize("operation", ["ListTasks", "StopTask"])
def test_e12_a_stop_that_is_refused_says_what_to_do(
    aws: FakeAws, launcher: EcsLauncher, operation: str
) -> None:
    launcher.launch(item(), number=1, created_at=START, on_demand=False)
    with (
        refused(aws.ecs, operation, "AccessDeniedException"),
        pytest.raises(LaunchError, match=f"started by {JOB_ID}/1 in the ECS console"),
    ):
        launcher.stop(f"{JOB_ID}/1")

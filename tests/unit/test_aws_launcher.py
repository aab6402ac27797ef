"""Workers as tasks on Fargate: what ECS is asked, and what its answers mean."""

import re
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.aws.launcher import EcsLauncher, TaskSettings
from runtime.contract import environment as names
from runtime.contract.tasks import TaskName, parse_task_name
from runtime.domain.errors import ConfigurationError, LaunchError, LaunchQuotaError
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_api import API_ENVIRONMENT
from tests.fixtures.aws_faults import no_retry_pauses, refused, reply_lost
from tests.fixtures.clock import START
from tests.fixtures.ecs_double import NO_CAPACITY
from tests.fixtures.launches import JOB_ID, launcher_in
from tests.fixtures.launches import work_to_launch as item

ATTEMPTS: Final = 2


@pytest.fixture
def launcher(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> EcsLauncher:
    no_retry_pauses(monkeypatch)
    return EcsLauncher(client=aws.ecs, settings=TaskSettings.of(API_ENVIRONMENT))


# ── what is asked ──────────────────────────────────────────────────────────────────────────────


def test_a_worker_is_started_on_a_spot_machine(aws: FakeAws, launcher: EcsLauncher) -> None:
    launcher.launch(item(attempt=2), number=3, created_at=START, on_demand=False)
    (launch,) = aws.tasks.launches
    request = dict(launch.request)
    assert re.fullmatch(r"[0-9a-f]{64}", request.pop("clientToken"))
    assert request == {
        "cluster": "seedwright",
        "taskDefinition": "arn:aws:ecs:us-east-1:123456789012:task-definition/worker:1",
        "count": 1,
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-a", "subnet-b"],
                "securityGroups": ["sg-a"],
                "assignPublicIp": "ENABLED",
            }
        },
        "overrides": {
            "containerOverrides": [
                {
                    "name": "worker",
                    "environment": [
                        {"name": "JOB_ID", "value": JOB_ID},
                        {"name": "WORKER_OWNER", "value": f"{JOB_ID}/3"},
                    ],
                }
            ]
        },
        "startedBy": f"{JOB_ID}/3",
        "enableECSManagedTags": True,
        "propagateTags": "TASK_DEFINITION",
    }


def test_a_worker_can_be_started_at_the_full_price(aws: FakeAws, launcher: EcsLauncher) -> None:
    launcher.launch(item(), number=1, created_at=START, on_demand=True)
    assert [launch.provider for launch in aws.tasks.launches] == ["FARGATE"]


def test_a_worker_is_told_its_shard(aws: FakeAws, launcher: EcsLauncher) -> None:
    launcher.launch(item(7), number=2, created_at=START, on_demand=False)
    (launch,) = aws.tasks.launches
    assert launch.started_by == f"{JOB_ID}/shard-7/2"
    assert launch.variables == {
        "JOB_ID": JOB_ID,
        "SHARD": "7",
        "WORKER_OWNER": f"{JOB_ID}/shard-7/2",
    }


# ── once and no more ───────────────────────────────────────────────────────────────────────────


def test_a_launch_whose_reply_was_lost_starts_one_worker(
    aws: FakeAws, launcher: EcsLauncher
) -> None:
    with reply_lost(aws.ecs, "RunTask") as sent:
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    assert len(sent) == 2
    assert len(aws.tasks.launches) == 1


def test_the_same_number_starts_one_worker(aws: FakeAws, launcher: EcsLauncher) -> None:
    for _ in range(2):
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    assert len(aws.tasks.launches) == 1


def test_every_number_and_every_work_is_a_launch_of_its_own(
    aws: FakeAws, launcher: EcsLauncher
) -> None:
    other = "5f9c1f0e-6a53-4a0e-9d57-3f0a6a1f0c11"
    for work in (item(), item(1), item(11), item(job_id=other)):
        for number in (1, 2, 11):
            launcher.launch(work, number=number, created_at=START, on_demand=False)
    tokens = {launch.request["clientToken"] for launch in aws.tasks.launches}
    assert len(tokens) == len(aws.tasks.launches) == 12


def test_a_number_that_was_used_otherwise_is_no_success(
    aws: FakeAws, launcher: EcsLauncher
) -> None:
    launcher.launch(item(), number=1, created_at=START, on_demand=False)
    with pytest.raises(LaunchError, match="ConflictException"):
        launcher.launch(item(), number=1, created_at=START, on_demand=True)
    assert len(aws.tasks.launches) == 1


def test_a_job_that_comes_again_under_its_id_has_a_worker_of_its_own(
    aws: FakeAws, launcher: EcsLauncher
) -> None:
    for created_at in (START, START + timedelta(microseconds=1)):
        launcher.launch(item(), number=1, created_at=created_at, on_demand=False)
    assert len(aws.tasks.launches) == 2


def test_a_task_that_has_stopped_is_no_worker(aws: FakeAws, launcher: EcsLauncher) -> None:
    """ECS answers a token that it has heard of with the old task, after its end, too."""
    launcher.launch(item(), number=1, created_at=START, on_demand=False)
    aws.tasks.stop_all()
    with pytest.raises(LaunchError, match="has stopped"):
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    launcher.launch(item(), number=2, created_at=START, on_demand=False)
    assert len(aws.tasks.launches) == 2


# ── what the answers mean ──────────────────────────────────────────────────────────────────────


def test_no_machine_is_a_launch_error(aws: FakeAws, launcher: EcsLauncher) -> None:
    """Requirement S3.5: ECS answers 200 with `failures`."""
    aws.tasks.full_for = 1
    with pytest.raises(LaunchError, match=NO_CAPACITY) as caught:
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    assert caught.value.retryable
    assert "\n" not in str(caught.value)
    launcher.launch(item(), number=2, created_at=START, on_demand=False)
    assert len(aws.tasks.launches) == 1


@pytest.mark.parametrize(
    ("on_demand", "quota"),
    [
        (False, "Fargate Spot vCPU resource count"),
        (True, "Fargate On-Demand vCPU resource count"),
    ],
)
def test_a_used_up_quota_is_an_error_of_its_own(
    aws: FakeAws, launcher: EcsLauncher, *, on_demand: bool, quota: str
) -> None:
    aws.tasks.at_quota_for = 1
    with pytest.raises(LaunchQuotaError, match=quota) as caught:
        launcher.launch(item(), number=1, created_at=START, on_demand=on_demand)
    assert "waits in the queue" in str(caught.value)
    aws.tasks.full_for = 1
    with pytest.raises(LaunchError) as other:
        launcher.launch(item(), number=2, created_at=START, on_demand=on_demand)
    assert not isinstance(other.value, LaunchQuotaError)


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "BlockedException",
        "ClusterNotFoundException",
        "InvalidParameterException",
        "PlatformUnknownException",
    ],
)
def test_a_refusal_is_a_launch_error(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Requirement S3.5: `run_task` raises."""
    no_retry_pauses(monkeypatch)
    launcher = launcher_in(aws, "subnet-a")
    with refused(aws.ecs, "RunTask", code) as sent, pytest.raises(LaunchError) as caught:
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    assert code in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("ServerException", 500)]
)
def test_a_throttled_launch_is_retried_and_then_reported(
    aws: FakeAws, launcher: EcsLauncher, code: str, status: int
) -> None:
    with refused(aws.ecs, "RunTask", code, status=status, times=ATTEMPTS - 1):
        launcher.launch(item(), number=1, created_at=START, on_demand=False)
    with (
        refused(aws.ecs, "RunTask", code, status=status) as sent,
        pytest.raises(LaunchError, match=code),
    ):
        launcher.launch(item(), number=2, created_at=START, on_demand=False)
    assert len(sent) == ATTEMPTS


def test_an_unreachable_service_is_a_launch_error(aws: FakeAws, launcher: EcsLauncher) -> None:
    with reply_lost(aws.ecs, "RunTask", times=99), pytest.raises(LaunchError):
        launcher.launch(item(), number=1, created_at=START, on_demand=False)


# ── settings ───────────────────────────────────────────────────────────────────────────────────


def test_a_list_in_a_variable_may_have_spaces() -> None:
    variables = {**API_ENVIRONMENT, names.SUBNET_IDS: " subnet-a, subnet-b ,"}
    assert TaskSettings.of(variables).subnet_ids == ("subnet-a", "subnet-b")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (names.SUBNET_IDS, " , "),
        (names.SECURITY_GROUP_IDS, ","),
        (names.ASSIGN_PUBLIC_IP, "yes"),
        (names.ASSIGN_PUBLIC_IP, "enabled"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        TaskSettings.of({**API_ENVIRONMENT, name: value})


# ── names of tasks ─────────────────────────────────────────────────────────────────────────────

NUMBERS: Final = st.integers(min_value=0, max_value=10**9 - 1)
TASK_NAMES: Final = st.builds(
    TaskName, job_id=st.uuids().map(str), number=NUMBERS, shard=st.none() | NUMBERS
)


@given(TASK_NAMES)
def test_a_task_name_is_read_back_and_fits_ecs(name: TaskName) -> None:
    assert parse_task_name(str(name)) == name
    assert re.fullmatch(r"[A-Za-z0-9_/-]{1,128}", str(name))


@given(TASK_NAMES, TASK_NAMES)
def test_different_tasks_have_different_names(one: TaskName, two: TaskName) -> None:
    assert (str(one) == str(two)) == (one == two)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "someone",
        "ecs-svc/1234567890123456789",
        "a/",
        "/1",
        "a/one",
        "a/1/2",
        "a/shard-/1",
        "a/shard-1",
        "a/1\n",
        "a b/1",
        "a/²",
    ],
)
def test_a_task_that_somebody_else_started_has_no_such_name(text: str) -> None:
    assert parse_task_name(text) is None

"""`seedwright doctor` at a deployed stage and at one that is not, with the rights of its own policy
and with none.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from runtime.contract.stacks import STACKS, stack_name
from runtime.doctor.policy import policy_document
from tests.e2e.deployment import Deployment, wait_for
from tests.e2e.emulator.spot import NO_CAPACITY
from tests.e2e.user import User
from tests.fixtures import command
from tests.fixtures.aws import REGION

SECONDS: Final = 60.0
OF_A_DEPLOYMENT: Final = (
    *(stack_name("prod", what) for what in STACKS),
    "alarms reach somebody",
    "alarms now",
    "last sweeps",
    "oldest queued job",
    "keys of servers",
)


class Doctor:
    """The command with somebody's credentials; what it found, by name."""

    def __init__(
        self, deployment: Deployment, folder: Path, credentials: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(command.REPOSITORY),
            "AWS_ENDPOINT_URL": deployment.emulator.url,
            "AWS_REGION": REGION,
            **credentials,
        }

    def look(self, *arguments: str) -> dict[str, Any]:
        done = command.run(
            ["doctor", "--json", *arguments],
            cwd=self._folder,
            env=self._environment,
            timeout=SECONDS,
        )
        assert done.stderr == ""
        found = json.loads(done.stdout)["findings"]
        assert done.returncode == int(any(each["state"] == "wrong" for each in found))
        return {each["name"]: each for each in found}


def test_the_doctor_sees_what_is_deployed_and_how_it_does(
    deployment: Deployment, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    doctor = Doctor(deployment, tmp_path, deployment.emulator.account)

    def swept() -> dict[str, Any] | None:
        found = doctor.look()
        return found if found["last sweeps"]["state"] == "ok" else None

    found = wait_for("a sweep", swept, seconds=SECONDS)
    for name in ("credentials", "region", "CDK bootstrap", "oldest queued job"):
        assert found[name]["state"] == "ok", found[name]
    for what in STACKS:
        assert found[stack_name("dev", what)]["state"] == "ok"
    assert found["oldest queued job"]["says"] == "no job waits"
    # What the emulator has no answers to, or says of its own, stops nothing else.
    assert found["token quotas"]["state"] == "unknown"
    assert found["role of ECS"]["state"] == "wrong"
    tell("the doctor sees the stage dev")

    assert {
        name
        for name, each in doctor.look("--stage", "prod").items()
        if each["state"] == "not deployed"
    } == set(OF_A_DEPLOYMENT)

    waiting = deployment.emulator.folder / NO_CAPACITY
    waiting.touch()
    user = User(deployment, "elizabeth@example.com")
    job_id = user.submit()["job_id"]
    assert f"{job_id} has waited for 0 minutes" in doctor.look()["oldest queued job"]["says"]
    user.call("DELETE", f"/jobs/{job_id}?action=cancel")
    waiting.unlink()
    tell("the doctor sees a job that waits")


def test_the_doctor_hears_whether_alarms_reach_somebody(
    deployment: Deployment, tmp_path: Path
) -> None:
    doctor = Doctor(deployment, tmp_path, deployment.emulator.account)
    (topic,) = deployment.resources("AWS::SNS::Topic").values()
    sns = deployment.emulator.client("sns")
    before = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    heard = doctor.look()["alarms reach somebody"]
    assert (heard["state"] == "ok") == bool(before)
    subscribed = sns.subscribe(
        TopicArn=topic,
        Protocol="email",
        Endpoint="ops@example.com",
        ReturnSubscriptionArn=True,
    )
    heard = doctor.look()["alarms reach somebody"]
    sns.unsubscribe(SubscriptionArn=subscribed["SubscriptionArn"])
    assert "1 confirmed subscriber" in heard["says"] or "not confirmed" in heard["says"]


def test_the_doctors_policy_suffices_and_less_is_unknown(
    deployment: Deployment, tmp_path: Path
) -> None:
    iam = deployment.emulator.client("iam")
    iam.create_user(UserName="doctor")
    key = iam.create_access_key(UserName="doctor")["AccessKey"]
    doctor = Doctor(
        deployment,
        tmp_path,
        {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        },
    )
    denied = {name for name, each in doctor.look().items() if "is missing" in each["says"]}
    assert {"CDK bootstrap", "role of ECS", "stacks", "last sweeps", "AWS Budgets"} <= denied

    # The emulator puts a path before the names of log groups, and asks for operations of Budgets by
    # their own names.
    policy = json.dumps(policy_document())
    policy = policy.replace(":log-group:", ":log-group:/aws/cloudformation/")
    policy = policy.replace("budgets:ViewBudget", "budgets:Describe*")
    iam.put_user_policy(UserName="doctor", PolicyName="look", PolicyDocument=policy)
    allowed = doctor.look()
    assert [each["says"] for each in allowed.values() if "is missing" in each["says"]] == []
    assert allowed["last sweeps"]["state"] == "ok"

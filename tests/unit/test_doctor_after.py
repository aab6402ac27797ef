"""What each check of a deployment finds, in every state."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.fixtures.aws_answers import (
    NOW,
    TOPIC,
    Refusal,
    alarm,
    stack,
    subscription,
    swept,
    task_with,
)
from tests.fixtures.doctor import AFTER, LATER, OK, UNKNOWN, WRONG, Row, check_row, row_id

ABSENT: Final = Refusal(code="ValidationError")


pytestmark = pytest.mark.usefixtures("at_once")


def only(text: str, asked: Mapping[str, Any]) -> Any:
    """The answer to `describe_stacks` where one stack has this status and the others are well."""
    what, _, status = text.partition(" ")
    return stack(status if asked["StackName"].endswith(what) else "CREATE_COMPLETE")


def described(text: str) -> Mapping[str, Any]:
    return {"cloudformation.DescribeStacks": lambda asked: only(text, asked)}


def alarms(*found: Any) -> Mapping[str, Any]:
    return {"cloudwatch.DescribeAlarms": {"MetricAlarms": list(found)}}


def subscribers(*arns: str) -> Mapping[str, Any]:
    return {"sns.ListSubscriptionsByTopic": {"Subscriptions": list(map(subscription, arns))}}


def sweeps(*events: Any) -> Mapping[str, Any]:
    return {"logs.FilterLogEvents": {"events": list(events)}}


def waiting(minutes: int) -> Mapping[str, Any]:
    since = NOW.replace(hour=11, minute=60 - minutes).isoformat()
    item = {"work_id": {"S": "job-7"}, "queued_at": {"S": since}}
    return {"dynamodb.Query": {"Items": [item], "Count": 1, "ScannedCount": 1}}


ROWS: Final[tuple[Row, ...]] = (
    ("stacks", {}, (), OK, "CREATE_COMPLETE", ""),
    ("stacks", {"cloudformation.DescribeStacks": ABSENT}, (), LATER, "not deployed", "npm run dep"),
    (
        "stacks",
        {"cloudformation.DescribeStacks": stack("REVIEW_IN_PROGRESS")},
        (),
        LATER,
        "not deployed",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful DELETE_COMPLETE"),
        (),
        WRONG,
        "is not there, though others of its stage are",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful ROLLBACK_COMPLETE"),
        (),
        WRONG,
        "ROLLBACK_COMPLETE: see why (aws cloudformation describe-stack-events",
        "aws cloudformation delete-stack --stack-name seedwright-dev-stateful",
    ),
    (
        "stacks",
        described("stateful UPDATE_ROLLBACK_COMPLETE"),
        (),
        WRONG,
        "as before the last deployment, which failed",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful UPDATE_ROLLBACK_FAILED"),
        (),
        WRONG,
        "UPDATE_ROLLBACK_FAILED",
        "continue-update-rollback --stack-name seedwright-dev-stateful",
    ),
    ("stacks", described("stateful UPDATE_FAILED"), (), WRONG, "UPDATE_FAILED", "npm run deploy"),
    (
        "stacks",
        described("stateful UPDATE_IN_PROGRESS"),
        (),
        UNKNOWN,
        "look again when that has ended",
        "describe-stack-events",
    ),
    ("alarms reach somebody", {}, (), OK, "2 alarms, 1 confirmed subscriber", ""),
    (
        "alarms reach somebody",
        subscribers("PendingConfirmation", f"{TOPIC}:1"),
        (),
        WRONG,
        "1 not confirmed, beside 1 confirmed subscriber",
        "open the link in the mail",
    ),
    (
        "alarms reach somebody",
        subscribers("Deleted"),
        (),
        WRONG,
        "the topic has no subscriber",
        f"aws sns subscribe --topic-arn {TOPIC}",
    ),
    (
        "alarms reach somebody",
        alarms(alarm("FailedJobs", ActionsEnabled=False), alarm("ApiErrors")),
        (),
        WRONG,
        "switched off: FailedJobs",
        "enable-alarm-actions --alarm-names",
    ),
    (
        "alarms reach somebody",
        alarms(alarm("FailedJobs", AlarmActions=[])),
        (),
        WRONG,
        "without a topic: FailedJobs",
        "npm run deploy",
    ),
    (
        "alarms reach somebody",
        alarms(),
        (),
        UNKNOWN,
        "stack seedwright-dev-monitoring shows no alarms",
        "",
    ),
    ("alarms now", {}, (), OK, "none of 2 is raised", ""),
    (
        "alarms now",
        alarms(*(alarm(f"A{number}", StateValue="ALARM") for number in range(7))),
        (),
        WRONG,
        "raised: A0, A1, A2, A3, A4, and 2 more",
        "docs/runbook.md",
    ),
    ("last sweeps", {}, (), OK, "2 in 15 minutes", ""),
    ("last sweeps", sweeps(), (), WRONG, "none in 15 minutes", "aws logs tail seedwright-dev-ev"),
    ("last sweeps", sweeps(swept(7)), (), WRONG, "the last one was 7 minutes ago", "logs tail"),
    (
        "last sweeps",
        sweeps(swept(1, failed=2), {"timestamp": 0, "message": "queue swept, not JSON"}),
        (),
        WRONG,
        "the last one had 2 failures",
        "aws logs tail",
    ),
    ("oldest queued job", {}, (), OK, "no job waits", ""),
    ("oldest queued job", waiting(3), (), OK, "job-7 has waited for 3 minutes", ""),
    ("oldest queued job", waiting(16), (), WRONG, "job-7 has waited for 16 min", "OldestQueuedJob"),
    (
        "oldest queued job",
        {"cloudformation.ListStackResources": {"StackResourceSummaries": []}},
        (),
        UNKNOWN,
        "stack seedwright-dev-stateful has no TablesQueue",
        "",
    ),
    ("keys of servers", {}, (), OK, "the secret seedwright/gpu is there", ""),
    (
        "keys of servers",
        {"ecs.DescribeTaskDefinition": task_with()},
        (),
        OK,
        "no server of models has one",
        "",
    ),
    (
        "keys of servers",
        {"secretsmanager.DescribeSecret": Refusal(code="ResourceNotFoundException")},
        (),
        WRONG,
        "there is no secret seedwright/gpu: no worker can start",
        "secretsmanager create-secret",
    ),
    (
        "keys of servers",
        {"secretsmanager.DescribeSecret": {"Name": "seedwright/gpu", "DeletedDate": NOW}},
        (),
        WRONG,
        "is being deleted",
        "secretsmanager restore-secret",
    ),
    ("AWS Budgets", {}, (), OK, "none; every job has a budget of its own", ""),
    (
        "AWS Budgets",
        {
            "budgets.DescribeBudgets": {"Budgets": [{"BudgetName": "b"}]},
            "budgets.DescribeBudgetNotificationsForAccount": {
                "BudgetNotificationsForAccount": [{"BudgetName": "b", "Notifications": [{}]}]
            },
        },
        (),
        OK,
        "1 budget with notifications",
        "",
    ),
    (
        "AWS Budgets",
        {"budgets.DescribeBudgets": {"Budgets": [{"BudgetName": "b"}, {"BudgetName": "a"}]}},
        (),
        WRONG,
        "nobody is notified: a, b",
        "console.aws.amazon.com",
    ),
    *(
        (name, {"cloudformation.DescribeStacks": ABSENT}, (), LATER, "not deployed", "npm run dep")
        for name in AFTER
        if name != "stacks"
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=map(row_id, ROWS))
def test_what_a_check_finds(sdk_session: Any, row: Row) -> None:
    check_row(row, sdk_session)


def test_every_check_is_seen_as_right_and_as_wrong() -> None:
    seen = {name: {row[3] for row in ROWS if row[0] == name} for name in (*AFTER, "AWS Budgets")}
    assert [name for name, states in seen.items() if not states >= {OK, WRONG}] == []

"""What wakes the two functions that nobody calls."""

from typing import Any

import pytest

from tests.infra.conftest import ROOT, Synthesized

STACK = "events"


def rule_for(app: Synthesized, handler: str) -> Any:
    functions = app.resources(STACK, "AWS::Lambda::Function")
    (rule,) = (
        rule["Properties"]
        for rule in app.resources(STACK, "AWS::Events::Rule").values()
        for target in rule["Properties"]["Targets"]
        if functions[target["Arn"]["Fn::GetAtt"][0]]["Properties"]["Handler"].split(".")[-2]
        == handler
    )
    return rule


def matches(app: Synthesized, pattern: Any, event: Any) -> bool:
    """EventBridge's matching, for lists of exact values."""
    if isinstance(pattern, dict):
        return all(matches(app, part, event.get(key)) for key, part in pattern.items())
    return event in [app.resolver.text(STACK, each) for each in pattern]


def task_event(app: Synthesized, **detail: object) -> dict[str, Any]:
    """As ECS sends it, shortened."""
    return {
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "detail": {
            "clusterArn": app.deployment.launch.cluster,
            "lastStatus": "STOPPED",
            "stopCode": "SpotInterruption",
            **detail,
        },
    }


def test_every_stopped_task_of_the_cluster_is_heard_of(app: Synthesized) -> None:
    pattern = rule_for(app, "task_stopped")["EventPattern"]

    assert matches(app, pattern, task_event(app))
    # The code can be another one, or none at all: the handler decides.
    assert matches(app, pattern, task_event(app, stopCode="EssentialContainerExited"))
    assert matches(app, pattern, task_event(app, stopCode=None))


@pytest.mark.parametrize(
    "detail",
    [{"lastStatus": "RUNNING"}, {"clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/other"}],
)
def test_nothing_else_is_heard_of(app: Synthesized, detail: dict[str, object]) -> None:
    pattern = rule_for(app, "task_stopped")["EventPattern"]

    assert not matches(app, pattern, task_event(app, **detail))
    assert not matches(app, pattern, {**task_event(app), "source": "aws.batch"})


def test_the_sweeper_runs_every_minute_and_is_not_repeated(app: Synthesized) -> None:
    rule = rule_for(app, "sweep_queue")

    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert rule["State"] == "ENABLED"
    (target,) = rule["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}


def test_a_stopped_task_is_told_again_when_the_function_fails(app: Synthesized) -> None:
    (target,) = rule_for(app, "task_stopped")["Targets"]

    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 10


@pytest.mark.parametrize(
    ("handler", "tries", "age", "kept"),
    [("task_stopped", 2, 3600, 4 * 86_400), ("sweep_queue", 0, 60, 3600)],
)
def test_an_event_that_nobody_handled_is_kept(
    app: Synthesized, handler: str, tries: int, age: int, kept: int
) -> None:
    """Whether EventBridge could not deliver it or the function failed."""
    (target,) = rule_for(app, handler)["Targets"]
    queue, attribute = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"]
    assert attribute == "Arn"
    configs = app.resources(STACK, "AWS::Lambda::EventInvokeConfig").values()
    (config,) = (
        each["Properties"]
        for each in configs
        if each["Properties"]["FunctionName"]["Ref"] == target["Arn"]["Fn::GetAtt"][0]
    )
    assert config["Qualifier"] == "$LATEST"
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (tries, age)
    properties = app.resources(STACK, "AWS::SQS::Queue")[queue]["Properties"]
    assert properties["MessageRetentionPeriod"] == kept
    assert properties["SqsManagedSseEnabled"] is True
    arn = app.resolver.text(STACK, {"Fn::GetAtt": [queue, "Arn"]})
    sending = [
        each.resources
        for each in app.deployment.roles[handler].statements
        if each.actions == ("sqs:SendMessage",)
    ]
    assert sending == [(arn,)]


def test_a_queue_takes_events_of_its_rule_and_over_tls_only(app: Synthesized) -> None:
    policies = app.resources(STACK, "AWS::SQS::QueuePolicy").values()

    assert len(policies) == len(app.resources(STACK, "AWS::SQS::Queue")) == 2
    for each in policies:
        statements = each["Properties"]["PolicyDocument"]["Statement"]
        (deny,) = (found for found in statements if found["Effect"] == "Deny")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        (allow,) = (found for found in statements if found["Effect"] == "Allow")
        assert allow["Principal"] == {"Service": "events.amazonaws.com"}
        (source,) = allow["Condition"]["ArnEquals"].values()
        assert source["Fn::GetAtt"][0] in app.resources(STACK, "AWS::Events::Rule")


def test_an_execution_is_kept_for_the_sweeper_where_the_account_has_enough(
    dev: Synthesized, private: Synthesized
) -> None:
    """AWS refuses it in a new account: the deployment would fail."""
    for app, reserved in ((dev, None), (private, 1)):
        functions = app.resources(STACK, "AWS::Lambda::Function").values()
        found = {
            each["Properties"]["Handler"].split(".")[-2]: each["Properties"].get(
                "ReservedConcurrentExecutions"
            )
            for each in functions
        }
        assert found == {"task_stopped": None, "sweep_queue": reserved}


def test_only_its_own_rule_may_call_a_function(app: Synthesized) -> None:
    permissions = app.resources(STACK, "AWS::Lambda::Permission").values()

    assert len(permissions) == 2
    for each in permissions:
        assert each["Properties"]["Principal"] == "events.amazonaws.com"
        rule, attribute = each["Properties"]["SourceArn"]["Fn::GetAtt"]
        assert rule in app.resources(STACK, "AWS::Events::Rule")
        assert attribute == "Arn"


def test_the_guide_finds_what_starts_workers_by_the_beginning_of_its_name(dev: Synthesized) -> None:
    """CloudFormation begins names with the stack's, where a template gives none."""
    guide = (ROOT / "docs/deploy.md").read_text()
    assert "list-rules --name-prefix seedwright-dev-events-" in guide
    assert "contains(@, 'seedwright-dev-worker-')" in guide
    rules = dev.resources(STACK, "AWS::Events::Rule")
    assert len(rules) == 2
    assert not any("Name" in each["Properties"] for each in rules.values())
    assert "ClusterName" not in dev.one("worker", "AWS::ECS::Cluster")

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

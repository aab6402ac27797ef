"""The IAM policy that suffices for all looks: the actions of the checks, and what they are on."""

from collections.abc import Mapping
from typing import Any, Final

from runtime.contract.stacks import BOOTSTRAP_PARAMETER, PROJECT
from runtime.doctor.bootstrap import ECS_ROLE_NAME
from runtime.doctor.registry import CHECKS

_RESOURCES: Final[Mapping[str, str]] = {
    "cloudformation:DescribeStacks": f"arn:aws:cloudformation:*:*:stack/{PROJECT}-*/*",
    "cloudformation:ListStackResources": f"arn:aws:cloudformation:*:*:stack/{PROJECT}-*/*",
    "dynamodb:Query": f"arn:aws:dynamodb:*:*:table/{PROJECT}-*/index/*",
    # With its path where the role is there, without one where it isn't.
    "iam:GetRole": f"arn:aws:iam::*:role/*{ECS_ROLE_NAME}",
    "logs:FilterLogEvents": f"arn:aws:logs:*:*:log-group:{PROJECT}-*",
    "sns:ListSubscriptionsByTopic": f"arn:aws:sns:*:*:{PROJECT}-*",
    "ssm:GetParameter": f"arn:aws:ssm:*:*:parameter{BOOTSTRAP_PARAMETER}",
}
"""Of actions that need not be allowed on everything."""


def policy_document() -> dict[str, Any]:
    """For whoever runs the doctor, in any region and for any stage."""
    actions = sorted({action for check in CHECKS for action in check.actions})
    statements: dict[str, list[str]] = {}
    for action in actions:
        statements.setdefault(_RESOURCES.get(action, "*"), []).append(action)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": names, "Resource": resource}
            for resource, names in statements.items()
        ],
    }

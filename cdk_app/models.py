"""The Bedrock models that may be called: those of the price file, and no others.

The file is read as data; the runtime's own code stays out of the infrastructure.

A model is called by its own id where it has a price of its own, and through each inference profile
that the file names. A profile needs two permissions: one on the profile, and one on the model in
every region it may route to, which AWS can extend at any time. So the second one is for all regions
and on the condition that the call came through a profile of this account.
"""

import json
from pathlib import Path
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

PRICE_FILE: Final = Path(__file__).parents[1] / "runtime/domain/models/prices.json"

INVOKE: Final = "bedrock:InvokeModel"
"""What a Converse call needs; streaming has an action of its own, which nobody uses."""


def invoke_statements(stack: Stack) -> list[iam.PolicyStatement]:
    """Permission to call every priced model, seen from the region and account of `stack`."""
    rows = _bedrock_rows()
    home = f"arn:{stack.partition}:bedrock:{stack.region}"
    direct = [f"{home}::foundation-model/{row['id']}" for row in rows if row["input"] is not None]
    profiles = [
        f"{home}:{stack.account}:inference-profile/{prefix}{row['id']}"
        for row in rows
        for prefix in row["profiles"]
    ]
    return [
        iam.PolicyStatement(sid="CallModels", actions=[INVOKE], resources=direct),
        iam.PolicyStatement(sid="CallProfiles", actions=[INVOKE], resources=profiles),
        iam.PolicyStatement(
            sid="CallModelsThroughProfiles",
            actions=[INVOKE],
            resources=routed_models(partition=stack.partition),
            conditions={
                "StringLike": {
                    "bedrock:InferenceProfileArn": (f"{home}:{stack.account}:inference-profile/*")
                }
            },
        ),
    ]


def routed_models(*, partition: str) -> list[str]:
    """What profiles route to. `*` is for the region; a global profile shows an ARN without one."""
    return [
        f"arn:{partition}:bedrock:*::foundation-model/{row['id']}"
        for row in _bedrock_rows()
        if row["profiles"]
    ]


def _bedrock_rows() -> list[dict[str, Any]]:
    document = json.loads(PRICE_FILE.read_text(encoding="utf-8"))
    return [row for row in document["models"] if row["provider"] == "bedrock"]

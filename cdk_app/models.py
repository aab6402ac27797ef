"""The Bedrock models that may be called: those of the price file in force, and no others. That is
the packaged file and, over it, the stage's own (`StageConfig.price_file`).

The files are read as data; the runtime's own code stays out of the infrastructure.

A model is called by its own id where it has a price of its own, and through each inference profile
that the file names. Stacks don't know their region, so that every model may be called by its id in
whatever region they are deployed to: where it isn't sold, that allows nothing. A profile needs two
permissions: one on the profile, and one on the model in every region it may route to, which AWS can
extend at any time. So the second one is for all regions and on the condition that the call came
through a profile of this account.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets

PRICE_FILE: Final = Path(__file__).parents[1] / "runtime/domain/models/prices.json"

INVOKE: Final = "bedrock:InvokeModel"
"""What a Converse call needs; streaming has an action of its own, which nobody uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedModels:
    """The models of one stage; `price_file` is its own."""

    price_file: Path | None = None

    def invoke_statements(self, stack: Stack) -> list[iam.PolicyStatement]:
        """Permission to call every priced model, seen from the region and account of `stack`."""
        rows = self._bedrock_rows()
        home = f"arn:{stack.partition}:bedrock:{stack.region}"
        direct = [
            f"{home}::foundation-model/{row['id']}" for row in rows if row["input"] is not None
        ]
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
                resources=self.routed_models(partition=stack.partition),
                conditions={
                    "StringLike": {
                        "bedrock:InferenceProfileArn": (
                            f"{home}:{stack.account}:inference-profile/*"
                        )
                    }
                },
            ),
        ]

    def routed_models(self, *, partition: str) -> list[str]:
        """What profiles route to; `*` is for the region, which the ARN of a global one lacks."""
        return [
            f"arn:{partition}:bedrock:*::foundation-model/{row['id']}"
            for row in self._bedrock_rows()
            if row["profiles"]
        ]

    def give(self, stack: Stack, role: iam.IRole) -> str | None:
        """Let `role` read the stage's own price file, which is uploaded with `stack`: where it is
        then, s3://bucket/key; None where there is none.
        """
        if self.price_file is None:
            return None
        found = stack.node.try_find_child("Prices")
        path = str(self.price_file)
        asset = (
            found if isinstance(found, assets.Asset) else assets.Asset(stack, "Prices", path=path)
        )
        objects = asset.bucket.arn_for_objects(asset.s3_object_key)
        role.add_to_principal_policy(
            iam.PolicyStatement(sid="ReadPrices", actions=["s3:GetObject"], resources=[objects])
        )
        return asset.s3_object_url

    def _bedrock_rows(self) -> list[dict[str, Any]]:
        files = [PRICE_FILE] if self.price_file is None else [PRICE_FILE, self.price_file]
        documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        rows = {row["id"]: row for document in documents for row in document.get("models", [])}
        return [row for row in rows.values() if row["provider"] == "bedrock"]

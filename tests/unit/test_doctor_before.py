"""What each check of an account finds before a deployment, in every state."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from botocore.exceptions import ConnectTimeoutError

from tests.fixtures.aws_answers import AVAILABLE, LLAMA, MODELS, Broken, Refusal, model, quota
from tests.fixtures.doctor import (
    AFTER,
    CHECKS,
    OK,
    UNKNOWN,
    WRONG,
    Row,
    check_row,
    models,
    quotas,
    row_id,
)

pytestmark = pytest.mark.usefixtures("at_once")


def availability(**changes: Any) -> Mapping[str, Any]:
    return {"bedrock.GetFoundationModelAvailability": {**AVAILABLE, **changes}}


NOVA: Final = "amazon.nova-micro-v1:0"
NOVA_2: Final = "global.amazon.nova-2-lite-v1:0"
PER_MINUTE: Final = "On-demand model inference tokens per minute for Amazon Nova Micro"
PER_DAY: Final = "Model invocation max tokens per day for Amazon Nova Micro"

ROWS: Final[tuple[Row, ...]] = (
    ("credentials", {}, (), OK, "account 111122223333 as arn:aws:iam::111122223333:user/ada", ""),
    (
        "credentials",
        {"sts.GetCallerIdentity": Refusal(code="ExpiredToken", status=403)},
        (),
        WRONG,
        "there are none that AWS takes (ExpiredToken)",
        "aws configure",
    ),
    (
        "credentials",
        {"sts.GetCallerIdentity": Broken(ConnectTimeoutError(endpoint_url="https://x"))},
        (),
        UNKNOWN,
        "could not be looked at (ConnectTimeoutError)",
        "",
    ),
    ("region", {}, (), OK, "us-east-1: Bedrock is there", ""),
    ("CDK bootstrap", {}, (), OK, "version 28", ""),
    (
        "CDK bootstrap",
        {"ssm.GetParameter": {"Parameter": {"Name": "version", "Value": "5"}}},
        (),
        WRONG,
        "version 5 is too old: 6 or newer is needed",
        "npx cdk bootstrap",
    ),
    (
        "CDK bootstrap",
        {"ssm.GetParameter": Refusal(code="ParameterNotFound")},
        (),
        WRONG,
        "has not been in us-east-1 yet",
        "npx cdk bootstrap",
    ),
    ("role of ECS", {}, (), OK, "AWSServiceRoleForECS is there", ""),
    (
        "role of ECS",
        {"iam.GetRole": Refusal(code="NoSuchEntity", status=404)},
        (),
        WRONG,
        "the first deployment may roll back",
        "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
    ),
    ("Fargate quotas", {}, (), OK, "6, so many workers at a time", ""),
    (
        "Fargate quotas",
        quotas(quota("Fargate Spot vCPU resource count", 0)),
        (),
        WRONG,
        "0: no worker can start",
        "--service-code fargate --quota-code L-00000001 --desired-value 64",
    ),
    ("Fargate quotas", quotas(), (), UNKNOWN, "Service Quotas shows no", "/services/fargate/"),
    ("Lambda concurrency", {}, (), OK, "1000 executions at a time", ""),
    (
        "Lambda concurrency",
        {"lambda.GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 10}}},
        (),
        WRONG,
        "10 executions at a time",
        "--service-code lambda --quota-code L-B99A9384",
    ),
    ("prices of models", {}, (), OK, "Amazon Nova Micro, checked", ""),
    ("prices of models", {}, ("wat.ai-v1:0",), WRONG, "unknown model", "docs/prices.md"),
    ("access to models", {}, (), OK, "subscribed and authorized", ""),
    (
        "access to models",
        {"bedrock.GetFoundationModelAvailability": Refusal(code="ResourceNotFoundException")},
        (),
        WRONG,
        "Bedrock in us-east-1 doesn't know it",
        "seedwright models",
    ),
    (
        "access to models",
        availability(agreementAvailability={"status": "PENDING"}),
        (),
        UNKNOWN,
        "up to 15 minutes",
        "look again then",
    ),
    (
        "access to models",
        availability(agreementAvailability={"status": "NOT_AVAILABLE"}),
        (),
        WRONG,
        "not subscribed (agreement NOT_AVAILABLE",
        f"bedrock-runtime converse --model-id {NOVA}",
    ),
    (
        "access to models",
        availability(entitlementAvailability="NOT_AVAILABLE"),
        (),
        WRONG,
        "entitlement NOT_AVAILABLE",
        "bedrock-runtime converse",
    ),
    (
        "access to models",
        availability(authorizationStatus="NOT_AUTHORIZED"),
        (),
        WRONG,
        "the account is not authorized",
        "console.aws.amazon.com/bedrock",
    ),
    (
        "access to models",
        availability(regionAvailability="NOT_AVAILABLE"),
        (),
        WRONG,
        "not available in us-east-1",
        "seedwright models",
    ),
    (
        "access to models",
        availability(regionAvailability="NOT_AVAILABLE"),
        (NOVA_2,),
        OK,
        "subscribed and authorized",
        "",
    ),
    ("ways to call models", {}, (), OK, "by its own id", ""),
    ("ways to call models", {}, (NOVA_2,), OK, "the profile is there", ""),
    (
        "ways to call models",
        {},
        (LLAMA,),
        WRONG,
        f"it can't be called by its own id; there is us.{LLAMA}",
        "choose another model",
    ),
    (
        "ways to call models",
        {},
        (f"eu.{LLAMA}",),
        WRONG,
        f"no such profile in us-east-1; there is us.{LLAMA}",
        "choose another model",
    ),
    ("ways to call models", models(), (), WRONG, "not offered in us-east-1", "seedwright models"),
    ("life of models", {}, (), OK, "active", ""),
    (
        "life of models",
        models(
            model(
                NOVA, status="LEGACY", legacyTime="2026-09-01", endOfLifeTime="2027-03-30T00:00:00Z"
            )
        ),
        (),
        WRONG,
        "legacy, legacy from 2026-09-01, last day 2027-03-30",
        "choose another model",
    ),
    ("life of models", models(*MODELS[1:]), (), UNKNOWN, "doesn't say", ""),
    ("token quotas", {}, (), OK, "2 000 000", ""),
    ("token quotas", {}, (NOVA_2,), OK, "8 000 000", ""),
    (
        "token quotas",
        {},
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0",),
        OK,
        "500 000",
        "",
    ),
    (
        "token quotas",
        quotas(quota(PER_MINUTE, 0, Adjustable=False)),
        (),
        WRONG,
        "0: too few",
        "ask AWS Support",
    ),
    (
        "token quotas",
        quotas(quota(PER_MINUTE, 0), quota(PER_DAY, 0, Adjustable=False)),
        (),
        WRONG,
        "0: too few for a dataset",
        "--service-code bedrock --quota-code L-00000001 --desired-value 2000000",
    ),
    (
        "token quotas",
        {
            **quotas(),
            "service-quotas.ListAWSDefaultServiceQuotas": {"Quotas": [quota(PER_MINUTE, 2e6)]},
        },
        (),
        UNKNOWN,
        "AWS shows its default, 2 000 000, and not what this account has",
        "/services/bedrock/",
    ),
    ("token quotas", quotas(), (), UNKNOWN, "shows none by this model's name", "/bedrock/"),
)

BEFORE: Final = CHECKS.keys() - {*AFTER, "AWS Budgets", "Docker", "buildx", "region"}
"""Others are in files of their own."""


@pytest.mark.parametrize("row", ROWS, ids=map(row_id, ROWS))
def test_what_a_check_finds(sdk_session: Any, row: Row) -> None:
    check_row(row, sdk_session)


def test_every_check_is_seen_as_right_and_as_wrong() -> None:
    seen = {name: {row[3] for row in ROWS if row[0] == name} for name in BEFORE}
    assert [name for name, states in seen.items() if not states >= {OK, WRONG}] == []

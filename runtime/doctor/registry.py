"""All checks, in the order in which their findings are read."""

from typing import Final

from runtime.doctor import (
    alarms,
    bootstrap,
    budgets,
    identity,
    jobs,
    models,
    quotas,
    secrets,
    stacks,
    tools,
)
from runtime.doctor.check import Check

LIST_QUOTAS: Final = "servicequotas:ListServiceQuotas"
FIND_STACKS: Final = "cloudformation:DescribeStacks"
FIND_IN_STACKS: Final = "cloudformation:ListStackResources"
LIST_MODELS: Final = "bedrock:ListFoundationModels"
LIST_PROFILES: Final = "bedrock:ListInferenceProfiles"

CREDENTIALS: Final = Check(
    name=identity.CREDENTIALS,
    look=identity.look_at_credentials,
    actions=("sts:GetCallerIdentity",),
)
"""The first one: without credentials nothing else is asked of AWS."""

CHECKS: Final = (
    CREDENTIALS,
    # Asks nobody: what the SDK and the price table know.
    Check(name=identity.REGION, look=identity.look_at_region),
    Check(
        name=bootstrap.BOOTSTRAP, look=bootstrap.look_at_bootstrap, actions=("ssm:GetParameter",)
    ),
    Check(name=bootstrap.ECS_ROLE, look=bootstrap.look_at_ecs_role, actions=("iam:GetRole",)),
    Check(name=tools.DOCKER, look=tools.look_at_docker),
    Check(name=tools.BUILDX, look=tools.look_at_buildx),
    Check(name=quotas.FARGATE, look=quotas.look_at_fargate, actions=(LIST_QUOTAS,)),
    Check(name=quotas.LAMBDA, look=quotas.look_at_lambda, actions=("lambda:GetAccountSettings",)),
    Check(name=models.PRICES, look=models.look_at_prices),
    Check(
        name=models.ACCESS,
        look=models.look_at_access,
        actions=("bedrock:GetFoundationModelAvailability",),
    ),
    Check(name=models.WAYS, look=models.look_at_ways, actions=(LIST_MODELS, LIST_PROFILES)),
    Check(name=models.LIFE, look=models.look_at_life, actions=(LIST_MODELS,)),
    Check(
        name=quotas.TOKENS,
        look=quotas.look_at_tokens,
        actions=(LIST_QUOTAS, "servicequotas:ListAWSDefaultServiceQuotas"),
    ),
    Check(name=stacks.STACK_NAMES, look=stacks.look_at_stacks, actions=(FIND_STACKS,)),
    Check(
        name=alarms.SUBSCRIBERS,
        look=alarms.look_at_subscribers,
        actions=(FIND_STACKS, "cloudwatch:DescribeAlarms", "sns:ListSubscriptionsByTopic"),
    ),
    Check(
        name=alarms.RAISED,
        look=alarms.look_at_raised,
        actions=(FIND_STACKS, "cloudwatch:DescribeAlarms"),
    ),
    Check(
        name=jobs.SWEEPS,
        look=jobs.look_at_sweeps,
        actions=(FIND_STACKS, FIND_IN_STACKS, "logs:FilterLogEvents"),
    ),
    Check(
        name=jobs.OLDEST,
        look=jobs.look_at_oldest_job,
        actions=(FIND_STACKS, FIND_IN_STACKS, "dynamodb:Query"),
    ),
    Check(
        name=secrets.KEYS,
        look=secrets.look_at_keys,
        actions=(
            FIND_STACKS,
            FIND_IN_STACKS,
            "ecs:DescribeTaskDefinition",
            "secretsmanager:DescribeSecret",
        ),
    ),
    Check(
        name=budgets.BUDGETS,
        look=budgets.look_at_budgets,
        actions=("sts:GetCallerIdentity", "budgets:ViewBudget"),
    ),
)

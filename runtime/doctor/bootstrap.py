"""What an account needs before the first deployment."""

from collections.abc import Iterator
from typing import Final

from runtime.aws.failures import error_code
from runtime.contract.stacks import BOOTSTRAP_PARAMETER, BOOTSTRAP_VERSION
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, wrong

BOOTSTRAP: Final = "CDK bootstrap"
ECS_ROLE: Final = "role of ECS"
ECS_ROLE_NAME: Final = "AWSServiceRoleForECS"


def look_at_bootstrap(account: Account) -> Iterator[Finding]:
    """Whether `cdk bootstrap` has been here, in a version that is new enough."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as in runtime/sdk.py

    try:
        found = account.client("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER)
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
        yield wrong(
            BOOTSTRAP, f"has not been in {account.region_name} yet", mend="npx cdk bootstrap"
        )
        return
    version = int(found["Parameter"]["Value"])
    if version < BOOTSTRAP_VERSION:
        says = f"version {version} is too old: {BOOTSTRAP_VERSION} or newer is needed"
        yield wrong(BOOTSTRAP, says, mend="npx cdk bootstrap")
    else:
        yield ok(BOOTSTRAP, f"version {version}")


def look_at_ecs_role(account: Account) -> Iterator[Finding]:
    """An account that never used ECS has no such role, and its first deployment may roll back."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as in runtime/sdk.py

    try:
        account.client("iam").get_role(RoleName=ECS_ROLE_NAME)
    except ClientError as error:
        if error_code(error) != "NoSuchEntity":
            raise
        yield wrong(
            ECS_ROLE,
            f"{ECS_ROLE_NAME} is not there: the first deployment may roll back",
            mend=account.aws("iam create-service-linked-role --aws-service-name ecs.amazonaws.com"),
        )
        return
    yield ok(ECS_ROLE, f"{ECS_ROLE_NAME} is there")

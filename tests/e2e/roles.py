"""Acting as a deployed role: what its policies let through, and what they refuse."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from runtime.contract.functions import Function
from runtime.contract.tables import Table
from tests.e2e.deployment import Deployment
from tests.e2e.emulator.process import ACCOUNT

REFUSED: Final = frozenset({"AccessDenied", "AccessDeniedException"})

Clients = Callable[[str], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A role by its clients. `allows` makes a call; what AWS says otherwise does not matter."""

    client: Clients

    def allows(self, attempt: Callable[[Clients], object]) -> bool:
        try:
            attempt(self.client)
        except ClientError as error:
            return error.response["Error"]["Code"] not in REFUSED
        return True


def role_of_function(deployment: Deployment, function: Function) -> Role:
    """The execution role of a function."""
    functions = deployment.emulator.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    (arn,) = (
        each["Role"]
        for page in pages
        for each in page["Functions"]
        if each["Handler"] == function.handler
    )
    return _assume(deployment, arn)


def role_of_worker(deployment: Deployment) -> Role:
    """The task role of the worker."""
    return _assume(deployment, worker_definition(deployment)["taskRoleArn"])


def worker_definition(deployment: Deployment) -> Any:
    """The worker's task definition."""
    (arn,) = deployment.resources("AWS::ECS::TaskDefinition").values()
    ecs = deployment.emulator.client("ecs")
    return ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]


def _assume(deployment: Deployment, arn: str) -> Role:
    """Only Lambda or ECS may assume these roles, so the account itself is let in, too. What the
    role may do is left as it was deployed.
    """
    iam, name = deployment.emulator.client("iam"), arn.rpartition("/")[2]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    ourselves = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    if ourselves not in trust["Statement"]:
        trust["Statement"].append(ourselves)
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    keys = deployment.emulator.client("sts").assume_role(RoleArn=arn, RoleSessionName="e2e")
    credentials = {
        "aws_access_key_id": keys["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": keys["Credentials"]["SecretAccessKey"],
        "aws_session_token": keys["Credentials"]["SessionToken"],
    }
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = deployment.emulator.client(service, **credentials)
        return made[service]

    return Role(client=client)


# ── calls that change nothing, whether or not they are allowed ─────────────────────────────────


def get_item(table: Table, physical: str) -> Callable[[Clients], object]:
    return lambda client: client("dynamodb").get_item(TableName=physical, Key=_absent(table))


def put_item(table: Table, physical: str) -> Callable[[Clients], object]:
    return lambda client: client("dynamodb").put_item(
        TableName=physical, Item=_absent(table), ConditionExpression=_if_present(table)
    )


def update_item(table: Table, physical: str) -> Callable[[Clients], object]:
    return lambda client: client("dynamodb").update_item(
        TableName=physical,
        Key=_absent(table),
        UpdateExpression="REMOVE nothing",
        ConditionExpression=_if_present(table),
    )


def delete_item(table: Table, physical: str) -> Callable[[Clients], object]:
    return lambda client: client("dynamodb").delete_item(
        TableName=physical, Key=_absent(table), ConditionExpression=_if_present(table)
    )


def get_object(bucket: str, key: str) -> Callable[[Clients], object]:
    return lambda client: client("s3").get_object(Bucket=bucket, Key=key)


def put_object(bucket: str, key: str) -> Callable[[Clients], object]:
    return lambda client: client("s3").put_object(Bucket=bucket, Key=key, Body=b"", IfMatch='"0"')


def converse(model: str) -> Callable[[Clients], object]:
    """A call that the model refuses: it has no message."""
    return lambda client: client("bedrock-runtime").converse(modelId=model, messages=[])


def _absent(table: Table) -> dict[str, Any]:
    keys = [table.key.partition, *([table.key.sort] if table.key.sort else [])]
    return {name: {kind: "0"} for name, kind in keys}


def _if_present(table: Table) -> str:
    return f"attribute_exists({table.key.partition[0]})"

"""The secrets that hold the keys of the stage's servers of models: without one no worker starts."""

from collections.abc import Iterator
from typing import Final

from runtime.aws.failures import error_code
from runtime.contract.stacks import WORKER
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, not_deployed, ok, wrong

KEYS: Final = "keys of servers"

_ARN_PARTS: Final = 7
"""Of a secret's ARN; the name of a field may follow."""


def look_at_keys(account: Account) -> Iterator[Finding]:
    """A line for each secret that a worker's container is given."""
    if not account.is_deployed(WORKER):
        yield not_deployed(KEYS, account.stage)
        return
    task = account.resource(WORKER, "AWS::ECS::TaskDefinition", "WorkerDefinition")
    found = account.client("ecs").describe_task_definition(taskDefinition=task)
    places = {
        ":".join(each["valueFrom"].split(":")[:_ARN_PARTS])
        for container in found["taskDefinition"]["containerDefinitions"]
        for each in container.get("secrets", ())
    }
    if not places:
        yield ok(KEYS, "no server of models has one")
    for place in sorted(places):
        yield _judged(account, place)


def _judged(account: Account, place: str) -> Finding:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as in runtime/sdk.py

    name = place.rpartition(":")[2]
    try:
        secret = account.client("secretsmanager").describe_secret(SecretId=place)
    except ClientError as exc:
        if error_code(exc) != "ResourceNotFoundException":
            raise
        stored = account.aws("secretsmanager create-secret --secret-string KEY --name NAME")
        return wrong(KEYS, f"there is no secret {name}: no worker can start", mend=stored)
    if "DeletedDate" in secret:
        back = account.aws("secretsmanager restore-secret --secret-id NAME")
        return wrong(KEYS, f"the secret {name} is being deleted: no worker can start", mend=back)
    return ok(KEYS, f"the secret {name} is there")

"""Who is refused: requests without a good token, and roles beyond their policies."""

import base64
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

import pytest
from botocore.exceptions import ClientError

from runtime.contract.functions import Function, Route
from runtime.contract.grants import ModelGrant, ObjectGrant, TableGrant
from runtime.contract.routes import FUNCTIONS, ROUTES
from runtime.contract.tables import TABLES, TEMPLATES
from tests.e2e import roles
from tests.e2e.deployment import PASSWORD, Deployment, invite, sign_in
from tests.e2e.roles import Clients, role_of_function, role_of_worker

NOBODY: Final = "00000000-0000-4000-8000-000000000000"
MODEL: Final = "amazon.nova-micro-v1:0"
UNPRICED_MODEL: Final = "anthropic.claude-3-opus-20240229-v1:0"
OBJECT_KEYS: Final = (
    "seed-data/ada/seeds.csv",
    "jobs/j/outputs/batch-0001.jsonl",
    "jobs/j/exports/dataset.jsonl",
    "jobs/j/checkpoint.json",
    "elsewhere/secrets.txt",
)
Attempt = Callable[[Clients], object]
CLOSED: Final = [route for route in ROUTES if route.authenticated]


# ── tokens ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("route", CLOSED, ids=lambda route: route.key)
def test_no_operation_answers_without_a_token(deployment: Deployment, route: Route) -> None:
    path = route.path.replace("{job_id}", NOBODY).replace("{template_id}", NOBODY)
    body: object = {} if route.method in {"POST", "PUT"} else None
    reply = deployment.call(route.method, path, body)
    # The words of the gateway: the function, which would refuse in its own, was never asked.
    assert (reply.status, reply.body) == (401, {"message": "Unauthorized"})


def test_only_the_health_check_needs_none(deployment: Deployment) -> None:
    assert [route.key for route in ROUTES if not route.authenticated] == ["GET /health"]
    assert deployment.call("GET", "/health").status == 200


def test_a_tampered_token_is_refused(deployment: Deployment) -> None:
    token = deployment.sign_up("joan@example.com")
    assert deployment.call("GET", "/jobs", token=token).status == 200

    head, claims, signature = token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(f"{claims}=="))
    forged["sub"] = NOBODY
    other_claims = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    for bad in (
        f"{head}.{other_claims}.{signature}",
        f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
        f"{head}.{claims}.",
    ):
        assert deployment.call("GET", "/jobs", token=bad).status == 401


def test_a_token_of_another_pool_is_refused(deployment: Deployment) -> None:
    cognito = deployment.emulator.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="other")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    invite(deployment.emulator, pool, "mallory@example.com")
    token = sign_in(deployment.emulator, client, "mallory@example.com")
    assert deployment.call("GET", "/jobs", token=token).status == 401


def test_strangers_cannot_register(deployment: Deployment) -> None:
    with pytest.raises(ClientError) as refused:
        deployment.emulator.client("cognito-idp").sign_up(
            ClientId=deployment.outputs["UserPoolClientId"],
            Username="mallory@example.com",
            Password=PASSWORD,
        )
    assert refused.value.response["Error"]["Code"] == "NotAuthorizedException"


# ── roles ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_may_do_what_its_row_says_and_nothing_else(
    deployment: Deployment, function: Function
) -> None:
    role = role_of_function(deployment, function)
    for (table, action), attempt in _on_tables(deployment).items():
        allowed = any(
            isinstance(grant, TableGrant)
            and (grant.table.name, grant.index) == (table, None)
            and action in grant.actions
            for grant in function.grants
        )
        assert role.allows(attempt) == allowed, (table, action)
    for (key, action), attempt in _on_objects(deployment).items():
        allowed = any(
            isinstance(grant, ObjectGrant)
            and action in grant.actions
            and any(fnmatchcase(key, pattern) for pattern in grant.keys)
            for grant in function.grants
        )
        assert role.allows(attempt) == allowed, (key, action)
    may_call_models = any(isinstance(grant, ModelGrant) for grant in function.grants)
    assert role.allows(roles.converse(MODEL)) == may_call_models
    assert not role.allows(roles.converse(UNPRICED_MODEL))


def test_the_worker_reads_seeds_and_writes_nothing_beside_its_jobs(deployment: Deployment) -> None:
    worker, bucket = role_of_worker(deployment), deployment.outputs["BucketName"]
    assert worker.allows(roles.get_object(bucket, "seed-data/ada/seeds.csv"))
    assert worker.allows(roles.put_object(bucket, "jobs/j/outputs/batch-0001.jsonl"))
    assert worker.allows(roles.converse(MODEL))

    assert not worker.allows(roles.put_object(bucket, "seed-data/ada/seeds.csv"))
    assert not worker.allows(roles.get_object(bucket, "elsewhere/secrets.txt"))
    assert not worker.allows(roles.put_object(bucket, "elsewhere/secrets.txt"))
    assert not worker.allows(roles.converse(UNPRICED_MODEL))
    templates = physical_names(deployment)[TEMPLATES.variable]
    assert not worker.allows(roles.put_item(TEMPLATES, templates))
    assert not worker.allows(lambda client: client("ecs").list_clusters())
    assert not worker.allows(lambda client: client("s3").list_buckets())


def _on_tables(deployment: Deployment) -> dict[tuple[str, str], Attempt]:
    names = physical_names(deployment)
    attempts = {
        "dynamodb:GetItem": roles.get_item,
        "dynamodb:PutItem": roles.put_item,
        "dynamodb:UpdateItem": roles.update_item,
        "dynamodb:DeleteItem": roles.delete_item,
    }
    return {
        (table.name, action): attempt(table, names[table.variable])
        for table in TABLES
        for action, attempt in attempts.items()
    }


def _on_objects(deployment: Deployment) -> dict[tuple[str, str], Attempt]:
    bucket = deployment.outputs["BucketName"]
    attempts = {"s3:GetObject": roles.get_object, "s3:PutObject": roles.put_object}
    return {
        (key, action): attempt(bucket, key)
        for key in OBJECT_KEYS
        for action, attempt in attempts.items()
    }


def physical_names(deployment: Deployment) -> dict[str, str]:
    """What the worker is told: the tables by the names of their variables."""
    (container,) = roles.worker_definition(deployment)["containerDefinitions"]
    return {each["name"]: each["value"] for each in container["environment"]}

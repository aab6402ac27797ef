"""What IAM is asked for ECS, ECR and Bedrock, where ministack 1.5.33 asks for something else.

    Converse                 bedrock:InvokeModel on the model; through an inference profile: on the
                             profile, and on the model in each region that the profile may use
    RunTask                  ecs:RunTask on the task definition, iam:PassRole on its two roles
    StopTask, DescribeTasks  the action of that name on each task
    DescribeRepositories     the action of that name on each repository

Calls to ECS that name a cluster carry the condition key `ecs:cluster`. The sources are the pages of
the Service Authorization Reference for these services.
"""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.core.router import extract_access_key_id
from ministack.services import ecs

BEDROCK: Final = "bedrock-runtime"
INVOKE: Final = "bedrock:InvokeModel"
PROFILE_PREFIXES: Final = ("us.", "eu.", "apac.", "jp.", "au.", "global.")
OTHER_REGION: Final = "us-west-2"
"""Stands for the other regions of a cross-region profile."""

Check = tuple[str, str, dict[str, str]]
"""Action, resource, condition keys."""


def install() -> None:
    """Ask as AWS does."""
    action_of, resource_of = iam_actions.extract_iam_action, iam_actions.extract_resource_arn
    context_of = iam_actions.request_tag_context

    def extract_iam_action(service: str, *request: Any) -> Any:
        return INVOKE if service == BEDROCK else action_of(service, *request)

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, *request: Any
    ) -> Any:
        checks = list(_checks(service, path, headers, body))
        if checks:
            return checks[0][1]
        return resource_of(service, method, path, headers, body, *request)

    def request_tag_context(service: str, action: str, body: bytes, query: Any) -> Any:
        context = context_of(service, action, body, query)
        return {**context, **_cluster_key(body)} if service == "ecs" else context

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context
    for service in (BEDROCK, "ecr", "ecs"):
        _guard(service)


def _guard(service: str) -> None:
    """Make every check after the first, which the emulator makes itself."""
    handle = app.SERVICE_HANDLERS[service]

    async def guarded(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        key = extract_access_key_id(headers, query)
        for action, resource, context in list(_checks(service, path, headers, body))[1:]:
            denied = iam_evaluator.enforce(
                key, action, service, get_region(), resource_arn=resource, service_context=context
            )
            if denied:
                return iam_actions.access_denied_response(
                    service,
                    action,
                    denied.principal_arn,
                    new_uuid(),
                    headers=headers,
                    resource_arn=resource,
                )
        return await handle(method, path, headers, body, query)

    app.SERVICE_HANDLERS[service] = guarded


def _checks(service: str, path: str, headers: dict[str, str], body: bytes) -> Iterator[Check]:
    if service == BEDROCK:
        for resource in _models(path):
            yield INVOKE, resource, {}
        return
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    match service, operation:
        case "ecs", "RunTask":
            yield from _run_task(_document(body), _cluster_key(body))
        case "ecs", ("StopTask" | "DescribeTasks"):
            document = _document(body)
            for task in document.get("tasks") or [document.get("task", "")]:
                yield f"ecs:{operation}", _task_arn(document, task), _cluster_key(body)
        case "ecr", "DescribeRepositories":
            for name in _document(body).get("repositoryNames") or ():
                arn = f"arn:aws:ecr:{get_region()}:{get_account_id()}:repository/{name}"
                yield "ecr:DescribeRepositories", arn, {}


def _models(path: str) -> Iterator[str]:
    parts = unquote(path).split("/")
    if parts[1:2] != ["model"]:
        return
    model, region = parts[2], get_region()
    if not model.startswith(PROFILE_PREFIXES):
        yield f"arn:aws:bedrock:{region}::foundation-model/{model}"
        return
    yield f"arn:aws:bedrock:{region}:{get_account_id()}:inference-profile/{model}"
    for each in (region, OTHER_REGION):
        yield f"arn:aws:bedrock:{each}::foundation-model/{model.partition('.')[2]}"


def _run_task(document: dict[str, Any], context: dict[str, str]) -> Iterator[Check]:
    definition = ecs._task_defs.get(ecs._resolve_td_key(document.get("taskDefinition", "")))
    if not definition:
        return
    yield "ecs:RunTask", definition["taskDefinitionArn"], context
    for role in ("taskRoleArn", "executionRoleArn"):
        if definition.get(role):
            passed_to = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
            yield "iam:PassRole", definition[role], passed_to


def _task_arn(document: dict[str, Any], task: str) -> str:
    if task.startswith("arn:"):
        return task
    cluster = ecs._resolve_cluster_name(document.get("cluster", ""))
    return f"arn:aws:ecs:{get_region()}:{get_account_id()}:task/{cluster}/{task}"


def _cluster_key(body: bytes) -> dict[str, str]:
    cluster = _document(body).get("cluster")
    if not cluster:
        return {}
    name = ecs._resolve_cluster_name(cluster)
    return {"ecs:cluster": f"arn:aws:ecs:{get_region()}:{get_account_id()}:cluster/{name}"}


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}

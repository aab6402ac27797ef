"""ECS tasks that live and end as on AWS: events, StopTask, and the task role's credentials.

What ministack 1.5.33 does otherwise, and is mended here:
- it publishes no "ECS Task State Change" events;
- StopTask reports the task as stopped with exit code 0 while its process is still running;
- the credentials endpoint of a task hands out keys that belong to no role;
- the entry point of a container definition is dropped;
- RunTask ignores its `clientToken`.
"""

import hashlib
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ministack.core.concurrency import resource_lock, spawn_background
from ministack.core.responses import get_account_id, get_region, json_response, new_uuid, now_iso
from ministack.services import ecs, eventbridge, imds, sts

from tests.e2e.emulator.spot import NO_CAPACITY, RECLAIMED, STOP_CODE

DEFAULT_STOP_SECONDS: Final = 30
"""`stopTimeout` of a container definition that names none, on Fargate."""
_CREDENTIALS_PATH: Final = "/v2/credentials/"

_credentials: dict[str, dict[str, str]] = {}


def install() -> None:
    """Mend the emulator's ECS."""
    for name in ("_mark_task_pending", "_mark_task_running", "_mark_task_stopped"):
        _publish_after(name)
    _stop_when_the_process_ends()
    _pass_entry_points()
    _serve_task_credentials()
    _run_once_per_token()


def _publish(task: dict[str, Any]) -> None:
    event = {
        "EventId": new_uuid(),
        "Source": "aws.ecs",
        "DetailType": "ECS Task State Change",
        "Detail": json.dumps(ecs._sanitize(task), default=str),
        "EventBusName": "default",
        "Time": now_iso(),
        "Resources": [task["taskArn"]],
        "Account": get_account_id(),
        "Region": get_region(),
    }
    spawn_background(eventbridge._dispatch_event, event, thread_name="ecs-event")


def _publish_after(name: str) -> None:
    original = getattr(ecs, name)

    def marked(task_arn: str, task: dict[str, Any], *args: Any, **options: Any) -> Any:
        changed = original(task_arn, task, *args, **options)
        if changed:
            _publish(task)
        return changed

    setattr(ecs, name, marked)


def _stop_when_the_process_ends() -> None:
    stop_at_once, mark_stopped = ecs._stop_task, ecs._mark_task_stopped

    def active(task_arn: str, task: dict[str, Any]) -> bool:
        # On AWS a task that was asked to stop runs on until its containers have ended.
        return (
            ecs._tasks.get(task_arn) is task
            and not task.get("_ecs_resetting")
            and task["lastStatus"] != "STOPPED"
        )

    def stop_task(data: dict[str, Any]) -> Any:
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        task = cluster and ecs._resolve_task(data.get("task", ""), cluster)
        if not task or task["lastStatus"] != "RUNNING":
            return stop_at_once(data)
        reason = data.get("reason", "Task stopped by user")
        with resource_lock("ecs-task", task["taskArn"]):
            ecs._bump_task_version(task)
            task["desiredStatus"] = "STOPPED"
            task["stoppingAt"] = task["stoppingAt"] or now_iso()
            task["_stop"] = (reason, STOP_CODE if reason == RECLAIMED else "UserInitiated")
        _publish(task)
        for container_id in task["_docker_ids"]:
            container = ecs._get_docker().containers.get(container_id)
            spawn_background(
                container.stop, timeout=_stop_seconds(task), thread_name="ecs-stop-task"
            )
        return json_response({"task": ecs._sanitize(task)})

    def mark(
        task_arn: str, task: dict[str, Any], reason: str, stop_code: str, exit_code: Any = None
    ) -> Any:
        reason, stop_code = task.get("_stop", (reason, stop_code))
        return mark_stopped(task_arn, task, reason, stop_code, exit_code)

    ecs._task_is_active, ecs._mark_task_stopped = active, mark
    ecs._ACTION_MAP["StopTask"] = stop_task


def _stop_seconds(task: dict[str, Any]) -> float:
    definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"]))
    return max(
        float(container.get("stopTimeout") or DEFAULT_STOP_SECONDS)
        for container in definition["containerDefinitions"]
    )


def _pass_entry_points() -> None:
    build = ecs._build_run_kwargs

    def build_run_kwargs(definition: dict[str, Any], *args: Any) -> dict[str, Any]:
        options: dict[str, Any] = build(definition, *args)
        options.pop("platform", None)  # the process runs on this machine, whatever the image is for
        return {**options, "entrypoint": definition.get("entryPoint")}

    ecs._build_run_kwargs = build_run_kwargs


def _run_once_per_token() -> None:
    run, replies = ecs._run_task, dict[str, Any]()

    def run_task(data: dict[str, Any]) -> Any:
        if Path(tempfile.gettempdir(), NO_CAPACITY).exists():
            failure = {"reason": "RESOURCE:FARGATE", "detail": "no Spot capacity"}
            return json_response({"tasks": [], "failures": [failure]})
        token = data.get("clientToken")
        if not token:
            return run(data)
        with resource_lock("ecs-client-token", token):
            if token not in replies:
                replies[token] = run(data)
            return replies[token]

    ecs._ACTION_MAP["RunTask"] = run_task


def _serve_task_credentials() -> None:
    register, handle = ecs._register_metadata, imds.handle_request

    def register_metadata(
        task_arn: str,
        cluster_arn: str,
        task: dict[str, Any],
        container: Any,
        launch_type: str,
        environment: dict[str, str],
        *args: Any,
    ) -> Any:
        token = register(task_arn, cluster_arn, task, container, launch_type, environment, *args)
        for name, value in environment.items():
            environment[name] = value.replace("host.docker.internal", "127.0.0.1")
        # What the Fargate agent sets besides the task definition.
        environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = get_region()
        secret = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        path = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rpartition(_CREDENTIALS_PATH)[2]
        if task.get("taskRoleArn"):
            _credentials[f"{path} {secret}"] = _session(task["taskRoleArn"], task_arn)
        return token

    async def handle_request(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        if not path.startswith(_CREDENTIALS_PATH):
            return await handle(method, path, headers, body, query)
        key = f"{path.removeprefix(_CREDENTIALS_PATH)} {headers.get('authorization', '')}"
        if key not in _credentials:
            return json_response({"message": "no credentials for this task"}, status=403)
        return json_response(_credentials[key])

    ecs._register_metadata, imds.handle_request = register_metadata, handle_request


def _session(role_arn: str, task_arn: str) -> dict[str, str]:
    """Credentials of the task's role, known to the emulator's STS."""
    role, task_id = role_arn.rpartition("/")[2], task_arn.rpartition("/")[2]
    secret = hashlib.sha256(new_uuid().encode()).hexdigest()
    key = f"ASIA{secret[:16].upper()}"
    sts.register_session(
        key,
        {
            "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/{task_id}",
            "UserId": f"{role}:{task_id}",
            "SecretAccessKey": secret,
            "SessionToken": secret[::-1],
        },
    )
    return {
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "Token": secret[::-1],
        "Expiration": (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "RoleArn": role_arn,
    }

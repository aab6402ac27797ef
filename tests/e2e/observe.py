"""What an operator sees of a deployment: tasks and logs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.e2e.deployment import Deployment
from tests.e2e.emulator.process import Emulator

SHOWN_LINES: Final = 12


def tasks_of(deployment: Deployment, *states: str) -> list[dict[str, Any]]:
    """The worker's tasks in these desired states, oldest first."""
    ecs, cluster = deployment.emulator.client("ecs"), deployment.outputs["ClusterArn"]
    arns = [
        arn
        for state in states
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=state)["taskArns"]
    ]
    found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    return sorted(found, key=lambda task: task["createdAt"])


def exit_code(task: dict[str, Any]) -> int | None:
    code: int | None = task["containers"][0].get("exitCode")
    return code


def workers_of(job_id: str) -> dict[int, int]:
    """The processes that work on shards of a job now, by shard."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        lines = _read(path).split(b"\0")
        shards = [line.removeprefix(b"SHARD=") for line in lines if line.startswith(b"SHARD=")]
        if shards and f"JOB_ID={job_id}".encode() in lines:
            found[int(shards[0])] = int(path.parent.name)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if os.access(path, os.R_OK) else b""
    except OSError:  # it has just ended
        return b""


def logged(emulator: Emulator) -> Iterator[tuple[str, str]]:
    """Every line that functions and workers have logged, with its log group."""
    logs = emulator.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                for event in events["events"]:
                    yield name, event["message"]


def errors(emulator: Emulator) -> list[str]:
    """Lines of level ERROR or above, and functions that crashed."""
    return [f"{group}: {line}" for group, line in logged(emulator) if _is_error(line)]


def recent_logs(emulator: Emulator) -> str:
    """The last lines of each log group and of the emulator itself."""
    groups: dict[str, list[str]] = {}
    for group, line in logged(emulator):
        groups.setdefault(group, []).append(line)
    groups["emulator"] = emulator.log.read_text(errors="replace").splitlines()
    return "\n".join(
        f"── {group}\n" + "\n".join(lines[-SHOWN_LINES:]) for group, lines in groups.items()
    )


def _is_error(line: str) -> bool:
    try:
        document = json.loads(line)
    except ValueError:
        return line.startswith("Traceback")
    return isinstance(document, dict) and document.get("level") in {"ERROR", "CRITICAL"}

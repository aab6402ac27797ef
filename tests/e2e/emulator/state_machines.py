"""Step Functions that waits for tasks of ECS as AWS does.

What ministack 1.5.33 does otherwise, and is mended here:
- a task that is waited for may run for ten minutes, and whatever it ended with is a success;
- RunTask without a machine is a success too;
- `startedBy` of a task is not that of Step Functions;
- a Map knows `MaxConcurrency` and no `MaxConcurrencyPath`.
"""

import json
import time
from typing import Any, Final

from ministack.services import ecs, stepfunctions

from runtime.contract.tasks import STARTED_BY_MACHINE

POLL_SECONDS: Final = 0.2


def install() -> None:
    """Mend the emulator's Step Functions."""
    dispatch = stepfunctions._SERVICE_DISPATCH
    dispatch["arn:aws:states:::ecs:runTask"] = _run_task_and_wait
    _bound_maps_by_path()


def _run_task_and_wait(_resource: str, parameters: dict[str, Any]) -> Any:
    request = {**stepfunctions._pascal_to_camel(parameters), "startedBy": STARTED_BY_MACHINE}
    status, _, body = ecs._ACTION_MAP["RunTask"](request)
    reply = json.loads(body)
    if status >= 400:
        raise stepfunctions._ExecutionError("ECS.AmazonECSException", str(reply))
    if reply["failures"]:
        raise stepfunctions._ExecutionError("AmazonECS.Unknown", json.dumps(reply))
    (task,) = reply["tasks"]
    while True:
        request = {"cluster": request["cluster"], "tasks": [task["taskArn"]]}
        _, _, body = ecs._describe_tasks(request)
        (task,) = json.loads(body)["tasks"]
        if task["lastStatus"] == "STOPPED":
            break
        time.sleep(POLL_SECONDS)
    failed = [each for each in task["containers"] if each.get("exitCode") != 0]
    if failed or task.get("stopCode") != "EssentialContainerExited":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(task))
    return task


def _bound_maps_by_path() -> None:
    run = stepfunctions._run_distributed_map

    def run_distributed_map(state: dict[str, Any], data: Any, effective: Any, *rest: Any) -> Any:
        path = state.get("MaxConcurrencyPath")
        bound = {} if path is None else {"MaxConcurrency": effective[path.removeprefix("$.")]}
        return run({**state, **bound}, data, effective, *rest)

    stepfunctions._run_distributed_map = run_distributed_map

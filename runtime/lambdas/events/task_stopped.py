"""ECS says that a task has stopped: its work becomes claimable at once, and the next worker starts.

Being quick is all that this is for. An event that is late or lost changes nothing but the time: the
sweeper finds the work by its lease. A repeated one finds nothing left to do.
"""

from typing import Any, Final

from runtime.contract import environment as names
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tasks import TaskName, parse_task_name
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.lambdas.events.event_handler import Event, event_handler
from runtime.service.observability import count, logger
from runtime.service.recovery import Counts, note_start_failure, recover, start_or_withdraw

_MAX_LOGGED: Final = 200


@event_handler
def lambda_handler(event: Event, ports: ApiPorts) -> Counts:
    """Look after the work of one stopped task; what was done."""
    detail = event.get("detail") or {}
    task = _name_of(detail)
    if task is None or detail.get("lastStatus") != "STOPPED":
        return {"ignored": 1}
    codes = _exit_codes(detail)
    logger.info(
        "task stopped",
        extra={
            "job_id": task.job_id,
            "shard": task.shard,
            "launch": task.number,
            "stop_code": str(detail.get("stopCode"))[:_MAX_LOGGED],
            "stopped_reason": str(detail.get("stoppedReason"))[:_MAX_LOGGED],
            "exit_codes": codes,
        },
    )
    try:
        item = ports.work.get_work(work_id_of(task.job_id, task.shard))
        # Only this code is asked for. What any other task ended with is found out from the work
        # item: reasons and codes of ECS are only logged, so that new ones do no harm.
        counts = _recover(ports, task, item, was_interrupted=ExitCode.INTERRUPTED in codes)
    except NotFoundError:
        return {"ignored": 1}  # the job was deleted
    for name, value in counts.items():
        count(f"TaskStopped{name.title().replace('_', '')}", value)
    return counts


def _recover(ports: ApiPorts, task: TaskName, item: WorkItem, *, was_interrupted: bool) -> Counts:
    if item.status is JobStatus.RUNNING:
        # ECS has proved that the owner is dead, if this task is the owner: nobody has to wait for
        # its lease. Another owner is alive for all that this event says.
        return recover(ports, item) if item.owner == str(task) else {"ignored": 1}
    if item.status is not JobStatus.QUEUED or item.launches != task.number:
        # Ended, or the next worker is on its way already. Tasks of a sharded job are numbered by
        # its execution, which knows that this one has ended and starts the next.
        return {"ignored": 1}
    if was_interrupted:
        return start_or_withdraw(ports, item)
    # The last task that was started has ended without claiming the work: a container that doesn't
    # start, say. Starting the next one at once would go on for ever; the sweeper takes its time.
    return note_start_failure(ports, item)


def _name_of(detail: Any) -> TaskName | None:
    """By who started it, or, where that was a state machine, by what its worker was told."""
    given = [str(detail.get("startedBy") or "")]
    for override in (detail.get("overrides") or {}).get("containerOverrides") or ():
        variables = override.get("environment") or ()
        given += [
            str(each.get("value")) for each in variables if each.get("name") == names.WORKER_OWNER
        ]
    return next(filter(None, map(parse_task_name, given)), None)


def _exit_codes(detail: Any) -> list[int]:
    codes = [container.get("exitCode") for container in detail.get("containers") or ()]
    return [code for code in codes if isinstance(code, int)]

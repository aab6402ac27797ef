"""The one place that starts workers.

    begin_launch ─▶ launch ─┬─▶ clear launch_error
       (one wins)           └─▶ LaunchError: forget the launch, set launch_error

Whatever fails here leaves a queued job, which the sweeper starts later: the user's request has
succeeded by then. What is launched for a sharded job is its execution, which starts workers for the
shards, and that is numbered on the job's own work item. An ended job that is asked for an export
has one worker, also where it has shards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from runtime.contract.log_lines import WORKER_AT_QUOTA, WORKER_NOT_STARTED
from runtime.contract.statuses import WaitingStatus
from runtime.domain.errors import LaunchError, LaunchQuotaError, SeedwrightError, StorageError
from runtime.domain.jobs.job import ENDED, Job, JobStatus, work_id_of
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.service.fairness import shares
from runtime.service.observability import count, logger

NO_WORKER: Final = "no worker could be started; it is tried again every minute"
"""What users read where the reason is the system's own."""

ALL_AT_WORK: Final = (
    "as many of your workers are at work as you may have: the job starts when one of them ends"
)

_STARTABLE: Final = frozenset({JobStatus.QUEUED, WaitingStatus.WAITING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What became of an attempt. `error` is for the user; both fields are empty when somebody else
    is starting a worker.
    """

    started: bool = False
    error: str | None = None


def start_job(ports: ApiPorts, job: Job) -> Job:
    """Start the worker of a job that was queued just now, or the execution of one in shards; the
    job as it is then. Raises nothing of `SeedwrightError`: the job is stored, and the sweeper
    starts what is not started here.
    """
    work_id = work_id_of(job.job_id)
    try:
        item = ports.work.get_work(work_id)
    except SeedwrightError as error:
        _log(work_id, error)
        return replace(job, launch_error=NO_WORKER)
    if item.status not in _STARTABLE:
        return job
    return replace(job, launch_error=start_worker(ports, job, item).error)


def workers_for(ports: ApiPorts, jobs: Iterable[Job], user_id: str) -> Mapping[str, int]:
    """How many workers each active job of the user may have now, these among them: they may be too
    new to be listed. Where the list can't be had they are counted alone: else one job that is
    damaged would hold up all others.
    """
    listed: Sequence[Job] = ()
    try:
        listed = ports.job_catalog.list_active(user_id)
    except StorageError as error:
        logger.warning("active jobs not listed", extra={"code": error.code})
    by_id = {each.job_id: each for each in (*listed, *jobs)}
    return shares(by_id.values(), ports.settings)


def stop_execution(ports: ApiPorts, job: Job) -> None:
    """End the execution of a sharded job, with the workers that it has started. A failure is
    logged: workers learn by themselves that their job has ended, and an execution asks about it.
    """
    if job.config.sharding is None:
        return
    try:
        number = ports.work.get_work(work_id_of(job.job_id)).launches
        if number:
            ports.executions.stop(job.job_id, number=number, created_at=job.created_at)
    except SeedwrightError as error:
        logger.warning("execution not stopped", extra={"job_id": job.job_id, "code": error.code})


def start_worker(ports: ApiPorts, job: Job, item: WorkItem) -> Launch:
    """Start a worker for QUEUED work, or the execution of a sharded job, unless somebody else has
    done so since `item` was read, or the last execution goes on: it finds by itself what was queued
    again. Raises nothing of `SeedwrightError`: a failure is logged and stored.
    """
    try:
        if _has_execution(ports, job, item):
            return Launch()
        if workers_for(ports, [job], job.user_id)[job.job_id] == 0:
            return _put_off(ports, job)
        number = ports.work.begin_launch(item)
        if number is None:
            return Launch()
        return _launch(ports, job, item, number)
    except SeedwrightError as error:
        _log(item.work_id, error)
        return Launch(error=NO_WORKER)


def _has_execution(ports: ApiPorts, job: Job, item: WorkItem) -> bool:
    """Whether an execution of a sharded job goes on: two at a time would start each shard twice."""
    number = item.launches
    if job.config.sharding is None or number == 0 or job.status in ENDED:
        return False  # rows of an ended job are a single task's
    return ports.executions.is_running(job.job_id, number=number, created_at=job.created_at)


def _put_off(ports: ApiPorts, job: Job) -> Launch:
    if job.launch_error != ALL_AT_WORK:
        ports.job_catalog.set_launch_error(job.job_id, ALL_AT_WORK)
    return Launch(error=ALL_AT_WORK)


def _launch(ports: ApiPorts, job: Job, item: WorkItem, number: int) -> Launch:
    # Spot first; machines at the full price only where the user has agreed to them, and Spot has
    # failed: at the account's quota there are machines, and another kind helps nobody.
    tries = number - item.quota_refusals
    on_demand = job.config.machines.allow_on_demand and tries > ports.settings.on_demand_after
    try:
        if job.config.sharding is not None and job.status not in ENDED:
            ports.executions.begin_execution(item, number=number, created_at=job.created_at)
        else:
            ports.launcher.launch(
                item, number=number, created_at=job.created_at, on_demand=on_demand
            )
    except SeedwrightError as error:
        _log(item.work_id, error)
        at_quota = isinstance(error, LaunchQuotaError)
        count("LaunchesAtQuota" if at_quota else "LaunchFailures")
        message = str(error) if isinstance(error, LaunchError) else NO_WORKER
        ports.work.end_failed_launch(item.work_id, number, at_quota=at_quota)
        ports.job_catalog.set_launch_error(job.job_id, message)
        return Launch(error=message)
    count("Launches")
    logger.info(
        "worker started",
        extra={"work_id": item.work_id, "launch": number, "on_demand": on_demand},
    )
    if job.launch_error is not None:
        ports.job_catalog.set_launch_error(job.job_id, None)
    return Launch(started=True)


def _log(work_id: str, error: SeedwrightError) -> None:
    logger.error(
        WORKER_AT_QUOTA if isinstance(error, LaunchQuotaError) else WORKER_NOT_STARTED,
        extra={"work_id": work_id, "code": error.code},
    )

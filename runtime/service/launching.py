"""The one place that starts workers.

    begin_launch ─▶ launch ─┬─▶ clear launch_error
       (one wins)           └─▶ LaunchError: forget the launch, set launch_error

Whatever fails here leaves a queued job, which the sweeper starts later: the user's request has
succeeded by then.
"""

from dataclasses import dataclass, replace
from typing import Final

from runtime.contract.log_lines import WORKER_AT_QUOTA, WORKER_NOT_STARTED
from runtime.domain.errors import LaunchError, LaunchQuotaError, SeedwrightError
from runtime.domain.jobs.job import Job, JobStatus, work_id_of
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.service.observability import count, logger

NO_WORKER: Final = "no worker could be started; it is tried again every minute"
"""What users read where the reason is the system's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What became of an attempt. `error` is for the user; both fields are empty when somebody else
    is starting a worker.
    """

    started: bool = False
    error: str | None = None


def start_job(ports: ApiPorts, job: Job) -> Job:
    """Start the worker of a job that was queued just now, or those of its shards; the job as it is
    then. Raises nothing of `SeedwrightError`: the job is stored, and the sweeper starts what is not
    started here.
    """
    work_id = work_id_of(job.job_id)
    try:
        sharded = job.config.sharding is not None
        items = ports.work.work_of(job.job_id) if sharded else [ports.work.get_work(work_id)]
    except SeedwrightError as error:
        _log(work_id, error)
        return replace(job, launch_error=NO_WORKER)
    queued = [item for item in items if item.status is JobStatus.QUEUED]
    if not queued:
        return job
    errors = [start_worker(ports, job, item).error for item in queued]
    return replace(job, launch_error=next(filter(None, errors), None))


def start_worker(ports: ApiPorts, job: Job, item: WorkItem) -> Launch:
    """Start a worker for QUEUED work, unless somebody else has done so since `item` was read.
    Raises nothing of `SeedwrightError`: a failure is logged and stored.
    """
    try:
        number = ports.work.begin_launch(item)
        if number is None:
            return Launch()
        return _launch(ports, job, item, number)
    except SeedwrightError as error:
        _log(item.work_id, error)
        return Launch(error=NO_WORKER)


def _launch(ports: ApiPorts, job: Job, item: WorkItem, number: int) -> Launch:
    # Spot first; machines at the full price only where the user has agreed to them, and Spot has
    # failed: at the account's quota there are machines, and another kind helps nobody.
    tries = number - item.quota_refusals
    on_demand = job.config.machines.allow_on_demand and tries > ports.settings.on_demand_after
    try:
        ports.launcher.launch(item, number=number, created_at=job.created_at, on_demand=on_demand)
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

"""What is done about a work item whose worker is gone or was never there. Nothing here executes
work: it becomes claimable, is started, or is withdrawn.

    RUNNING, its worker is dead or silent ──▶ QUEUED ──▶ a new worker
                                      │  └──▶ job FAILED, where worker after worker has died
                                      └─ its job has ended ──▶ withdrawn, unless rows of it are
                                                               to be exported
"""

from datetime import timedelta
from typing import Final

from runtime.contract.log_lines import JOB_GIVEN_UP
from runtime.domain.errors import (
    ConflictError,
    NotFoundError,
    SeedwrightError,
    WorkersLostError,
)
from runtime.domain.jobs.job import ENDED, Job, JobError, JobStatus, Progress
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.money.slices import take_back
from runtime.domain.ports import Lease
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.service.launching import start_worker
from runtime.service.observability import count, logger
from runtime.service.shards import advance, queue_work

Counts = dict[str, int]
"""What was done, by name; each is a metric."""

STOPPED_EARLY: Final = "a worker was started and ended before it took the job; it is tried again"


def recover(ports: ApiPorts, item: WorkItem, *, silent: bool = False) -> Counts:
    """Take RUNNING work from a worker that is known to be dead, and give it to the next one.

    One that is only `silent` may hang for ever: what still runs of it is stopped, for the money and
    the quota that it holds. Its writes are refused in any case.
    """
    lease = Lease(work_id=item.work_id, job_id=item.job_id, fence=item.fence, beat=item.beat)
    if not ports.queue.recover(lease):
        return {"alive": 1}  # it has shown a sign of life, or somebody else was quicker
    logger.warning(
        "work recovered",
        extra={"work_id": item.work_id, "job_id": item.job_id, "fence": item.fence},
    )
    if silent and item.owner is not None:  # before the next one is started, which needs its quota
        _stop(ports, item.work_id, item.owner)
    job = _job(ports, item)
    if job is not None and has_work(item, job) and _is_hopeless(ports, item, job):
        _give_up(ports, item, job)
    return {"recovered": 1, **start_or_withdraw(ports, ports.work.get_work(item.work_id))}


def start_or_withdraw(ports: ApiPorts, item: WorkItem, *, patient: bool = False) -> Counts:
    """Start a worker for QUEUED work, or end the item with its job. With `patient`, a worker that
    was started not long ago is waited for.
    """
    job = _job(ports, item)
    if job is None or not has_work(item, job):
        return {"withdrawn": int(_withdraw(ports, item, job))}
    if job.config.sharding is not None and job.status not in ENDED:
        return {}  # its execution starts its workers, and the sweeper looks after that
    if item.status is not JobStatus.QUEUED or (patient and has_worker_on_its_way(ports, item)):
        return {}
    return start(ports, job, item)


def start(ports: ApiPorts, job: Job, item: WorkItem) -> Counts:
    """Start a worker, or the execution of a sharded job; see `start_worker`."""
    launch = start_worker(ports, job, item)
    return {"launched": int(launch.started), "launch_failed": int(launch.error is not None)}


def note_start_failure(ports: ApiPorts, item: WorkItem) -> Counts:
    """Note for the user of QUEUED work that the worker which was started for it ended at once."""
    job = _job(ports, item)
    if job is None or not has_work(item, job):
        return start_or_withdraw(ports, item)
    ports.job_catalog.set_launch_error(item.job_id, STOPPED_EARLY)
    return {"start_failed": 1}


def has_work(item: WorkItem, job: Job) -> bool:
    """Whether a worker that claims this would have anything to do: the job has not ended, or this
    is its own work and it is asked for an export.
    """
    return job.status not in ENDED or (item.shard is None and job.asked_export is not None)


def has_worker_on_its_way(ports: ApiPorts, item: WorkItem) -> bool:
    """Whether one was started that may still come."""
    if item.launched_at is None:
        return False
    waited = ports.clock.now() - item.launched_at
    return waited <= timedelta(seconds=ports.settings.launch_grace_seconds)


def _withdraw(ports: ApiPorts, item: WorkItem, job: Job | None) -> bool:
    try:
        status = JobStatus.CANCELLED if job is None else job.status
        if status is JobStatus.DELETING:  # no status of work; the item goes with its job
            status = JobStatus.CANCELLED
        # Before the item, so that a crash in between leaves something to find: what the last worker
        # has returned since the job ended belongs to the accounts of its month again.
        if item.shard is not None:
            take_back(ports.budgets, item.job_id, (item.shard,))
        ports.jobs.return_rest(item.job_id)
        withdrawn = ports.work.withdraw(item.work_id, status)
    except NotFoundError:
        return False  # deleted meanwhile
    now = _job(ports, item)
    if withdrawn and now is not None and has_work(item, now):
        # Queued again since the job was read, while this item was still there to be withdrawn, or
        # asked for an export.
        queue_work(ports.queue, now)
        return False
    return withdrawn


def _job(ports: ApiPorts, item: WorkItem) -> Job | None:
    try:
        return ports.jobs.get_job(item.job_id)
    except NotFoundError:
        return None


def _stop(ports: ApiPorts, work_id: str, owner: str) -> None:
    """End what still runs of a worker. A failure is logged: the work has to go on."""
    try:
        stopped = ports.launcher.stop(owner)
    except SeedwrightError as error:
        logger.error(
            "silent worker not stopped",
            extra={"work_id": work_id, "owner": owner, "code": error.code},
        )
        count("SilentWorkersNotStopped")
        return
    if stopped:
        logger.warning("silent worker stopped", extra={"work_id": work_id, "owner": owner})
        count("SilentWorkersStopped", stopped)


def _is_hopeless(ports: ApiPorts, item: WorkItem, job: Job) -> bool:
    """Whether the workers of this job, or of this shard, die without getting anywhere. Each time
    that the job is resumed it gets as many tries again.
    """
    progress = _progress(ports, item, job)
    finished = progress.ended + progress.checks.tries
    return ports.work.note_loss(item, finished=finished) % ports.settings.max_losses == 0


def _progress(ports: ApiPorts, item: WorkItem, job: Job) -> Progress:
    sharding = job.config.sharding
    if item.shard is None or sharding is None:
        return job.progress
    shards = ports.queue.shards_of(job.job_id, sharding.count)
    found = (each.progress for each in shards if each.shard == item.shard)
    return next(found, Progress())


def _give_up(ports: ApiPorts, item: WorkItem, job: Job) -> None:
    times = ports.settings.max_losses
    if job.asked_export is not None:
        _give_up_export(ports, job, job.asked_export)
        return
    error = WorkersLostError(
        f"the worker died {times} times in a row without saving a record: out of memory, perhaps."
        " Use smaller seeds or prompts, and resume the job to try again"
    )
    logger.error(JOB_GIVEN_UP, extra={"job_id": job.job_id, "losses": times})
    told = JobError(message=str(error), code=error.code)
    if item.shard is not None:  # the others go on; the job fails when they have ended
        ports.work.withdraw(item.work_id, JobStatus.FAILED, error=told, run=job.run)
        advance(ports.queue, job)
        return
    try:
        ports.jobs.set_status(job.job_id, JobStatus.FAILED, fence=None, error=told)
    except ConflictError:
        logger.info("job has ended by itself", extra={"job_id": job.job_id})


def _give_up_export(ports: ApiPorts, job: Job, asked: RequestedExport) -> None:
    """End an export whose workers die. The job stays as it is."""
    error = WorkersLostError(
        f"the worker died {ports.settings.max_losses} times in a row while it exported: out of"
        " memory, perhaps. Ask for fewer formats, or download the records"
    )
    logger.error(JOB_GIVEN_UP, extra={"job_id": job.job_id, "losses": ports.settings.max_losses})
    failed = asked.failed(message=str(error), code=error.code, now=ports.clock.now())
    try:
        ports.jobs.set_export(job.job_id, failed, fence=None)
    except ConflictError:
        logger.info("export has ended by itself", extra={"job_id": job.job_id})

"""Work that waits for a worker, as the sweeper sees it: who gets one now, and in which order.

own work, in one piece   ──▶ a worker, unless one was started not long ago
own work of a sharded job ─▶ an execution, unless one goes on
a shard                  ──▶ nothing: its job's execution starts its workers, and nobody else
of a job that has ended  ──▶ withdrawn, or a worker where it is the own work and rows are asked for
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runtime.contract.statuses import WaitingStatus
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import ENDED, Job, JobStatus
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.service.fairness import in_turn
from runtime.service.observability import log_failure
from runtime.service.recovery import (
    Counts,
    has_work,
    has_worker_on_its_way,
    start,
    start_or_withdraw,
)
from runtime.service.shards import advance


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A work item that somebody could be started for, and its job."""

    item: WorkItem
    job: Job


def list_waiting(ports: ApiPorts) -> list[WorkItem]:
    """Everything that nobody works on, the oldest first of each kind."""
    return [
        *ports.work.list_work(JobStatus.QUEUED),
        *ports.work.list_work(WaitingStatus.WAITING),
    ]


def tend(ports: ApiPorts, items: list[WorkItem], *, enough: Callable[[], bool]) -> Iterator[Counts]:
    """Start what waits, users in turn, and withdraw what has no job any more, until `enough`; what
    was done about each. What is wrong with one must not stop the others.
    """
    jobs: dict[str, Job | None] = {}
    startable: list[Waiting] = []
    for item in items:
        if enough():
            return
        try:
            job = _job(ports, item.job_id, jobs)
            if job is None or not has_work(item, job):
                yield start_or_withdraw(ports, item)
            elif item.shard is None:
                startable.append(Waiting(item=item, job=job))
        except Exception as error:  # noqa: BLE001 - see above
            yield _failed(item, error)
    for each in in_turn(startable, lambda waiting: waiting.job):
        if enough():
            return
        try:
            yield _start(ports, each)
        except Exception as error:  # noqa: BLE001 - see above
            yield _failed(each.item, error)


def oldest_wait(ports: ApiPorts, items: list[WorkItem]) -> int:
    """Seconds for which the oldest work waits in vain. Shards wait for each other, and a job for
    its shards.
    """
    queued = (
        item.queued_at
        for item in items
        if item.shard is None and item.status is JobStatus.QUEUED and item.queued_at is not None
    )
    return max((int((ports.clock.now() - at).total_seconds()) for at in queued), default=0)


def _start(ports: ApiPorts, waiting: Waiting) -> Counts:
    item, job = waiting.item, waiting.job
    if job.config.sharding is None or job.status in ENDED:
        return start_or_withdraw(ports, item, patient=True)
    ports.jobs.refresh_progress(job.job_id)  # lists read what is stored with the job
    released = {}
    if item.status is WaitingStatus.WAITING and advance(ports.queue, job).ended:
        # Whoever ended the last shard has died before it could.
        released = {"released": 1}
    if has_worker_on_its_way(ports, item):
        return released
    return {**released, **start(ports, job, item)}


def _failed(item: WorkItem, error: Exception) -> Counts:
    log_failure("work item not swept", error, work_id=item.work_id)
    return {"failed": 1}


def _job(ports: ApiPorts, job_id: str, known: dict[str, Job | None]) -> Job | None:
    """Read once in a sweep: a job may have many shards."""
    if job_id not in known:
        try:
            known[job_id] = ports.jobs.get_job(job_id)
        except NotFoundError:
            known[job_id] = None
    return known[job_id]

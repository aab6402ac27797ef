"""Every minute: work whose worker is gone without a word, work that could not be started, ends of
jobs that are to be announced, and what a request has begun to delete.

The sweeper has no memory but what `note_seen` stores, and it compares times of its own clock only.
A worker that beats is alive, whatever its clock says.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from runtime.contract.log_lines import OLDEST_QUEUED_SECONDS, QUEUE_SWEPT
from runtime.domain.jobs.job import JobStatus
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.lambdas.events.event_handler import Event, event_handler
from runtime.service.deletion import after, delete_data
from runtime.service.observability import count, log_failure, logger
from runtime.service.recovery import Counts, recover
from runtime.service.waiting import list_waiting, oldest_wait, tend

SWEEP_SECONDS: Final = 35.0
"""After how much of its minute a sweep begins nothing that takes long. S3 deletes some thousand
objects in a second."""

_COUNTS: Final = ("running", "queued", "recovered", "withdrawn", "launched", "launch_failed")


@event_handler
def lambda_handler(event: Event, ports: ApiPorts) -> Counts:  # noqa: ARG001 - the event says nothing but "now"
    """Look after every work item that is queued, running or waiting; how many there were, and what
    was done.
    """
    totals: Counter[str] = Counter(dict.fromkeys((*_COUNTS, "failed"), 0))
    enough = after(ports, SWEEP_SECONDS)
    for item in ports.work.list_work(JobStatus.RUNNING):
        totals.update(running=1, **_sweep(ports, item))
    waiting = list_waiting(ports)
    totals.update(str(item.status).lower() for item in waiting)
    # Where no zone has a machine a launch takes seconds: what there is no time for is the next
    # sweep's.
    for counts in tend(ports, waiting, enough=enough):
        totals.update(counts)
    announced = _announce(ports, enough=enough)
    totals.update(failed=int(announced is None))
    totals.update(go_on_deleting(ports, enough=enough))
    for name, value in totals.items():
        count(f"Sweep{name.title().replace('_', '')}", value)
    logger.info(
        QUEUE_SWEPT,
        extra={
            **totals,
            "announced": announced,
            OLDEST_QUEUED_SECONDS: oldest_wait(ports, waiting),
        },
    )
    return dict(totals)


def _announce(ports: ApiPorts, *, enough: Callable[[], bool]) -> int | None:
    """How many ends of jobs were announced; None: that has failed, and waits for the next sweep."""
    try:
        announced = ports.announcer.announce(enough=enough)
    except Exception as error:  # noqa: BLE001 - as in _sweep
        log_failure("ends not announced", error)
        return None
    if announced:
        count("JobsAnnounced", announced)
    return announced


def go_on_deleting(ports: ApiPorts, *, enough: Callable[[], bool]) -> Counts:
    """Jobs whose deletion was too much for the request that began it, until `enough` says stop."""
    totals: Counter[str] = Counter()
    seen: set[str] = set()
    for item in ports.work.list_work(JobStatus.DELETING):
        if item.job_id in seen:  # another shard of it
            continue
        seen.add(item.job_id)
        try:
            gone = delete_data(ports, item.job_id, enough=enough)
        except Exception as error:  # noqa: BLE001 - as in _sweep
            log_failure("job not deleted", error, work_id=item.work_id)
            totals.update(failed=1)
        else:
            totals.update({"deleted" if gone else "deleting": 1})
        if enough():
            break
    return dict(totals)


def _sweep(ports: ApiPorts, item: WorkItem) -> Counts:
    """One item. Whatever is wrong with it must not stop the others."""
    try:
        return _running(ports, item)
    except Exception as error:  # noqa: BLE001 - see above
        log_failure("work item not swept", error, work_id=item.work_id)
        return {"failed": 1}


def _running(ports: ApiPorts, item: WorkItem) -> Counts:
    seen = (item.seen_fence, item.seen_beat)
    if item.seen_at is None or seen != (item.fence, item.beat):
        ports.work.note_seen(item)
        return {}
    quiet = ports.clock.now() - item.seen_at
    if quiet < timedelta(seconds=ports.settings.lease_seconds):
        return {}
    return recover(ports, item, silent=True)

"""Deleting a job's data: some of it now, and the rest by whoever goes on.

    DELETING ──▶ objects, a page after the other ──▶ tables, the job itself last

A job may have tens of thousands of objects, and somebody waits for the request: it deletes one page
of them, which is all that most jobs have. The rest is the sweeper's: it finds the job by its work
items, which are DELETING too. Two may delete at once. A crash leaves a job whose deletion goes on;
only between the job's own mark and those of its work it has to be asked for again.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from runtime.contract.keys import job_prefix
from runtime.domain.errors import ConflictError, NotFoundError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.service_ports import ApiPorts


def after(ports: ApiPorts, seconds: float) -> Callable[[], bool]:
    """Whether that many seconds have passed since now."""
    until = ports.clock.now() + timedelta(seconds=seconds)
    return lambda: ports.clock.now() >= until


def at_once() -> bool:
    """Leave what is more than a page to the sweeper."""
    return True


def begin_deletion(ports: ApiPorts, job_id: str) -> None:
    """From here on the job is not resumed, and its deletion goes on by itself. Safe to repeat.

    Raises `ConflictError` while a worker has the work: it may still write.
    """
    if ports.jobs.get_job(job_id).status is not JobStatus.DELETING:
        _check_idle(ports, job_id)
        ports.jobs.set_status(job_id, JobStatus.DELETING, fence=None)
    # It may have been resumed, claimed and cancelled between the two lines above: then its worker
    # is about to stop. Where there is no work, an earlier deletion came that far.
    for item in ports.work.work_of(job_id):
        with suppress(NotFoundError):
            if not ports.work.begin_deletion(item.work_id):
                raise _still_stopping()


def delete_data(ports: ApiPorts, job_id: str, *, enough: Callable[[], bool]) -> bool:
    """Delete what there is of a DELETING job, and the job, until `enough` says stop; whether it is
    gone. Something is deleted in any case.
    """
    if not ports.objects.delete_all(job_prefix(job_id), enough=enough):
        return False
    ports.job_catalog.delete_job(job_id)
    return True


def _check_idle(ports: ApiPorts, job_id: str) -> None:
    if any(item.status is JobStatus.RUNNING for item in ports.work.work_of(job_id)):
        raise _still_stopping()


def _still_stopping() -> ConflictError:
    return ConflictError("the job's worker is still stopping: try again in a minute")

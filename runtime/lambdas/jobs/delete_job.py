"""DELETE /jobs/{job_id}: cancel a job that is queued or running, delete one that has ended.

    QUEUED, RUNNING ──▶ CANCELLED          what is generated stays, and may be resumed
    ended ──▶ DELETING ──▶ objects ──▶ tables, the job itself last

A crash at any point leaves a DELETING job whose deletion is asked for again.
"""

from enum import StrEnum
from http import HTTPStatus

from runtime.contract.keys import job_prefix
from runtime.domain.errors import ConflictError, NotFoundError, SeedwrightError
from runtime.domain.jobs.job import ACTIVE, Job, JobStatus, work_id_of
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.service.access import own_job
from runtime.service.observability import logger


class Action(StrEnum):
    """What a DELETE is meant to do."""

    CANCEL = "cancel"
    DELETE = "delete"


class Deletion(ApiModel):
    """Optionally, what is meant: a request that is sent twice then does nothing else the second
    time.
    """

    action: Action | None = None
    """`cancel` never deletes, `delete` never cancels; by default the job's status decides."""


@endpoint(
    body=NoBody,
    query=Deletion,
    answers={HTTPStatus.OK: JobView, HTTPStatus.ACCEPTED: JobView, HTTPStatus.NO_CONTENT: None},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def lambda_handler(call: Call[NoBody, Deletion]) -> Answer:
    """Cancel a queued or running job (200; 202 while its worker is still stopping), or delete an
    ended one with its data (204).
    """
    job, action = own_job(call), call.query.action
    if job.status in ACTIVE:
        if action is Action.DELETE:
            raise ConflictError(f"the job is {job.status}: cancel it first")
        return _cancel(call.ports, job)
    if action is Action.CANCEL:
        if job.status is not JobStatus.CANCELLED:
            raise ConflictError(f"the job is {job.status}: there is nothing to cancel")
        return Answer(body=job_view(job), status=HTTPStatus.OK)
    _delete(call.ports, job)
    return Answer(body=None, status=HTTPStatus.NO_CONTENT)


def _cancel(ports: ApiPorts, job: Job) -> Answer:
    try:
        ports.jobs.set_status(job.job_id, JobStatus.CANCELLED, fence=None)
    except ConflictError as exc:
        # It ended a moment before. Deleting it now is not what was asked for.
        raise ConflictError("the job has just ended: look at it before you delete it") from exc
    stopping = not _withdraw(ports, job.job_id)
    return Answer(
        body=job_view(ports.jobs.get_job(job.job_id)),
        status=HTTPStatus.ACCEPTED if stopping else HTTPStatus.OK,
    )


def _withdraw(ports: ApiPorts, job_id: str) -> bool:
    """Whether nobody works on the job any more."""
    work_id = work_id_of(job_id)
    try:
        return (
            ports.work.withdraw(work_id, JobStatus.CANCELLED)
            or ports.work.get_work(work_id).status is not JobStatus.RUNNING
        )
    except SeedwrightError as error:
        # The job is cancelled: whoever claims its work, or sweeps the queue, ends the item.
        logger.warning("work not withdrawn", extra={"work_id": work_id, "code": error.code})
        return False


def _delete(ports: ApiPorts, job: Job) -> None:
    _check_idle(ports, job.job_id)
    if job.status is not JobStatus.DELETING:
        ports.jobs.set_status(job.job_id, JobStatus.DELETING, fence=None)
        # It may have been resumed, claimed and cancelled between the two lines above. From here
        # on nobody resumes it, so that a worker can only be about to stop.
        _check_idle(ports, job.job_id)
    ports.objects.delete_all(job_prefix(job.job_id))
    ports.job_catalog.delete_job(job.job_id)


def _check_idle(ports: ApiPorts, job_id: str) -> None:
    """Raises `ConflictError` while a worker has the work: it may still write."""
    try:
        item = ports.work.get_work(work_id_of(job_id))
    except NotFoundError:
        return  # an earlier attempt to delete the job came this far
    if item.status is JobStatus.RUNNING:
        raise ConflictError("the job's worker is still stopping: try again in a minute")

"""DELETE /jobs/{job_id}: cancel a job that is queued or running, delete one that has ended.

QUEUED, RUNNING ──▶ CANCELLED          what is generated stays, and may be resumed
ended ──▶ DELETING ──▶ gone            what takes longer than a request is swept on
"""

from dataclasses import replace
from enum import StrEnum
from http import HTTPStatus

from runtime.domain.errors import ConflictError, SeedwrightError
from runtime.domain.jobs.job import ACTIVE, Job, JobStatus
from runtime.domain.money.slices import take_back
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.service.access import own_job
from runtime.service.deletion import at_once, begin_deletion, delete_data
from runtime.service.launching import stop_execution
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
    ended one with its data (204; 202 while the rest of it is deleted by itself).
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
    return _delete(call.ports, job)


def _cancel(ports: ApiPorts, job: Job) -> Answer:
    try:
        ports.jobs.set_status(job.job_id, JobStatus.CANCELLED, fence=None)
    except ConflictError as exc:
        # It ended a moment before. Deleting it now is not what was asked for.
        raise ConflictError("the job has just ended: look at it before you delete it") from exc
    stop_execution(ports, job)
    stopping = not _withdraw(ports, job)
    return Answer(
        body=job_view(ports.jobs.get_job(job.job_id)),
        status=HTTPStatus.ACCEPTED if stopping else HTTPStatus.OK,
    )


def _withdraw(ports: ApiPorts, job: Job) -> bool:
    """Whether nobody works on the job any more, or on a shard of it."""
    job_id, sharding = job.job_id, job.config.sharding
    try:
        if sharding is not None:
            # What shards have left whose workers died. Those that run give it back themselves.
            take_back(ports.budgets, job_id, range(sharding.count))
            ports.jobs.return_rest(job_id)
        # Each of them, whatever becomes of the ones before.
        left = [
            item.work_id
            for item in ports.work.work_of(job_id)
            if not ports.work.withdraw(item.work_id, JobStatus.CANCELLED)
            and ports.work.get_work(item.work_id).status is JobStatus.RUNNING
        ]
    except SeedwrightError as error:
        # The job is cancelled: whoever claims its work, or sweeps the queue, ends the item.
        logger.warning("work not withdrawn", extra={"job_id": job_id, "code": error.code})
        return False
    return not left


def _delete(ports: ApiPorts, job: Job) -> Answer:
    begin_deletion(ports, job.job_id)
    if delete_data(ports, job.job_id, enough=at_once):
        return Answer(body=None, status=HTTPStatus.NO_CONTENT)
    deleting = replace(job, status=JobStatus.DELETING)
    return Answer(body=job_view(deleting), status=HTTPStatus.ACCEPTED)

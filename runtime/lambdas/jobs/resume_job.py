"""POST /jobs/{job_id}/resume: queue an ended job again; everything it has generated is kept.

A budget may be raised with it. While a job is active its budget stands: a worker reads it once, at
its claim.
"""

from http import HTTPStatus
from typing import Final

from runtime.domain.errors import ConflictError, InputError, NotFoundError
from runtime.domain.jobs.job import ENDED, Job, JobStatus, work_id_of
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.fields import BudgetNano
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.service.access import own_job
from runtime.service.admission import check_active_jobs
from runtime.service.launching import start_job
from runtime.service.requeue import queue_again

RESUMABLE: Final = frozenset({JobStatus.FAILED, JobStatus.BUDGET_EXCEEDED, JobStatus.CANCELLED})


class Resumption(ApiModel):
    """How the job goes on."""

    budget_limit: BudgetNano | None = None
    """The new limit in USD, all that was spent so far included. By default the old one stands."""


@endpoint(
    body=Resumption,
    query=NoBody,
    answers={HTTPStatus.OK: JobView},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS),
)
def lambda_handler(call: Call[Resumption, NoBody]) -> JobView:
    """Go on with a failed, cancelled or budget-stopped job."""
    job, ports = own_job(call), call.ports
    if job.status in RESUMABLE:
        _check_budget(ports, job, call.body.budget_limit)
        check_active_jobs(ports, call.caller)
        if call.body.budget_limit is not None:
            ports.jobs.set_budget(job.job_id, usd_decimal(call.body.budget_limit))
    elif not _is_half_queued(ports, job):
        raise ConflictError(_reason(job))
    # Everything up to here may be repeated, and so may this.
    queue_again(ports.jobs, ports.queue, job.job_id)
    return job_view(start_job(ports, ports.jobs.get_job(job.job_id)))


def _is_half_queued(ports: ApiPorts, job: Job) -> bool:
    """Whether an earlier resumption was cut off before the work was claimable."""
    if job.status is not JobStatus.QUEUED:
        return False
    return ports.work.get_work(work_id_of(job.job_id)).status in ENDED


def _reason(job: Job) -> str:
    match job.status:
        case JobStatus.COMPLETED:
            return "the job is COMPLETED: there is nothing left to generate"
        case JobStatus.DELETING:
            return "the job is being deleted"
        case _:
            return f"the job is {job.status} already; its budget can be raised when it has ended"


def _check_budget(ports: ApiPorts, job: Job, wanted: int | None) -> None:
    """Raises `InputError` for a budget below the present one, `ConflictError` where the job would
    stop at once for the same reason as before.
    """
    if wanted is not None and wanted < job.budget_nano:
        raise InputError(
            f"budget_limit: the job has {usd(job.budget_nano)} already; a budget is only raised"
        )
    if job.status is not JobStatus.BUDGET_EXCEEDED:
        return
    # The account knows the limit that the last worker met. The job's own may have been raised by
    # an earlier attempt to resume it.
    used_up = _limit_met(ports, job)
    if max(wanted or 0, job.budget_nano) <= used_up:
        raise ConflictError(
            f"the budget of {usd(used_up)} is used up: give a larger budget_limit to go on"
        )


def _limit_met(ports: ApiPorts, job: Job) -> int:
    try:
        return ports.budgets.get_account(job.job_id).limit_nano
    except NotFoundError:
        return job.progress.cost_nano

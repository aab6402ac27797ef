"""POST /jobs/{job_id}/resume: queue an ended job again; everything it has generated is kept.

check ─▶ mark failures for a retry ─▶ number of records ─▶ timeout
─▶ budget, status and money of the month, at once 402 429 ─▶ queue ─▶ worker

Budget and number of records may be raised with it, and replies waited for longer. While a job is
active all that stands: a worker reads it once, at its claim. Each step may be repeated, so a
request that was cut off is sent again.
"""

from http import HTTPStatus
from typing import Annotated, Final

from pydantic import Field

from runtime.domain.checks.acceptance import MAX_CANDIDATES, grown_candidates
from runtime.domain.errors import ConflictError, InputError, NotFoundError
from runtime.domain.jobs.job import ENDED, Job, JobStatus, work_id_of
from runtime.domain.models.call_options import CallOptions
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.fields import BudgetNano, RecordCount
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.lambdas.option_fields import chosen, takes
from runtime.service.access import own_job
from runtime.service.admission import check_active_jobs
from runtime.service.launching import start_job
from runtime.service.month import admission_of, check_room
from runtime.service.requeue import has_work_left, queue_again
from runtime.service.retry import retry_failed

RESUMABLE: Final = frozenset(
    {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.BUDGET_EXCEEDED, JobStatus.CANCELLED}
)


@takes(CallOptions)
class Resumption(ApiModel):
    """How the job goes on. What is not named stays as it is."""

    budget_limit: BudgetNano | None = None
    """The new limit in USD, all that was spent so far included. By default the old one stands."""
    num_records: RecordCount | None = None
    """How many records the job shall have in all, which may grow: those it has stay as they are."""
    max_candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    """The most tries in all, which may grow, of a job whose template has checks."""
    retry_failed: bool = False
    """Whether records that failed for a reason of their own are tried again, too. Those that the
    service failed always are.
    """


@endpoint(
    body=Resumption,
    query=NoBody,
    answers={HTTPStatus.OK: JobView},
    errors=(
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
)
def lambda_handler(call: Call[Resumption, NoBody]) -> JobView:
    """Go on with a failed, cancelled or budget-stopped job, or with a complete one that has records
    to try again or to add.
    """
    job, ports, wanted = own_job(call), call.ports, call.body.budget_limit
    if job.status in RESUMABLE:
        _check(ports, job, call.body)
        check_active_jobs(ports, call.caller)
        check_room(ports, job, limit_nano=job.budget_nano if wanted is None else wanted)
        _change(ports, job, call.body)
    elif not _is_half_queued(ports, job):
        raise ConflictError(_reason(job))
    # Everything up to here may be repeated, and so may this.
    queue_again(
        ports.jobs,
        ports.queue,
        job.job_id,
        admission=admission_of(ports),
        budget_limit=None if wanted is None else usd_decimal(wanted),
    )
    return job_view(start_job(ports, ports.jobs.get_job(job.job_id)))


def _is_half_queued(ports: ApiPorts, job: Job) -> bool:
    """Whether an earlier resumption was cut off before the work was claimable."""
    if job.status is not JobStatus.QUEUED:
        return False
    return ports.work.get_work(work_id_of(job.job_id)).status in ENDED


def _reason(job: Job) -> str:
    match job.status:
        case JobStatus.DELETING:
            return "the job is being deleted"
        case _:
            return f"the job is {job.status} already; it can be changed when it has ended"


def _check(ports: ApiPorts, job: Job, body: Resumption) -> None:
    """Raises `InputError` for what can't be, `ConflictError` where there is nothing to do."""
    _check_budget(ports, job, body.budget_limit)
    has = job.config.num_records
    wanted = has if body.num_records is None else body.num_records
    if wanted < has:
        raise InputError(
            f"num_records: the job has {has} already; a number of records is only raised"
        )
    grown_candidates(
        job.config.acceptance.max_candidates,
        before=has,
        num_records=wanted,
        asked=body.max_candidates,
    )
    failed = job.progress.failed_records
    retried = body.retry_failed and failed > 0
    if job.status is JobStatus.COMPLETED and not (
        wanted > has or retried or _has_more_tries(job, body) or has_work_left(job)
    ):
        raise ConflictError(
            "the job is COMPLETED and there is nothing left to generate: give a larger num_records"
            + (f", or retry_failed for its {failed} failed records" if failed else "")
        )


def _has_more_tries(job: Job, body: Resumption) -> bool:
    more = (body.max_candidates or 0) > (job.config.acceptance.max_candidates or 0)
    return more and job.accepted < job.config.num_records


def _change(ports: ApiPorts, job: Job, body: Resumption) -> None:
    """What is asked for, in an order in which a crash after each step leaves work to resume."""
    if body.retry_failed:
        retry_failed(ports.objects, job.job_id)
    if body.num_records is not None or body.max_candidates is not None:
        ports.jobs.set_num_records(
            job.job_id,
            body.num_records or job.config.num_records,
            max_candidates=body.max_candidates,
        )
    if (seconds := chosen(body, CallOptions).call_timeout) is not None:
        ports.jobs.set_call_timeout(job.job_id, seconds)


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

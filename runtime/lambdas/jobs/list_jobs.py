"""GET /jobs."""

from http import HTTPStatus
from typing import Final

from runtime.domain.jobs.job import JobStatus
from runtime.lambdas.cursor import PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view

_OPERATION: Final = "list_jobs"


class JobFilter(PageQuery):
    """Which jobs, and which page of them."""

    status: JobStatus | None = None
    """Only jobs that are this now."""


class JobPage(ApiModel):
    """Jobs, newest first. A page may be short and still have a next one."""

    jobs: list[JobView]
    next_cursor: str | None
    """null: this was the last page."""


@endpoint(body=NoBody, query=JobFilter, answers={HTTPStatus.OK: JobPage})
def lambda_handler(call: Call[NoBody, JobFilter]) -> JobPage:
    """List your jobs, newest first."""
    after = decode_cursor(call.query.cursor, operation=_OPERATION, caller=call.caller)
    page = call.ports.job_catalog.list_jobs(
        call.caller, limit=call.query.limit, after=after, status=call.query.status
    )
    return JobPage(
        jobs=[job_view(job) for job in page.items],
        next_cursor=encode_cursor(page.next, operation=_OPERATION, caller=call.caller),
    )

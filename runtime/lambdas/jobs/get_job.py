"""GET /jobs/{job_id}."""

from http import HTTPStatus

from runtime.lambdas.http import Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.service.access import own_job


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.OK: JobView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, NoBody]) -> JobView:
    """Show a job of yours."""
    return job_view(own_job(call))

"""GET /jobs/{job_id}."""

from http import HTTPStatus

from runtime.lambdas.http import Call, Nothing, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.service.access import own_job


@endpoint(
    body=Nothing,
    query=Nothing,
    answers={HTTPStatus.OK: JobView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[Nothing, Nothing]) -> JobView:
    """Show a job of yours."""
    return job_view(own_job(call))

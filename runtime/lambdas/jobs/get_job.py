"""GET /jobs/{job_id}."""

from http import HTTPStatus

from runtime.lambdas.http import Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobInShardsView, job_in_shards_view
from runtime.service.access import own_job


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.OK: JobInShardsView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, NoBody]) -> JobInShardsView:
    """Show a job of yours."""
    return job_in_shards_view(own_job(call), call.ports.queue)

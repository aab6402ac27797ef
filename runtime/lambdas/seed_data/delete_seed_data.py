"""DELETE /seed-data/{seed_id}: an uploaded file is gone, in all its versions."""

from http import HTTPStatus

from runtime.contract.keys import seed_prefix
from runtime.domain.errors import ConflictError, NotFoundError
from runtime.lambdas.http import Call, NoBody, endpoint
from runtime.service.seed_quota import release_upload


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.NO_CONTENT: None},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def lambda_handler(call: Call[NoBody, NoBody]) -> None:
    """Delete a seed file of yours. Jobs that have ended and used it keep their datasets, and can't
    go on; while one is queued or running, it is refused.
    """
    seed_id, ports = call.path["seed_id"], call.ports
    prefix = f"{seed_prefix(call.caller)}{seed_id}/"
    if next(iter(ports.objects.list_versions(prefix)), None) is None:
        raise NotFoundError(f"no seed data {seed_id}")
    for job in ports.job_catalog.list_active(call.caller):
        if (job.config.seed_data_path or "").startswith(prefix):
            raise ConflictError(
                f"job {job.job_id} draws from these seeds: cancel it, or wait until it has ended"
            )
    ports.objects.delete_all(prefix)
    release_upload(ports, call.caller, seed_id)

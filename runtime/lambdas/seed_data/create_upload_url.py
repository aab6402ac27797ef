"""POST /seed-data/upload-url: where to send a seed file, which goes past the API."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from runtime.contract.keys import seed_prefix
from runtime.domain.seeds.path import check_file_name
from runtime.domain.seeds.seeds import MAX_SEED_BYTES, check_upload_size
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.service.seed_quota import reserve_upload


class UploadRequest(ApiModel):
    """The file to upload."""

    filename: str
    """Its suffix says what it is: .json, .jsonl, .ndjson, .csv or .parquet."""
    size: Annotated[int, Field(ge=1, le=MAX_SEED_BYTES)] | None = None
    """Its bytes. They are reserved of your quota; without it, all that is left, up to the most that
    a file may have: 4 GiB, of Parquet 1 GiB.
    """


class Upload(ApiModel):
    """A multipart form: post `fields`, then the file as `file`, to `url`."""

    s3_key: str
    """Names the file afterwards, in jobs and checks."""
    url: str
    fields: Mapping[str, str]
    max_bytes: int
    """What the file may have: the size that was given, where one was."""
    expires_in: int
    """Seconds until the form is refused."""


@endpoint(
    body=UploadRequest,
    query=NoBody,
    answers={HTTPStatus.CREATED: Upload},
    errors=(HTTPStatus.CONFLICT,),
)
def lambda_handler(call: Call[UploadRequest, NoBody]) -> Upload:
    """Get a form that uploads one seed file of yours."""
    name, ports = check_file_name(call.body.filename), call.ports
    most = check_upload_size(call.body.size, name)
    # A key of its own for every upload: jobs that use an earlier file of this name keep it.
    upload_id = ports.new_id()
    key = f"{seed_prefix(call.caller)}{upload_id}/{name}"
    seconds = ports.settings.upload_seconds
    max_bytes = reserve_upload(ports, call.caller, upload_id, size=call.body.size, most=most)
    form = ports.links.upload_form(key, max_bytes=max_bytes, seconds=seconds)
    return Upload(
        s3_key=key,
        url=form.url,
        fields=form.fields,
        max_bytes=max_bytes,
        expires_in=seconds,
    )

"""Rows of an ended job of the API in another shape."""

from typing import Any

from runtime.client.http import ApiClient
from runtime.client.jobs import Job, find_job_id, job_path
from runtime.domain.errors import InputError, UnclearOutputError
from runtime.domain.jobs.delivery import parse_formats
from runtime.domain.templates.document import document_of
from runtime.export.row_request import NONE, RowRequest, read_shares, read_texts


def export_job(api: ApiClient, job_id: str, request: RowRequest) -> Job:
    """Let the API make rows of what a job has; the job, whose `export` says how that goes. A
    request that is sent again is answered as the first. Raises `NotFoundError`, `ConflictError`
    for a job that has not ended, has no records or is being exported, `InputError`,
    `UnclearOutputError` for a shape whose fields don't follow from the template.
    """
    path, body = f"{job_path(find_job_id(api, job_id))}/export", _body(request)
    try:
        return Job.of(api.post(path, body))
    except InputError as error:
        block = _block(error) if "shape" in body else None
        if block is None:
            raise
        raise UnclearOutputError(str(error), block=block) from error


def _block(error: InputError) -> str | None:
    """The `output:` to fill in: it has several lines, what is wrong with an output has one."""
    if len(error.problems) != 1:
        return None
    ((place, told),) = error.problems
    return told if place == "output" and "\n" in told else None


def _body(request: RowRequest) -> dict[str, Any]:
    formats = request.formats
    names = [formats] if isinstance(formats, str) else formats
    split: object = request.split
    if request.split is not None and request.split != NONE:
        split = read_shares(request.split)
    body = {
        "shape": request.shape,
        "template": None if request.template is None else document_of(request.template),
        "split": split,
        "split_by": request.split_by,
        "formats": None if names is None else [str(each) for each in parse_formats([*names])],
        "byte_order_mark": request.byte_order_mark,
        "keep": read_texts("keep", request.keep) or None,
        "licence": request.licence,
    }
    return {name: value for name, value in body.items() if value is not None}

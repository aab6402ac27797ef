"""POST /jobs/{job_id}/export: rows of an ended job in another shape, made of what is there.

check ─▶ what is asked for, among the job's objects ─▶ job and its own work, at once ─▶ worker

No model is called, nothing is paid, and status and records of the job stay. While rows are exported
another request is refused; the same one, sent again, is answered as the first.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from runtime.contract.keys import batches_prefix
from runtime.domain.errors import ConflictError, InputError, UnclearOutputError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import ACTIVE, Job, JobStatus
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.service_ports import ApiPorts
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import Template
from runtime.engine.plan import Templates
from runtime.export.row_orders import RowOrder, load_row_configurations, save_order
from runtime.export.row_request import (
    NONE,
    RowRequest,
    read_configuration,
    read_licence,
    remembered,
    split_text,
)
from runtime.lambdas.fields import Uuid
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.lambdas.templates.template_view import Version
from runtime.service.access import find_version, own_job
from runtime.service.launching import start_job

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class ExportOrder(ApiModel):
    """Which rows. What is not named is as the template says, and empty means the template's own
    rows once more.
    """

    shape: Annotated[str, Field(max_length=64)] | None = None
    """messages, prompt_completion, preference, … : where its fields don't follow from the template,
    the answer has the output to fill in and to give with a template."""
    template_id: Uuid | None = None
    """A template with the same steps, whose output and split are used."""
    template_version: Version | None = None
    """The latest one by default."""
    template: Mapping[str, Any] | None = None
    """Such a template itself, in place of an id."""
    split: Mapping[_Name, float] | Literal["none"] | None = None
    """Shares by name, such as test: 0.1; the rest is train."""
    split_by: _Name | None = None
    """A seed field whose values stay in one split, such as seed.source."""
    formats: list[OutputFormat] | None = None
    """Besides Parquet."""
    byte_order_mark: bool | None = None
    """CSV begins with one, by which spreadsheets know UTF-8."""
    keep: Annotated[list[_Name], Field(max_length=100)] | None = None
    """Seed fields to carry along, such as label, source.title, record.id."""
    licence: Annotated[str, Field(max_length=64)] | None = None
    """For the card, such as cc-by-4.0; it stays until another one is given."""

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if self.template is not None and self.template_id is not None:
            raise ValueError("give either template or template_id")
        if self.template_version is not None and self.template_id is None:
            raise ValueError("a template_version needs a template_id")
        return self


@endpoint(
    body=ExportOrder,
    query=NoBody,
    answers={HTTPStatus.ACCEPTED: JobView},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def lambda_handler(call: Call[ExportOrder, NoBody]) -> Answer:
    """Let rows be made in another shape, beside those that there are; `export` of the job says how
    that goes.
    """
    job, ports = own_job(call), call.ports
    _check(ports, job)
    order = _read(call, job)
    name = save_order(ports.objects, job.job_id, order)
    if not _is_asked(job, name):
        try:
            ports.jobs.queue_export(
                job.job_id,
                RequestedExport(
                    number=1 + (0 if job.export is None else job.export.number),
                    request=name,
                    folder=order.rows.folder,
                    requested_at=ports.clock.now(),
                ),
            )
        except ConflictError:
            # The same request may have come twice at the same moment.
            if not _is_asked(ports.jobs.get_job(job.job_id), name):
                raise
        else:
            job = start_job(ports, ports.jobs.get_job(job.job_id))
    return Answer(body=job_view(job), status=HTTPStatus.ACCEPTED)


def _check(ports: ApiPorts, job: Job) -> None:
    if job.status is JobStatus.DELETING:
        raise ConflictError("the job is being deleted")
    if job.status in ACTIVE:
        raise ConflictError(f"the job is {job.status}: its rows can be exported when it has ended")
    # The counters of a job that was cancelled may be behind what its worker has saved.
    if not job.progress.records_generated and not _has_batches(ports, job):
        raise ConflictError("the job has no records to make rows of")


def _has_batches(ports: ApiPorts, job: Job) -> bool:
    return bool(ports.objects.list_page(batches_prefix(job.job_id), limit=1).items)


def _is_asked(job: Job, name: str) -> bool:
    """Whether these very rows are being exported. Raises `ConflictError` where others are."""
    if job.asked_export is None:
        return False
    if job.asked_export.request != name:
        raise ConflictError("rows of this job are being exported: ask again when that has ended")
    return True


def _read(call: Call[ExportOrder, NoBody], job: Job) -> RowOrder:
    """What is asked for. Raises `InputError`, `TemplateError`, `TemplateNotFoundError`."""
    body, ports = call.body, call.ports
    licence = read_licence(body.licence)
    request = RowRequest(
        shape=body.shape,
        template=_template(call),
        split=NONE if body.split == {} else split_text(body.split),
        split_by=body.split_by,
        formats=None if body.formats is None else [str(each) for each in body.formats],
        byte_order_mark=body.byte_order_mark,
        keep=body.keep or (),
    )
    stored = Templates(ports.templates).load_template(job)
    known = load_row_configurations(ports.objects, job.job_id)
    before = remembered(body.shape, stored, known)
    if before is not None and licence is not None and request.says_nothing:
        return RowOrder(rows=before, licence=licence)
    try:
        rows = read_configuration(request, stored, stored, before=before)
    except UnclearOutputError as error:
        raise InputError(str(error), problems=[("output", error.block)]) from error
    return RowOrder(rows=rows, licence=licence)


def _template(call: Call[ExportOrder, NoBody]) -> Template | None:
    body, ports = call.body, call.ports
    if body.template is not None:
        return parse_template(dict(body.template))
    if body.template_id is None:
        return None
    _, ref = find_version(ports, call.caller, body.template_id, body.template_version)
    return ports.templates.load_template(ref)

"""Whose is what: the only places where an operation gets hold of a job, a template or a seed file.

What another user owns answers as what does not exist, to the letter.
"""

from typing import Any

from runtime.domain.errors import ForbiddenError, NotFoundError, TemplateNotFoundError
from runtime.domain.jobs.job import Job, TemplateRef
from runtime.domain.service_ports import ApiPorts, TemplateHead
from runtime.domain.templates.template import Template
from runtime.lambdas.http import Call

AnyCall = Call[Any, Any]


def own_job(call: AnyCall) -> Job:
    """The caller's job that the path names. Raises `NotFoundError`."""
    job_id = call.path["job_id"]
    missing = NotFoundError(f"no job {job_id}: check the id")
    try:
        job = call.ports.jobs.get_job(job_id)
    except NotFoundError as exc:
        raise missing from exc
    if job.user_id != call.caller:
        raise missing
    return job


def own_template(call: AnyCall) -> TemplateHead:
    """The caller's template that the path names, to be changed. Raises `TemplateNotFoundError`,
    or `ForbiddenError` for a public one of somebody else.
    """
    head = readable_template(call)
    if head.user_id != call.caller:
        raise ForbiddenError(
            f"template {head.template_id} belongs to somebody else: fork it to change it"
        )
    return head


def readable_template(call: AnyCall) -> TemplateHead:
    """The template that the path names, the caller's own or a public one. Raises
    `TemplateNotFoundError`.
    """
    return find_template(call.ports, call.caller, call.path["template_id"])


def readable_version(
    call: AnyCall, version: int | None
) -> tuple[TemplateHead, TemplateRef, Template]:
    """One version of the template that the path names, the latest by default. Raises
    `TemplateNotFoundError`.
    """
    head = readable_template(call)
    ref = head.at(version)
    return head, ref, call.ports.templates.load_template(ref)


def find_template(ports: ApiPorts, caller: str, template_id: str) -> TemplateHead:
    """The caller's own or a public template. Raises `TemplateNotFoundError`."""
    missing = TemplateNotFoundError(f"no template {template_id}: check the id")
    try:
        head = ports.template_directory.get_head(template_id)
    except TemplateNotFoundError as exc:
        raise missing from exc
    if head.user_id != caller and not head.public:
        raise missing
    return head

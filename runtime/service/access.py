"""Whose is what: the only places where an operation gets hold of a job, a template or a seed file.

What another user owns answers as what does not exist, to the letter.
"""

from collections.abc import Mapping
from typing import Protocol

from runtime.domain.errors import ForbiddenError, NotFoundError, TemplateNotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.service_ports import ApiPorts
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.template import Template, TemplateRef


class Request(Protocol):
    """What is looked at of a request: who asks, which resource the path names, and the ports."""

    @property
    def caller(self) -> str: ...

    @property
    def path(self) -> Mapping[str, str]: ...

    @property
    def ports(self) -> ApiPorts: ...


def own_job(request: Request) -> Job:
    """The caller's job that the path names. Raises `NotFoundError`."""
    job_id = request.path["job_id"]
    missing = NotFoundError(f"no job {job_id}: check the id")
    try:
        job = request.ports.jobs.get_job(job_id)
    except NotFoundError as exc:
        raise missing from exc
    if job.user_id != request.caller:
        raise missing
    return job


def own_template(request: Request) -> TemplateHead:
    """The caller's template that the path names, to be changed. Raises `TemplateNotFoundError`,
    or `ForbiddenError` for a public one of somebody else.
    """
    head = readable_template(request)
    if head.user_id != request.caller:
        raise ForbiddenError(
            f"template {head.template_id} belongs to somebody else: fork it to change it"
        )
    return head


def readable_template(request: Request) -> TemplateHead:
    """The template that the path names, the caller's own or a public one. Raises
    `TemplateNotFoundError`.
    """
    return find_template(request.ports, request.caller, request.path["template_id"])


def readable_version(
    request: Request, version: int | None
) -> tuple[TemplateHead, TemplateRef, Template]:
    """One version of the template that the path names, the latest by default. Raises
    `TemplateNotFoundError`.
    """
    template_id = request.path["template_id"]
    head, ref = find_version(request.ports, request.caller, template_id, version)
    return head, ref, request.ports.templates.load_template(ref)


def find_version(
    ports: ApiPorts, caller: str, template_id: str, version: int | None
) -> tuple[TemplateHead, TemplateRef]:
    """A version of the caller's own template, or one that was published of a public template; the
    latest by default. Raises `TemplateNotFoundError`.
    """
    head = find_template(ports, caller, template_id)
    ref = head.at(version)
    # The latest version of a public template is published.
    if head.user_id != caller and ref != head.latest:
        missing = TemplateNotFoundError(
            f"template {template_id} has no version {version}: the latest is {head.latest_version}"
        )
        try:
            published = ports.template_catalog.is_published(ref)
        except TemplateNotFoundError as exc:
            raise missing from exc
        if not published:
            raise missing
    return head, ref


def find_template(ports: ApiPorts, caller: str, template_id: str) -> TemplateHead:
    """The caller's own or a public template. Raises `TemplateNotFoundError`."""
    missing = TemplateNotFoundError(f"no template {template_id}: check the id")
    try:
        head = ports.template_catalog.get_head(template_id)
    except TemplateNotFoundError as exc:
        raise missing from exc
    if head.user_id != caller and not head.public:
        raise missing
    return head

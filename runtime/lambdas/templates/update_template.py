"""PUT /templates/{template_id}: the next version.

Two writers at the same time both read version N. One stores N+1, and the other one's conditional
write fails. Whoever names the version their change is based on learns that it is no longer the
latest; without that their document goes on top, as if they had come a moment later.
"""

from contextlib import suppress
from http import HTTPStatus
from typing import Final

from runtime.domain.errors import ConflictError
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.template import Template
from runtime.lambdas.http import Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import (
    TemplateDocument,
    TemplateView,
    Version,
    document_in,
    view_of,
)
from runtime.lambdas.templates.writing import checked
from runtime.service.access import own_template

MAX_ATTEMPTS: Final = 5


class ChangedTemplate(TemplateDocument):
    """The whole document of the next version."""

    public: bool | None = None
    """Whether everybody may read, use, include and fork it; unchanged by default."""
    based_on_version: Version | None = None
    """The version that was changed: when it isn't the latest any more, nothing is stored (409)."""


@endpoint(
    body=ChangedTemplate,
    query=NoBody,
    answers={HTTPStatus.OK: TemplateView},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def lambda_handler(call: Call[ChangedTemplate, NoBody]) -> TemplateView:
    """Store a new version of a template of yours. Jobs keep the version they began with."""
    head = _current(call)
    template = checked(call.ports, call.caller, document_in(call.body), head=head)
    stored = _store(call, head, template)
    return view_of(stored, template, version=stored.latest_version, caller=call.caller)


def _store(
    call: Call[ChangedTemplate, NoBody], head: TemplateHead, template: Template
) -> TemplateHead:
    """Store the version after the latest one. Raises `ConflictError`."""
    for _ in range(MAX_ATTEMPTS):
        public = head.public if call.body.public is None else call.body.public
        with suppress(ConflictError):
            return call.ports.template_catalog.update(head, template, public=public)
        head = _current(call)
    raise ConflictError(f"template {head.template_id} is being changed by others: try again")


def _current(call: Call[ChangedTemplate, NoBody]) -> TemplateHead:
    """The template as it stands. Raises `ConflictError` when the change is based on another
    version.
    """
    head = own_template(call)
    based_on = call.body.based_on_version
    if based_on not in (None, head.latest_version):
        raise ConflictError(
            f"the latest version is {head.latest_version}, not {based_on}: read it, and change that"
        )
    return head

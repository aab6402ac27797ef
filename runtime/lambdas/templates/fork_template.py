"""POST /templates/{template_id}/fork."""

from http import HTTPStatus

from runtime.domain.templates.document import document_of
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import TemplateView, Version
from runtime.lambdas.templates.writing import create
from runtime.service.access import readable_version


class Fork(ApiModel):
    """What to copy, and what to call it."""

    name: str | None = None
    """The same name by default."""
    version: Version | None = None
    """The latest one by default."""


@endpoint(
    body=Fork,
    query=NoBody,
    answers={HTTPStatus.CREATED: TemplateView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[Fork, NoBody]) -> Answer:
    """Copy a template of yours or a public one to a new, private one of yours."""
    _, _, template = readable_version(call, call.body.version)
    document = document_of(template)
    if call.body.name is not None:
        document["name"] = call.body.name
    return create(call.ports, call.caller, document, public=False, pins=template.pins)

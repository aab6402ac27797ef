"""GET /templates/{template_id}."""

from http import HTTPStatus

from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import TemplateView, Version, view_of
from runtime.service.access import readable_version


class VersionQuery(ApiModel):
    """Which version."""

    version: Version | None = None
    """The latest one by default."""


@endpoint(
    body=NoBody,
    query=VersionQuery,
    answers={HTTPStatus.OK: TemplateView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, VersionQuery]) -> TemplateView:
    """Show a template of yours or a public one."""
    head, ref, template = readable_version(call, call.query.version)
    return view_of(head, template, version=ref.version, caller=call.caller)

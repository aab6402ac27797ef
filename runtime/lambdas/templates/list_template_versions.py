"""GET /templates/{template_id}/versions."""

from http import HTTPStatus

from runtime.lambdas.cursor import PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.fields import Timestamp
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.service.access import readable_template


class TemplateVersionSummary(ApiModel):
    """One immutable version."""

    version: int
    name: str
    """What the template was called in this version."""
    created_at: Timestamp


class VersionPage(ApiModel):
    """Versions, newest first. A page may be short and still have a next one."""

    versions: list[TemplateVersionSummary]
    next_cursor: str | None
    """null: this was the last page."""


@endpoint(
    body=NoBody,
    query=PageQuery,
    answers={HTTPStatus.OK: VersionPage},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, PageQuery]) -> VersionPage:
    """List the versions of a template of yours, or the published ones of a public template, newest
    first.
    """
    head = readable_template(call)
    # A position belongs to one template: in another one's list it would point anywhere.
    operation = f"list_template_versions {head.template_id}"
    page = call.ports.template_catalog.list_versions(
        head.template_id,
        limit=call.query.limit,
        after=decode_cursor(call.query.cursor, operation=operation, caller=call.caller),
    )
    return VersionPage(
        versions=[
            TemplateVersionSummary(version=each.version, name=each.name, created_at=each.created_at)
            for each in page.items
            if head.user_id == call.caller or each.published or each.version == head.latest_version
        ],
        next_cursor=encode_cursor(page.next, operation=operation, caller=call.caller),
    )

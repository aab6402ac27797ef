"""GET /templates."""

from http import HTTPStatus
from typing import Final

from runtime.lambdas.cursor import PageQuery, decode_cursor, encode_cursor
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import TemplateSummary, summary_of

_OWN: Final = "list_templates"
_PUBLIC: Final = "list_templates public"


class TemplateFilter(PageQuery):
    """Whose templates, and which page of them."""

    public: bool = False
    """true: everybody's public templates, in place of your own."""


class TemplatePage(ApiModel):
    """Templates, newest first. A page may be short and still have a next one."""

    templates: list[TemplateSummary]
    next_cursor: str | None
    """null: this was the last page."""


@endpoint(body=NoBody, query=TemplateFilter, answers={HTTPStatus.OK: TemplatePage})
def lambda_handler(call: Call[NoBody, TemplateFilter]) -> TemplatePage:
    """List your templates, or the public ones, newest first."""
    catalog, query, caller = call.ports.template_catalog, call.query, call.caller
    operation = _PUBLIC if query.public else _OWN
    after = decode_cursor(query.cursor, operation=operation, caller=caller)
    if query.public:
        page = catalog.list_public(limit=query.limit, after=after)
    else:
        page = catalog.list_own(caller, limit=query.limit, after=after)
    return TemplatePage(
        templates=[summary_of(head, caller) for head in page.items],
        next_cursor=encode_cursor(page.next, operation=operation, caller=caller),
    )

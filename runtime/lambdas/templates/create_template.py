"""POST /templates."""

from http import HTTPStatus

from runtime.lambdas.http import Answer, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import TemplateDocument, TemplateView, document_in
from runtime.lambdas.templates.writing import create


class NewTemplate(TemplateDocument):
    """A template, and who may see it."""

    public: bool = False
    """Whether everybody may read, use, include and fork it."""


@endpoint(
    body=NewTemplate,
    query=NoBody,
    answers={HTTPStatus.CREATED: TemplateView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NewTemplate, NoBody]) -> Answer:
    """Create a template. What it includes has to exist, and its models to have a price."""
    return create(call.ports, call.caller, document_in(call.body), public=call.body.public)

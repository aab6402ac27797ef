"""POST /templates/import."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

from pydantic import model_validator

from runtime.domain.templates.text import parse_text
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import TemplateView
from runtime.lambdas.templates.writing import create


class TemplateFile(ApiModel):
    """A template file: its text, or the document that the text stands for."""

    document: Mapping[str, Any] | None = None
    text: str | None = None
    """YAML or JSON, as `GET /templates/{template_id}/export` gives it."""
    public: bool = False
    """Whether everybody may read, use, include and fork it."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.document is None) == (self.text is None):
            raise ValueError("give either document or text")
        return self


@endpoint(
    body=TemplateFile,
    query=NoBody,
    answers={HTTPStatus.CREATED: TemplateView},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[TemplateFile, NoBody]) -> Answer:
    """Create a template from a file, with the same checks as any other."""
    body = call.body
    document = body.document if body.text is None else parse_text(body.text)
    return create(call.ports, call.caller, document, public=body.public)

"""GET /templates/{template_id}/export."""

import re
from http import HTTPStatus
from typing import Final, Literal

import orjson

from runtime.domain.templates.document import document_of
from runtime.domain.templates.text import render_yaml
from runtime.lambdas.http import Answer, Call, NoBody, endpoint
from runtime.lambdas.templates.get_template import VersionQuery
from runtime.lambdas.templates.template_view import TemplateDocument
from runtime.service.access import readable_version

JSON: Final = "application/json"
YAML: Final = "application/yaml"
"""RFC 9512."""

_MAX_NAME_CHARACTERS: Final = 80
_NOT_IN_FILE_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


class ExportQuery(VersionQuery):
    """Which version, and how it is written."""

    format: Literal["yaml", "json"] | None = None
    """Goes before the Accept header; JSON where neither says."""


@endpoint(
    body=NoBody,
    query=ExportQuery,
    answers={HTTPStatus.OK: TemplateDocument},
    errors=(HTTPStatus.NOT_FOUND,),
    request_headers={"Accept": f"{YAML} or {JSON}"},
    media_types=(YAML,),
)
def lambda_handler(call: Call[NoBody, ExportQuery]) -> Answer:
    """Download a template as a file. What is imported from it is the same template."""
    _, _, template = readable_version(call, call.query.version)
    document = document_of(template)
    written = call.query.format or ("yaml" if "yaml" in call.headers.get("accept", "") else "json")
    if written == "yaml":
        text, content_type = render_yaml(document), f"{YAML}; charset=utf-8"
    else:
        text, content_type = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(), JSON
    return Answer(
        body=text,
        status=HTTPStatus.OK,
        headers={
            "content-type": content_type,
            "content-disposition": f'attachment; filename="{_file_name(template.name)}.{written}"',
        },
    )


def _file_name(name: str) -> str:
    """ASCII that every file system takes, from a name that may be anything."""
    return _NOT_IN_FILE_NAMES.sub("-", name).strip("-.")[:_MAX_NAME_CHARACTERS] or "template"

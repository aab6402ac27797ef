"""A template as the text that every table of templates holds."""

import json
from typing import Final

from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.template import Template

MAX_STORED_BYTES: Final = 380_000
"""A DynamoDB item takes 400 KB, with its keys and other attributes. A laptop keeps to it, too, so
that every template of one can move to AWS.
"""


def stored_text(template: Template) -> str:
    """JSON, with the fragments. Raises `TemplateError` when it is too large to be stored."""
    text = json.dumps(document_of(template), ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > MAX_STORED_BYTES:
        raise TemplateError(
            f"the template has {size} bytes with its fragments;"
            f" at most {MAX_STORED_BYTES} can be stored"
        )
    return text


def parse_stored(text: str) -> Template:
    """Inverse of `stored_text`. Raises `TemplateError`."""
    return parse_template(json.loads(text))

"""What the render child is told of a template: sources, fragments, schemas and checks of texts."""

from collections.abc import Mapping

import orjson

from runtime.domain.errors import TemplateError
from runtime.domain.templates.judging import sources_of
from runtime.domain.templates.output_schema import is_plain
from runtime.domain.templates.template import WHEN, Template


def schemas_of(template: Template) -> dict[str, Mapping[str, object]]:
    """The schemas that are checked in the child, by step."""
    return {
        step.id: step.output_schema
        for step in template.steps
        if step.output_schema is not None and not is_plain(step.output_schema)
    }


def template_body(template: Template) -> bytes:
    """The body of a frame that loads a template. Raises `TemplateError` for includes that are not
    resolved.
    """
    missing = [name for name in template.includes if name not in template.fragments]
    if missing:
        raise TemplateError(f'include "{missing[0]}" is not resolved: resolve the includes first')
    sources = {
        f"{step.id}/{part}": source for step in template.steps for part, source in step.sources()
    }
    sources |= {
        f"{step.id}/{WHEN}": step.condition for step in template.steps if step.condition is not None
    }
    # No step has the id of a check, and neither's id is a number.
    sources |= {
        f"{check.id}/{part}": source
        for check in template.checks.of_record
        for part, source in sources_of(check)
    }
    sources |= {
        f"{number}/output": text.source for number, text in enumerate(template.output.rendered())
    }
    checks = {each.id: (each.kind, each.argument) for each in template.checks.texts}
    return orjson.dumps(
        {
            "sources": sources,
            "fragments": dict(template.fragments),
            "schemas": schemas_of(template),
            **({"checks": checks} if checks else {}),
        }
    )

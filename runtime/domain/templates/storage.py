"""A template as the text that every table of templates holds.

    {"name": …, "steps": […], …, "stored": {"format": 1, "declared": …, "includes": […], "pins": …}}

A template is checked before it is stored. What `stored` says besides the document was found out
then, and is not found out again whenever the template is read.
"""

import json
from typing import Any, Final

from runtime.domain.checks.reading import stored_checks
from runtime.domain.errors import TemplateError
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.reading import stored_output
from runtime.domain.outputs.shape import Shape
from runtime.domain.outputs.split import stored_split
from runtime.domain.samplers.reading import stored_samplers
from runtime.domain.templates.conversation import stored_messages
from runtime.domain.templates.document import complete_document, parse_template, recheck
from runtime.domain.templates.template import OnTruncation, Pin, Step, Template

MAX_STORED_BYTES: Final = 380_000
"""A DynamoDB item takes 400 KB, with its keys and other attributes. A laptop keeps to it, too, so
that every template of one can move to AWS.
"""

FORMAT: Final = 1
"""Goes up when what was checked before has to be checked again."""


def stored_text(template: Template) -> str:
    """JSON, with the fragments. Raises `TemplateError` when it is too large to be stored."""
    document = {
        **complete_document(template),
        "output": output_document(template.output),
        "stored": {
            "format": FORMAT,
            "declared": template.requirements_declared,
            "output_declared": template.output_declared,
            "includes": list(template.includes),
            "pins": {name: [pin.template_id, pin.version] for name, pin in template.pins.items()},
        },
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > MAX_STORED_BYTES:
        raise TemplateError(
            f"the template has {size} bytes with its fragments;"
            f" at most {MAX_STORED_BYTES} can be stored"
        )
    return text


def parse_stored(text: str) -> Template:
    """Inverse of `stored_text`. Raises `TemplateError` for a text that was stored before formats
    were noted, which is checked.
    """
    document = json.loads(text)
    stored = document.pop("stored", None)
    document.setdefault("output", Shape.RECORDS.value)  # of before there were others
    if stored is None:
        return recheck(document)
    if stored["format"] != FORMAT:
        return parse_template(document)
    return _trusted(document, stored)


def _trusted(document: dict[str, Any], stored: dict[str, Any]) -> Template:
    steps = tuple(_trusted_step(step) for step in document.pop("steps"))
    requirements = tuple(document.pop("schema_requirements"))
    output, split = document.pop("output"), document.pop("split", None)
    samplers = stored_samplers(document.pop("samplers", None), document.pop("product", None))
    checks = stored_checks(document.pop("checks", None))
    return Template(
        **document,
        steps=steps,
        schema_requirements=requirements,
        includes=tuple(stored["includes"]),
        requirements_declared=stored["declared"],
        output=stored_output(output),
        output_declared=stored.get("output_declared", True),
        split=stored_split(split, samples=samplers.types()),
        samplers=samplers,
        checks=checks,
        pins={
            name: Pin(template_id=template_id, version=version)
            for name, (template_id, version) in stored["pins"].items()
        },
    )


def _trusted_step(step: dict[str, Any]) -> Step:
    on_truncation = OnTruncation(step.pop("on_truncation", OnTruncation.KEEP))
    messages = stored_messages(step.pop("messages", []))
    stop = tuple(step.pop("stop", ()))
    return Step(**step, messages=messages, stop=stop, on_truncation=on_truncation)

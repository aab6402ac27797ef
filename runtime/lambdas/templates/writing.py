"""From a document to a stored template: the checks that every way into the store goes through."""

from collections.abc import Mapping
from dataclasses import replace

from runtime.domain.service_ports import ApiPorts
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import Pin, Template
from runtime.engine.plan import check_steps
from runtime.lambdas.http import Answer
from runtime.lambdas.templates.template_view import created
from runtime.service import includes


def checked(
    ports: ApiPorts,
    caller: str,
    document: object,
    *,
    head: TemplateHead | None = None,
    pins: Mapping[str, Pin] | None = None,
) -> Template:
    """The template of a document that the caller could run today, with what it includes pinned.
    `head` is the template that it becomes a version of, `pins` are those of a template that it is
    a copy of.

    Raises `TemplateError`, `TemplateNotFoundError` for what it includes, and `PriceError`.
    """
    template = parse_template(document)
    before: Mapping[str, Pin] = {}
    if head is not None and template.includes:
        before = ports.templates.load_template(head.latest).pins
    resolved = includes.resolve_new(
        ports,
        caller,
        replace(template, pins=pins or {}),
        template_id=None if head is None else head.template_id,
        before=before,
    )
    check_steps(
        resolved.template,
        ports.prices,
        provider=ports.provider,
        on=ports.clock.now().date(),
    )
    # Without the sources of its includes: a job pins versions of its own.
    return replace(template, pins=resolved.pins)


def create(
    ports: ApiPorts,
    caller: str,
    document: object,
    *,
    public: bool,
    pins: Mapping[str, Pin] | None = None,
) -> Answer:
    """Check and store a new template of the caller's. Raises as `checked` does."""
    template = checked(ports, caller, document, pins=pins)
    head = ports.template_catalog.create(caller, ports.new_id(), template, public=public)
    return created(head, template, caller)

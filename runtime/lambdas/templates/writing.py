"""From a document to a stored template: the checks that every way into the store goes through."""

from runtime.domain.service_ports import ApiPorts
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import Template
from runtime.engine.plan import make_plan
from runtime.lambdas.http import Answer
from runtime.lambdas.templates.template_view import created
from runtime.service import includes


def checked(
    ports: ApiPorts, caller: str, document: object, *, template_id: str | None = None
) -> Template:
    """The template of a document that the caller could run today. `template_id` is the template
    that it becomes a version of.

    Raises `TemplateError`, `TemplateNotFoundError` for what it includes, and `PriceError`.
    """
    template = parse_template(document)
    resolved = includes.resolve(ports, caller, template, template_id=template_id)
    make_plan(
        resolved.template,
        ports.prices,
        provider=ports.provider,
        model=None,
        on=ports.clock.now().date(),
    )
    # Without the sources of its includes: a job takes their latest versions, and pins those.
    return template


def create(ports: ApiPorts, caller: str, document: object, *, public: bool) -> Answer:
    """Check and store a new template of the caller's. Raises as `checked` does."""
    template = checked(ports, caller, document)
    head = ports.template_catalog.create(caller, ports.new_id(), template, public=public)
    return created(head, template, caller)

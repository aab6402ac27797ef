"""A template as the plain document (YAML or JSON) that users write and stores keep, and back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtime.domain.checks.document import checks_document
from runtime.domain.errors import TemplateError
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.split import split_document
from runtime.domain.samplers.samplers import samplers_document
from runtime.domain.templates.conversation import messages_document
from runtime.domain.templates.form import MAX_FRAGMENTS, MAX_PROBLEMS, Form
from runtime.domain.templates.measure import measure
from runtime.domain.templates.template import OnTruncation, Step, Template

__all__ = ["MAX_FRAGMENTS", "MAX_PROBLEMS"]

if TYPE_CHECKING:
    from runtime.domain.templates.reads import Findings


def parse_template(document: object) -> Template:
    """Validate a document and check its prompts.

    Without `schema_requirements` every seed path that a prompt reads is required, also in a branch
    that not every record takes; an author who means less lists the paths.

    Raises `TemplateError`: the problems of shape at once, `MAX_PROBLEMS` at most, or else the first
    one of a prompt.
    """
    measure(document)
    form = Form()
    template = form.template(document)
    if form.problems or template is None:
        raise TemplateError(
            "; ".join(": ".join(part for part in each if part) for each in form.problems),
            problems=form.problems,
        )
    findings = findings_of(template, template.fragments)
    declared = isinstance(document, Mapping) and document.get("schema_requirements") is not None
    requirements = template.schema_requirements if declared else findings.requirements
    return replace(
        template,
        schema_requirements=requirements,
        includes=findings.includes,
        requirements_declared=declared,
    )


def recheck(document: object) -> Template:
    """A document that always lists its requirements, and so doesn't say whether its author
    declared them: those that the prompts read count as derived. Raises `TemplateError`.
    """
    template = parse_template(document)
    derived = findings_of(template, template.fragments).requirements
    return replace(
        template,
        requirements_declared=template.requirements_declared
        and template.schema_requirements != derived,
    )


def document_of(template: Template) -> dict[str, Any]:
    """Inverse of `parse_template`: requirements that were derived are left to be derived again.
    Fragments are in it, so that it is complete.
    """
    document = complete_document(template)
    if not template.requirements_declared:
        del document["schema_requirements"]
    return document


def complete_document(template: Template) -> dict[str, Any]:
    """The document with what follows from it written out, as readers see it: all but an output that
    was derived, since it changes with the steps.
    """
    document: dict[str, Any] = {
        "name": template.name,
        "description": template.description,
        "schema_requirements": list(template.schema_requirements),
        **samplers_document(template.samplers),
        "steps": [_step_document(step) for step in template.steps],
        "keep_prompts": template.keep_prompts,
    }
    if template.keep_reasoning:
        document["keep_reasoning"] = True
    if template.fragments:
        document["fragments"] = dict(template.fragments)
    if template.checks:
        document["checks"] = checks_document(template.checks)
    if template.output_declared:
        document["output"] = output_document(template.output)
    if template.split is not None:
        document["split"] = split_document(template.split)
    if template.batch_of is not None:
        document["batch_of"] = template.batch_of
    return document


def resolve_includes(template: Template, load: Callable[[str], str]) -> Template:
    """`template` with the source of everything it includes, and what those sources require.

    `load` gives the Jinja2 source for a name, and raises `TemplateNotFoundError` if there is none;
    it is asked once a name. Requirements that the author declared stay as they are. Raises
    `TemplateError`, which shows the chain of includes where that is a cycle or too deep.
    """
    if all(name in template.fragments for name in template.includes):
        return template
    fragments = dict(template.fragments)
    findings = findings_of(template, fragments)
    while missing := [name for name in findings.includes if name not in fragments]:
        if len(fragments) + len(missing) > MAX_FRAGMENTS:
            raise TemplateError(f"a template includes {MAX_FRAGMENTS} fragments at most")
        fragments.update((name, load(name)) for name in missing)
        measure(complete_document(replace(template, fragments=fragments)))
        # This check ends a cycle or a chain that is too deep, so the loop ends too.
        findings = findings_of(template, fragments)
    declared = template.requirements_declared
    return replace(
        template,
        schema_requirements=template.schema_requirements if declared else findings.requirements,
        includes=findings.includes,
        fragments=fragments,
    )


def findings_of(template: Template, fragments: Mapping[str, str]) -> "Findings":
    """`check_template` of all its sources, with Jinja2 imported on first use: whoever only lists
    or hands on templates starts without it.
    """
    from runtime.domain.templates.check import check_template  # noqa: PLC0415 see above

    return check_template(
        template.steps,
        fragments,
        texts=template.output.texts(),
        batch=template.batch_of is not None,
        samples=tuple(template.samplers.types()),
        checks=template.checks,
    )


def _step_document(step: Step) -> dict[str, Any]:
    kept = step.on_truncation is OnTruncation.KEEP
    optional = {
        "when": step.when,
        "messages": messages_document(step.messages) or None,
        "model": step.model,
        "model_tier": step.model_tier,
        "system": step.system,
        "temperature": step.temperature,
        "top_p": step.top_p,
        "stop": list(step.stop) or None,
        "output_schema": step.output_schema,
        "on_truncation": None if kept else step.on_truncation.value,
    }
    return {
        "id": step.id,
        "prompt": step.prompt,
        "max_tokens": step.max_tokens,
        **{name: value for name, value in optional.items() if value is not None},
    }

"""A template: one or more prompt steps that turn a seed into a record.

The document (YAML or JSON) has `name`, `description`, `schema_requirements` and `steps[]`; a step
has `id`, `prompt` (Jinja2) and optionally `model` or `model_tier`, `system`, `max_tokens`,
`temperature`, `output_schema`. `template_document.py` parses and checks it, for which it loads
Jinja2; to write one takes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_TIER: Final = "cheap"
DEFAULT_MAX_TOKENS: Final = 512
"""Bedrock deducts `max_tokens` from the quota when a call starts, and the ledger reserves it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One model call. `model` is an id of the price table, `model_tier` one of its tiers or
    aliases; at most one of them is set, and neither means `DEFAULT_TIER`.
    """

    id: str
    prompt: str
    model: str | None = None
    model_tier: str | None = None
    system: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    output_schema: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A checked template.

    `schema_requirements` are dotted paths that every seed must have, such as `author.name`.
    `includes` are the names that `{% include %}` uses anywhere, fragments included; `fragments`
    maps those names to their Jinja2 source once they are resolved.
    """

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    schema_requirements: tuple[str, ...] = ()
    keep_prompts: bool = False
    includes: tuple[str, ...] = ()
    fragments: Mapping[str, str] = field(default_factory=dict)


def document_of(template: Template) -> dict[str, Any]:
    """Inverse of `template_document.parse_template`. Fragments are in it, so that a stored version
    is complete.
    """
    document: dict[str, Any] = {
        "name": template.name,
        "description": template.description,
        "schema_requirements": list(template.schema_requirements),
        "steps": [_step_document(step) for step in template.steps],
        "keep_prompts": template.keep_prompts,
    }
    if template.fragments:
        document["fragments"] = dict(template.fragments)
    return document


def _step_document(step: Step) -> dict[str, Any]:
    optional = {
        "model": step.model,
        "model_tier": step.model_tier,
        "system": step.system,
        "temperature": step.temperature,
        "output_schema": step.output_schema,
    }
    return {
        "id": step.id,
        "prompt": step.prompt,
        "max_tokens": step.max_tokens,
        **{name: value for name, value in optional.items() if value is not None},
    }

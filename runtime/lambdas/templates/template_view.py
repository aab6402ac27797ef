"""A template as bodies carry it and as answers show it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field

from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.document import complete_document
from runtime.domain.templates.template import Template
from runtime.lambdas.fields import Timestamp
from runtime.lambdas.http import Answer, ApiModel

Version = Annotated[int, Field(ge=1, le=2**31)]
"""Versions count from 1."""

SUMMARY_CHARACTERS: Final = 200
"""Of a description in a list: a page of a hundred stays far below the 6 MB that Lambda answers."""


class MessageDocument(ApiModel):
    """A turn before a step's prompt."""

    role: str
    """user or assistant."""
    content: str
    """Jinja2."""


class StepDocument(ApiModel):
    """One model call."""

    id: str
    """A letter, then letters, digits or `_`; later steps read `steps.<id>.output`."""
    prompt: str
    """Jinja2."""
    when: str | bool | None = None
    """An expression of Jinja2, or a text that renders to true or false: a record for which it is
    false skips the step, whose output is null."""
    messages: list[MessageDocument] | None = None
    """Turns before the prompt, the user's and the assistant's in turn."""
    model: str | None = None
    """A model of the price table; at most one of model and model_tier."""
    model_tier: str | None = None
    """cheap (the default), balanced or premium."""
    system: str | None = None
    max_tokens: int | None = None
    """512 by default."""
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] | str | None = None
    """Up to four texts that end a reply."""
    output_schema: Mapping[str, Any] | None = None
    """JSON Schema: the output is parsed, checked and stored as data."""
    on_truncation: str | None = None
    """keep (the default), fail or retry: what to do with a text that was cut at max_tokens."""


class SamplerDocument(ApiModel):
    """A value that is drawn for each record: a pure function of random seed, name and index."""

    name: str
    """A letter, then letters, digits or `_`; prompts read `samples.<name>`."""
    sampler_type: str
    """category, subcategory, uniform, gaussian, bernoulli, datetime, uuid, or person_from_faker."""
    params: Mapping[str, Any] | None = None
    conditional_params: Mapping[str, Any] | None = None
    """Other params by a condition on earlier samplers, such as `category == 'knife'`; the first
    that holds counts."""
    convert_to: str | None = None
    """int, float or str."""


class TemplateDocument(ApiModel):
    """A template as its author writes it."""

    name: str
    description: str = ""
    schema_requirements: list[str] | None = None
    """Dotted paths that every seed must have; by default what the prompts read."""
    samplers: list[SamplerDocument] | None = None
    """Values that are drawn for each record, in this order."""
    product: list[str] | None = None
    """Category samplers, and perhaps `seed`, whose combinations come equally often."""
    steps: list[StepDocument]
    checks: list[Mapping[str, Any]] | None = None
    """What decides which records stay: each has `id` and one of keep_if, judge, max_words, matches,
    language, no_pii, code, unique, balance; a dataset has as many records as asked for that passed.
    """
    keep_prompts: bool = False
    """Whether records carry the prompts that they were made from."""
    keep_reasoning: bool = False
    """Whether records carry what models thought before they answered."""
    fragments: Mapping[str, str] | None = None
    """Jinja2 texts to include, by name; other includes are templates."""
    output: Mapping[str, Any] | str | None = None
    """What a row is: one shape by name with its fields, such as {"columns": {"topic":
    "seed.topic"}}, or "records"; by default one column a step, or one a property of its schema."""
    split: Mapping[str, Any] | None = None
    """Shares of the rows, such as {"test": 0.1}, and perhaps `by`, a path into the seed: rows with
    one value there are in one split. The rest is train."""
    batch_of: int | None = None
    """How many seeds a record is made from: its texts see the list `seeds` in place of `seed`."""


class TemplateSummary(ApiModel):
    """What all versions of a template share."""

    template_id: str
    latest_version: int
    name: str
    description: str
    """In a list its first 200 characters."""
    public: bool
    """Whether everybody may read, use, include and fork it: the versions that were saved while it
    was public."""
    own: bool
    """Whether it is yours: only then may you change it."""
    created_at: Timestamp
    updated_at: Timestamp


class TemplateView(TemplateSummary):
    """One version of a template."""

    version: int
    document: TemplateDocument


def summary_of(head: TemplateHead, caller: str) -> TemplateSummary:
    """The answer for a template in a list."""
    shared = _shared(head, caller)
    if len(head.description) > SUMMARY_CHARACTERS:
        shared["description"] = f"{head.description[: SUMMARY_CHARACTERS - 1]}…"
    return TemplateSummary(**shared)


def view_of(head: TemplateHead, template: Template, *, version: int, caller: str) -> TemplateView:
    """The answer for one version."""
    return TemplateView(
        **_shared(head, caller),
        version=version,
        document=TemplateDocument.model_validate(complete_document(template)),
    )


def created(head: TemplateHead, template: Template, caller: str) -> Answer:
    """The answer to a request that has made a template."""
    return Answer(
        body=view_of(head, template, version=head.latest_version, caller=caller),
        status=HTTPStatus.CREATED,
        headers={"location": f"/templates/{head.template_id}"},
    )


def document_in(body: TemplateDocument) -> dict[str, Any]:
    """The document as it was sent, without what a body says beside it."""
    return body.model_dump(include=set(TemplateDocument.model_fields), exclude_unset=True)


def _shared(head: TemplateHead, caller: str) -> dict[str, Any]:
    return {
        "template_id": head.template_id,
        "latest_version": head.latest_version,
        "name": head.name,
        "description": head.description,
        "public": head.public,
        "own": head.user_id == caller,
        "created_at": head.created_at,
        "updated_at": head.updated_at,
    }

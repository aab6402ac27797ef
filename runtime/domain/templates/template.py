"""A template: one or more prompt steps that turn a seed into a record.

The document (YAML or JSON) has `name`, `description`, `schema_requirements`, `samplers[]`,
`product`, `steps[]`, `checks[]`, `output` and `split`, perhaps `batch_of`; a step has `id`,
`prompt` (Jinja2) and optionally `when`, `messages`, `system`, `model` or `model_tier`,
`max_tokens`, `temperature`, `top_p`, `stop`, `output_schema`, `on_truncation`. `document.py` parses
and checks it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from runtime.domain.checks.check import NO_CHECKS, Checks
from runtime.domain.checks.score_types import score_types
from runtime.domain.outputs.paths import Paths
from runtime.domain.outputs.shape import RECORDS, Output
from runtime.domain.outputs.split import Split
from runtime.domain.outputs.types import Type
from runtime.domain.outputs.values import as_condition
from runtime.domain.roles import Role
from runtime.domain.samplers.samplers import NO_SAMPLERS, Samplers

DEFAULT_TIER: Final = "cheap"
DEFAULT_MAX_TOKENS: Final = 512
"""Bedrock deducts `max_tokens` from the quota when a call starts, and the ledger reserves it."""

PROMPT: Final = "prompt"
SYSTEM: Final = "system"
WHEN: Final = "when"
"""Parts of a step that are rendered; its earlier messages are `message 1` and so on."""


class OnTruncation(StrEnum):
    """What to do with a reply that was cut at `max_tokens`. JSON that is cut is never kept."""

    KEEP = "keep"
    FAIL = "fail"
    RETRY = "retry"
    """Once more, with room for twice as much as far as the model gives that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTurn:
    """A turn of the conversation before a step's prompt; `content` is Jinja2."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One model call. `model` is an id of the price table, `model_tier` one of its tiers or
    aliases; at most one of them is set, and neither means `DEFAULT_TIER`.

    `messages` go before the prompt: pairs of a user's turn and the assistant's answer. `when`
    decides whether a record takes this step: a text of Jinja2 that renders to true or false, or one
    expression of it. `stop` are texts that end a reply.
    """

    id: str
    prompt: str
    when: str | None = None
    messages: tuple[EarlierTurn, ...] = ()
    model: str | None = None
    model_tier: str | None = None
    system: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    output_schema: Mapping[str, object] | None = None
    on_truncation: OnTruncation = OnTruncation.KEEP

    def sources(self) -> Iterator[tuple[str, str]]:
        """The part and the Jinja2 source of every text that a call needs, the prompt first."""
        yield PROMPT, self.prompt
        if self.system is not None:
            yield SYSTEM, self.system
        for number, turn in enumerate(self.messages, start=1):
            yield f"message {number}", turn.content

    @property
    def condition(self) -> str | None:
        """The Jinja2 source of `when`."""
        return None if self.when is None else as_condition(self.when)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """Which template an include stands for, since the template that includes it was saved. Without
    a version it is the latest one: the owner of both includes a template of their own.
    """

    template_id: str
    version: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A checked template.

    `schema_requirements` are dotted paths that every seed must have, such as `author.name`: those
    that the author declared, else those that the prompts read.
    `includes` are the names that `{% include %}` uses anywhere, fragments included; `fragments`
    maps those names to their Jinja2 source once they are resolved. `pins` are there for the names
    that the API looked up. `output` is what the author declared, else what follows from the steps;
    it and `split` decide no record. With `batch_of` a record is made from so many seeds, which its
    texts see as the list `seeds`; None: from one, `seed`.
    """

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    schema_requirements: tuple[str, ...] = ()
    keep_prompts: bool = False
    keep_reasoning: bool = False
    includes: tuple[str, ...] = ()
    fragments: Mapping[str, str] = field(default_factory=dict)
    requirements_declared: bool = False
    pins: Mapping[str, Pin] = field(default_factory=dict)
    output: Output = RECORDS
    output_declared: bool = False
    split: Split | None = None
    batch_of: int | None = None
    samplers: Samplers = NO_SAMPLERS
    checks: Checks = NO_CHECKS


def paths_of(
    steps: Sequence[Step],
    *,
    keep_reasoning: bool,
    keep_prompts: bool,
    samplers: Samplers = NO_SAMPLERS,
    seeds: Mapping[str, Type] | None = None,
    batch: bool = False,
    checks: Checks = NO_CHECKS,
) -> Paths:
    """The paths that records of these steps, samplers and checks have, with the types of seed
    fields. Those of a `batch` have several seeds.
    """
    return Paths(
        {step.id: step.output_schema for step in steps},
        reasoning=keep_reasoning,
        prompts=keep_prompts,
        samples=samplers.types(),
        seeds=seeds,
        batch=batch,
        scores=score_types(checks),
        rejects=bool(checks.of_record),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateRef:
    """One immutable version of a template."""

    template_id: str
    version: int

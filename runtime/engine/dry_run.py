"""Prompts without a call: what records would send, with made-up outputs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.calls import Message
from runtime.domain.references import resolve
from runtime.domain.seeds.seeds import Row
from runtime.domain.templates.template import PROMPT, SYSTEM, WHEN, Step, Template
from runtime.domain.texts import CHARACTERS_PER_TOKEN
from runtime.engine.deciding import truth_of
from runtime.engine.judge_samples import render_judges
from runtime.engine.plan import Plan
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.engine.seeds import DrawnSeed, DrawnSeeds

_MAX_DEPTH: Final = 8
"""Levels of a schema that an example of it has."""
_MAX_VALUES: Final = 30_000
"""Values that an example may have: more than there are in any schema without references."""

StandIns = Literal["note", "half", "full"]
"""What later steps see for the outputs of earlier ones: a short note, or a text of half or all the
length that the step allows.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedStep:
    """The texts of one step, as if the record took it."""

    step: Step
    prompt: str
    system: str | None
    messages: tuple[Message, ...]
    """The turns before the prompt."""
    skipped: bool
    """Whether the record does not take it, whatever earlier steps give: then texts that can't be
    rendered are empty.
    """

    @property
    def text(self) -> str:
        """All of it."""
        return "".join((self.system or "", *(turn.text for turn in self.messages), self.prompt))


def render_record(
    engine: TemplateEngine,
    template: Template,
    rows: Sequence[Row] | None,
    *,
    job_id: str,
    index: int,
    draws: Draws,
    stand_ins: StandIns = "note",
) -> list[RenderedStep]:
    """The texts of a record; later steps see stand-ins for earlier outputs. A `when` that
    reads these counts as true. `rows` are the seeds, None without any.

    Raises `TemplateError` that names the step.
    """
    drawn = _drawn(template, rows, job_id=job_id, index=index, draws=draws)
    outputs = _outputs(template, stand_ins)
    requests = [
        RenderRequest(
            step_id=step.id,
            part=part,
            index=index,
            seed=drawn.row,
            steps=outputs,
            entropy=drawn.entropy,
            samples=drawn.samples,
        )
        for step in template.steps
        for part in _parts(step)
    ]
    texts = iter(engine.execute_template(requests))
    return [
        _rendered_step(step, {part: next(texts) for part in _parts(step)})
        for step in template.steps
    ]


def render_calls(
    engine: TemplateEngine,
    plan: Plan,
    rows: Sequence[Row] | None,
    *,
    job_id: str,
    index: int,
    draws: Draws,
    stand_ins: StandIns = "note",
) -> list[RenderedStep]:
    """The texts of all calls of a record, as above: of its steps, then of its judges. Raises
    `TemplateError` that names the step or the check.
    """
    template = plan.template
    steps = render_record(
        engine, template, rows, job_id=job_id, index=index, draws=draws, stand_ins=stand_ins
    )
    if not plan.judges:
        return steps
    drawn = _drawn(template, rows, job_id=job_id, index=index, draws=draws)
    texts = render_judges(engine, plan, drawn, _outputs(template, stand_ins), index=index)
    judges = [
        RenderedStep(step=judge.step, prompt=prompt, system=system, messages=(), skipped=False)
        for judge, (prompt, system) in zip(plan.judges.values(), texts, strict=True)
    ]
    return [*steps, *judges]


def _drawn(
    template: Template, rows: Sequence[Row] | None, *, job_id: str, index: int, draws: Draws
) -> DrawnSeed:
    seeds = DrawnSeeds(
        rows,
        samplers=template.samplers,
        job_id=job_id,
        draws=draws,
        batch_of=template.batch_of,
    )
    return seeds(index)


def _outputs(template: Template, stand_ins: StandIns) -> dict[str, dict[str, Any]]:
    return {step.id: {"output": _stand_in(step, stand_ins)} for step in template.steps}


def _parts(step: Step) -> list[str]:
    """What is rendered of a step, its condition first."""
    return [*([] if step.when is None else [WHEN]), *(part for part, _ in step.sources())]


def _rendered_step(step: Step, parts: Mapping[str, str | RenderError]) -> RenderedStep:
    texts: dict[str, str] = {}
    skipped = False
    for part, text in parts.items():
        if isinstance(text, RenderError) and not skipped:
            raise TemplateError(f"step {step.id!r} can't be rendered: {text}") from text
        texts[part] = "" if isinstance(text, RenderError) else text
        if part == WHEN:
            verdict = truth_of(texts.pop(WHEN), WHEN)
            decides = "steps" not in (step.when or "")  # made-up outputs decide nothing
            if isinstance(verdict, RenderError) and decides:
                raise TemplateError(f"step {step.id!r}: {verdict}") from verdict
            skipped = verdict is False and decides
    return RenderedStep(
        step=step,
        prompt=texts.pop(PROMPT),
        system=texts.pop(SYSTEM, None),
        messages=tuple(
            Message(role=turn.role, text=text)
            for turn, text in zip(step.messages, texts.values(), strict=True)
        ),
        skipped=skipped,
    )


def _stand_in(step: Step, stand_ins: StandIns) -> Any:
    if stand_ins == "note":
        text = "«text»" if step.output_schema is not None else f"«output of {step.id}»"
    else:
        tokens = step.max_tokens if stand_ins == "full" else step.max_tokens // 2
        text = "word " * max(tokens * CHARACTERS_PER_TOKEN // len("word "), 1)
    return text if step.output_schema is None else example_of(step.output_schema, text)


def example_outputs(template: Template) -> dict[str, dict[str, Any]]:
    """What a record would hold of each step, with made-up outputs and prompts."""
    return {step.id: _example_result(template, step) for step in template.steps}


def _example_result(template: Template, step: Step) -> dict[str, Any]:
    result: dict[str, Any] = {"output": _stand_in(step, "note")}
    if template.keep_prompts:
        result["prompt"] = f"«prompt of {step.id}»"
        if step.system is not None:
            result["system"] = f"«system text of {step.id}»"
    if template.keep_reasoning:
        result["reasoning"] = "«reasoning»"
    return result


def example_of(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the shape that `schema` asks for, so that `steps.x.output.field` renders; every
    text in it is `text`. A schema that refers to itself often has it with fewer levels.
    """
    for levels in range(_MAX_DEPTH, -1, -1):
        with suppress(_TooLargeError):
            return _Example(schema, text, levels).of(schema, 0)
    return text


class _TooLargeError(TemplateError):
    """The example has more values than `_MAX_VALUES`."""


class _Example:
    """One example of a schema, with at most `levels` levels. References lead into `root`."""

    def __init__(self, root: Mapping[str, Any], text: str, levels: int) -> None:
        self._root = root
        self._text = text
        self._levels = levels
        self._values = 0

    def of(self, schema: Mapping[str, Any], depth: int) -> Any:
        """Raises `_TooLargeError`."""
        schema = _first_form(schema, self._root)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind == "object" or (kind is None and "properties" in schema):
            properties = schema.get("properties", {})
            self._count(len(properties))
            return {
                name: self.of(each, depth + 1)
                for name, each in properties.items()
                if isinstance(each, Mapping) and depth < self._levels
            }
        if kind == "array":
            items = schema.get("items")
            if depth >= self._levels or not isinstance(items, Mapping):
                return []
            return [self.of(items, depth + 1)]
        return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(
            str(kind), self._text
        )

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > _MAX_VALUES:
            raise _TooLargeError("the example is too large")


def _first_form(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with its reference, its allOf and the first of its other branches put in place."""
    for _ in range(_MAX_DEPTH):
        parts = list(schema.get("allOf", ()))
        parts += [branches[0] for name in ("anyOf", "oneOf") if (branches := schema.get(name))]
        if "$ref" in schema:
            try:
                parts.append(resolve(root, schema["$ref"]))
            except LookupError:
                return schema
        if not parts:
            break
        merged = {
            name: each
            for name, each in schema.items()
            if name not in {"$ref", "allOf", "anyOf", "oneOf"}
        }
        properties: dict[str, Any] = {}
        for part in (each for each in parts if isinstance(each, Mapping)):
            properties |= part.get("properties", {})
            merged = {**part, **merged}
        if properties:
            merged["properties"] = {**properties, **merged.get("properties", {})}
        schema = merged
    return schema


def example_seed(requirements: Sequence[str]) -> dict[str, Any]:
    """A seed that has every required path; its texts say what stands there."""
    seed: dict[str, Any] = {}
    for path in sorted(requirements):
        *parents, last = path.split(".")
        inner = seed
        for parent in parents:
            # "a" may be required beside "a.b": the longer path says more.
            if not isinstance(inner.get(parent), dict):
                inner[parent] = {}
            inner = inner[parent]
        inner.setdefault(last, f"«{path}»")
    return seed

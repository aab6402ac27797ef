"""Looking before paying: rendered prompts for `validate`, figures for `estimate`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.estimate import CHARACTERS_PER_TOKEN, Estimate, StepSample, estimate
from runtime.domain.job import SeedStrategy
from runtime.domain.sampling import draw
from runtime.domain.seed_data import Row
from runtime.domain.template import Step, Template
from runtime.worker.plan import Plan
from runtime.worker.template_engine import RenderRequest, TemplateEngine

MAX_SAMPLES: Final = 50
"""Records that an estimate renders; more change the average little."""


def render_record(
    engine: TemplateEngine,
    template: Template,
    rows: Sequence[Row],
    *,
    job_id: str,
    index: int,
    strategy: SeedStrategy,
    full_length: bool = False,
) -> list[tuple[Step, str, str]]:
    """Step, prompt and system text of a record; later steps see stand-ins for earlier outputs.

    The stand-in is a short note, or with `full_length` a text as long as the step allows. Raises
    `TemplateError` that names the step.
    """
    chosen = draw(job_id, index, rows=len(rows), strategy=strategy)
    outputs = {
        step.id: {"output": _stand_in(step, full_length=full_length)} for step in template.steps
    }
    requests = [
        RenderRequest(
            step_id=step.id,
            part=part,
            index=index,
            seed=rows[chosen.row],
            steps=outputs,
            entropy=chosen.filter_entropy,
        )
        for step in template.steps
        for part in ("prompt", "system")
        if part == "prompt" or step.system is not None
    ]
    texts: dict[tuple[str, str], str] = {}
    for request, text in zip(requests, engine.execute_template(requests), strict=True):
        if isinstance(text, RenderError):
            raise TemplateError(f"step {request.step_id!r} can't be rendered: {text}") from text
        texts[request.step_id, request.part] = text
    return [
        (step, texts[step.id, "prompt"], texts.get((step.id, "system"), ""))
        for step in template.steps
    ]


def _stand_in(step: Step, *, full_length: bool) -> Any:
    if step.output_schema is not None:
        return example_of(step.output_schema)
    if full_length:
        return "word " * (step.max_tokens * CHARACTERS_PER_TOKEN // len("word "))
    return f"«output of {step.id}»"


def example_of(schema: Mapping[str, Any], depth: int = 0) -> Any:
    """A value of the shape that `schema` asks for, so that `steps.x.output.field` renders."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties", {})
        return {
            name: example_of(each, depth + 1)
            for name, each in properties.items()
            if isinstance(each, Mapping) and depth < _MAX_DEPTH
        }
    if kind == "array":
        items = schema.get("items")
        return [example_of(items, depth + 1)] if isinstance(items, Mapping) else []
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), "«text»")


_MAX_DEPTH: Final = 8


def estimate_cost(
    engine: TemplateEngine,
    plan: Plan,
    rows: Sequence[Row],
    *,
    job_id: str,
    records: int,
    strategy: SeedStrategy,
) -> Estimate:
    """Render a spread of records and price them."""
    count = min(records, MAX_SAMPLES)
    samples = [
        _price_record(
            plan,
            render_record(
                engine,
                plan.template,
                rows,
                job_id=job_id,
                index=position * records // count,
                strategy=strategy,
                full_length=True,
            ),
        )
        for position in range(count)
    ]
    return estimate(samples, records=records)


def _price_record(plan: Plan, rendered: Sequence[tuple[Step, str, str]]) -> list[StepSample]:
    samples: list[StepSample] = []
    for step_plan, (step, prompt, system) in zip(plan.steps, rendered, strict=True):
        schema = b"" if step.output_schema is None else orjson.dumps(step.output_schema)
        texts = prompt + system
        samples.append(
            StepSample(
                price=step_plan.price,
                characters=len(texts) + len(schema),
                size=len(texts.encode()) + len(schema) + len(step_plan.reader.instruction()),
                max_tokens=step_plan.max_tokens,
                repairable=step.output_schema is not None,
            )
        )
    return samples

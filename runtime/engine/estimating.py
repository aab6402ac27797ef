"""What a dataset would cost, from a spread of its records, rendered without a call."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from runtime.domain.errors import TemplateError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.money.estimate import Estimate, StepSample, estimate
from runtime.domain.seeds.seeds import Row
from runtime.engine.dry_run import RenderedStep, StandIns, render_calls
from runtime.engine.plan import Plan, framing_of
from runtime.engine.rendering.renderer import TemplateEngine

MAX_SAMPLES: Final = 50
"""Records that an estimate renders; more change the average little."""
TRIED_AGAIN: Final = (
    "the figures take each record for one try: what checks reject is tried again and costs as much"
    " again"
)


def estimate_cost(
    engine: TemplateEngine,
    plan: Plan,
    rows: Sequence[Row] | None,
    *,
    records: int,
    draws: Draws,
) -> Estimate:
    """Render a spread of records and price them, each by one try."""
    count = min(records, MAX_SAMPLES)

    def rendered(position: int, *choices: StandIns) -> list[RenderedStep]:
        """With the first of `choices` that doesn't make a prompt longer than is allowed."""
        for last, stand_ins in enumerate(choices, start=1):
            try:
                return render_calls(
                    engine,
                    plan,
                    rows,
                    job_id="",
                    index=position * records // count,
                    draws=draws,
                    stand_ins=stand_ins,
                )
            except TemplateError:
                if last == len(choices):
                    raise
        return []

    samples = [
        _price_record(
            plan, rendered(position, "half", "note"), rendered(position, "full", "half", "note")
        )
        for position in range(count)
    ]
    tried = (TRIED_AGAIN,) if plan.template.checks else ()
    return replace(estimate(samples, records=records), warnings=(*plan.warnings, *tried))


def _price_record(
    plan: Plan,
    likely: Sequence[RenderedStep],
    longest: Sequence[RenderedStep],
) -> list[StepSample]:
    """What it costs to take every step and to ask every judge."""
    samples: list[StepSample] = []
    shares = {judge.id: judge.sample for judge in plan.template.checks.judges}
    for step, usual, long in zip(plan.calls, likely, longest, strict=True):
        schema = None if step.form is None else step.form.schema
        added = step.instruction + ("" if schema is None else orjson.dumps(schema).decode())
        characters = len(usual.text + added)
        # A repair adds two messages to the turns before the prompt and the prompt.
        size = len((long.text + added).encode()) + framing_of(len(long.messages) + 3)
        samples.append(
            StepSample(
                step=step.step.id,
                model=step.model,
                price=step.price,
                characters=characters,
                size=max(size, characters),
                max_tokens=step.max_tokens,
                share=shares.get(step.step.id) or 1.0,
                repairable=step.form is not None,
                raised_max_tokens=step.raised_max_tokens if step.may_grow else 0,
            )
        )
    return samples

"""What a dataset would cost, from a spread of its records, rendered without a call."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

import orjson

from runtime.domain.errors import InputError, TemplateError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.money.acceptance_rate import assumption, tries_for
from runtime.domain.money.estimate import Estimate, StepSample, estimate
from runtime.domain.seeds.seeds import Row
from runtime.engine.dry_run import RenderedStep, StandIns, render_calls
from runtime.engine.plan import Plan, framing_of
from runtime.engine.rendering.renderer import TemplateEngine

MAX_SAMPLES: Final = 50
"""Records that an estimate renders; more change the average little."""


def estimate_cost(
    engine: TemplateEngine,
    plan: Plan,
    rows: Sequence[Row] | None,
    *,
    records: int,
    draws: Draws,
    acceptance: Fraction | None = None,
) -> Estimate:
    """Render a spread of records and price them, with `acceptance` the share of tries that are
    accepted. Raises `TemplateError`, and `InputError` for a rate where there are no checks.
    """
    priced = sample_costs(engine, plan, rows, records=records, draws=draws)
    return scale_costs(plan, priced, records=records, acceptance=acceptance)


def scale_costs(
    plan: Plan,
    priced: Sequence[Sequence[StepSample]],
    *,
    records: int,
    acceptance: Fraction | None = None,
) -> Estimate:
    """The estimate for `records` accepted ones from what `sample_costs` gave. Raises `InputError`
    for a rate where there are no checks.
    """
    has_checks = bool(plan.template.checks)
    if acceptance is not None and not has_checks:
        raise InputError("the template has no checks: leave the acceptance rate out")
    tries = None if acceptance is None else tries_for(records, acceptance)
    return replace(
        estimate(priced, records=records, tries=tries),
        warnings=plan.warnings,
        checks_assume=assumption(records, acceptance) if has_checks else None,
    )


def sample_costs(
    engine: TemplateEngine,
    plan: Plan,
    rows: Sequence[Row] | None,
    *,
    records: int,
    draws: Draws,
) -> list[list[StepSample]]:
    """A spread of records, each as what the steps and judges of one try send. Raises
    `TemplateError`.
    """
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

    return [
        _price_record(
            plan, rendered(position, "half", "note"), rendered(position, "full", "half", "note")
        )
        for position in range(count)
    ]


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

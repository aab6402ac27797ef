"""Looking before paying: whether a template can be used, and what it would send. No model is
called.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from runtime.domain.checks.wording import check_text
from runtime.domain.errors import TemplateError
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.calls import Message
from runtime.domain.models.choice import ModelChoice
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.estimate_text import too_long
from runtime.domain.seeds.readers import Found
from runtime.domain.seeds.report import MAX_SAMPLED, inspect_seeds, null_paths
from runtime.domain.templates.seed_needs import seed_needs
from runtime.domain.templates.template import Template
from runtime.engine.dry_run import (
    RenderedStep,
    example_seed,
    render_calls,
)
from runtime.engine.estimating import MAX_SAMPLES, estimate_cost
from runtime.engine.plan import Plan, StepPlan, make_plan
from runtime.engine.rendering.languages import check_languages
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.row_sample import RowSample, sample_row
from runtime.engine.seeds import DrawnSeeds, as_seen, seed_types
from runtime.files.rows import SeedRows
from runtime.inputs.needs import check_row_fields
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import SeedFile, SeedSource, read_seeds
from runtime.inputs.templates import TemplateSource, read_template

_IN_ORDER: Final = Draws(seed_strategy=SeedStrategy.ORDERED)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCheck:
    """One step: its model, and its texts for the first record, None where that needs a seed."""

    id: str
    model: str
    max_tokens: int
    schema_by: str | None = None
    """How its schema reaches the model: service, grammar or words; None: it has none."""
    schema_reason: str | None = None
    """Why it goes in words alone, where the model would take another schema."""
    when: str | None = None
    """On what it depends whether a record takes the step; None: each does."""
    skipped: bool = False
    """Whether the first seed's record does not take it, whatever earlier steps give."""
    prompt: str | None = None
    system: str | None = None
    messages: tuple[Message, ...] = ()
    """The turns before the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckShown:
    """One check of the template in words; of a judge also its call."""

    id: str
    text: str
    judge: StepCheck | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateCheck:
    """A template that can be used. `needs` are the paths that every seed has to have."""

    name: str
    needs: tuple[str, ...]
    steps: tuple[StepCheck, ...]
    checks: tuple[CheckShown, ...] = ()
    """What decides which records stay."""
    batch_of: int | None = None
    """How many seeds a record has, where its texts see a list of them."""
    seeds: int | None
    """How many seeds were checked, None without seeds."""
    samples: Mapping[str, Any] = field(default_factory=dict)
    """What the template's samplers draw for the first record."""
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What stands at or below each path that the template needs, in the first seeds: text, integer,
    number, boolean, null, list or object.
    """
    nulls: Mapping[str, int] = field(default_factory=dict)
    """In how many of all seeds a path that the template needs leads to null, where there is one."""
    sample: RowSample
    """The columns of a row, and the first one, made of what models might answer."""
    warnings: tuple[str, ...] = ()
    """What is odd about seeds or prices, or too long for a model, and no reason to refuse them."""


def check_template(
    template: TemplateSource,
    seeds: SeedSource | None,
    *,
    prices: PriceTable,
    backend: str,
    models: ModelChoice,
    reading: SeedReading | None = None,
) -> TemplateCheck:
    """What the template does and, with seeds or where it needs none, its first prompts.

    Raises `TemplateError`, `SeedError`, `PriceError` or another `InputError`.
    """
    checked = read_template(template)
    plan = plan_of(checked, prices, backend=backend, models=models)
    check_languages(checked.checks)
    how = reading or SeedReading()
    file = None if seeds is None else read_seeds(seeds, checked.schema_requirements, how)
    check_row_fields(file, checked)
    rows = None if file is None else file.rows
    samples = (
        DrawnSeeds(rows, samplers=checked.samplers, job_id="", draws=_IN_ORDER).draw(0).samples
    )
    with TemplateEngine() as engine:
        engine.load(checked)
        complete = file is not None or not seed_needs(checked)
        texts = _first_texts(engine, plan, rows) if complete else None
        warnings = [] if file is None else [*file.warnings]
        if complete:
            warnings += _too_long(engine, plan, rows)
        sample = _sample(engine, checked, file, samples)
    return TemplateCheck(
        name=checked.name,
        needs=tuple(checked.schema_requirements),
        steps=tuple(
            _step_check(each, None if texts is None else texts[each.step.id]) for each in plan.steps
        ),
        checks=tuple(
            CheckShown(
                id=each.id,
                text=check_text(each),
                judge=_step_check(judge, None if texts is None else texts[each.id])
                if (judge := plan.judges.get(each.id))
                else None,
            )
            for each in checked.checks
        ),
        batch_of=checked.batch_of,
        seeds=None if file is None else len(file.rows),
        samples=samples,
        types={} if file is None else _types_of(file.rows, checked.schema_requirements),
        nulls={} if file is None else _nulls_of(file.rows, checked.schema_requirements),
        warnings=(*plan.warnings, *warnings),
        sample=sample,
    )


def _step_check(plan: StepPlan, texts: RenderedStep | None) -> StepCheck:
    form = plan.form
    return StepCheck(
        id=plan.step.id,
        model=plan.model,
        max_tokens=plan.max_tokens,
        schema_by=None if form is None else str(form.way),
        schema_reason=None if form is None else form.reason,
        when=plan.step.when,
        skipped=texts is not None and texts.skipped,
        prompt=None if texts is None else texts.prompt,
        system=None if texts is None else texts.system or "",
        messages=() if texts is None else texts.messages,
    )


def _sample(
    engine: TemplateEngine, template: Template, file: SeedFile | None, samples: Mapping[str, Any]
) -> RowSample:
    """With the first seed, or with one that is made up."""
    if file is None:
        example = as_seen([example_seed(template.schema_requirements)], template.batch_of)
        return sample_row(engine, template, example, samples=samples)
    drawn = DrawnSeeds(file.rows, job_id="", draws=_IN_ORDER, batch_of=template.batch_of)
    seeds = seed_types(file.rows, template.output)
    return sample_row(engine, template, drawn(0).row, seeds=seeds, samples=samples)


def _types_of(rows: SeedRows, requirements: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = inspect_seeds((Found(row, None) for row in rows[:MAX_SAMPLED]), ())
    return {
        path: kinds
        for path, kinds in found.types.items()
        if any(f"{path}.".startswith(f"{each}.") for each in requirements)
    }


def _nulls_of(rows: SeedRows, requirements: Sequence[str]) -> dict[str, int]:
    return dict(Counter(path for row in rows for path in null_paths(row, requirements)))


def _too_long(engine: TemplateEngine, plan: Plan, rows: SeedRows | None) -> list[str]:
    """Of a spread of the seeds, one record each; without seeds, of the first records."""
    records = MAX_SAMPLES if rows is None else len(rows)
    try:
        found = estimate_cost(engine, plan, rows, records=records, draws=_IN_ORDER)
    except TemplateError:  # a later seed's prompt fails its own record, and no more than that
        return []
    return too_long(found)


def _first_texts(
    engine: TemplateEngine, plan: Plan, rows: SeedRows | None
) -> dict[str, RenderedStep]:
    rendered = render_calls(engine, plan, rows, job_id="", index=0, draws=_IN_ORDER)
    return {each.step.id: each for each in rendered}


def plan_of(template: Template, prices: PriceTable, *, backend: str, models: ModelChoice) -> Plan:
    """The plan of a dataset that would begin today. Raises what `make_plan` does."""
    today = datetime.now(UTC).date()
    return make_plan(template, prices, provider=backend, model=models.model, on=today)

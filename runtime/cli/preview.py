"""Looking before paying: `validate` shows prompts, `estimate` shows figures. No model is called."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from runtime.datasets.inputs import check_count, read_seeds, read_template
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.seeds.readers import Found, Row
from runtime.domain.seeds.report import MAX_SAMPLED, inspect_seeds
from runtime.domain.templates.template import Step, Template
from runtime.engine.dry_run import estimate_cost, render_record
from runtime.engine.plan import Plan, make_plan
from runtime.engine.rendering.renderer import TemplateEngine


def show_prompts(
    path: Path, seeds: Path | None, prices: PriceTable, *, backend: str, model: str | None
) -> None:
    """`validate`: what the template does and, with seeds, its first prompts."""
    template = read_template(path)
    plan = _plan(template, prices, backend=backend, model=model)
    needs = ", ".join(template.schema_requirements) or "nothing"
    file = None if seeds is None else read_seeds(seeds, template.schema_requirements)
    with TemplateEngine() as engine:
        engine.load(template)
        rendered = [] if file is None else _first_prompts(engine, template, file.rows)
    print(f"{path}: {len(plan.steps)} step(s), needs {needs} of every seed")
    for step in plan.steps:
        print(f"  {step.step.id}: {step.model}, at most {step.max_tokens} tokens")
    if file is not None:
        print(f"{seeds}: {len(file.rows)} seeds, each has what the template needs")
        for needed, kinds in _types_of(file.rows, template.schema_requirements).items():
            print(f"  {needed}: {' or '.join(kinds)}")
        for warning in file.rows.warnings:
            print(f"warning: {warning}")
    for each, prompt, system in rendered:
        if system:
            print(f"\n── {each.id}: system ──\n{system}")
        print(f"\n── {each.id}: prompt ──\n{prompt}")


def _types_of(rows: Sequence[Row], requirements: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What stands at or below each path that a template needs, in the first rows."""
    found = inspect_seeds((Found(row, None) for row in rows[:MAX_SAMPLED]), ())
    return {
        path: kinds
        for path, kinds in found.types.items()
        if any(f"{path}.".startswith(f"{each}.") for each in requirements)
    }


def _first_prompts(
    engine: TemplateEngine, template: Template, rows: Sequence[Row]
) -> list[tuple[Step, str, str]]:
    return render_record(
        engine,
        template,
        rows,
        job_id="",
        index=0,
        draws=Draws(seed_strategy=SeedStrategy.ORDERED),
    )


def show_estimate(
    path: Path,
    seeds: Path,
    prices: PriceTable,
    *,
    records: int,
    backend: str,
    model: str | None,
    strategy: SeedStrategy,
    json: bool,
) -> None:
    """`estimate`: what a dataset would cost."""
    template = read_template(path)
    count = check_count(records)
    file = read_seeds(seeds, template.schema_requirements)
    plan = _plan(template, prices, backend=backend, model=model)
    with TemplateEngine() as engine:
        engine.load(template)
        result = estimate_cost(
            engine, plan, file.rows, records=count, draws=Draws(seed_strategy=strategy)
        )
    models = list(dict.fromkeys(step.model for step in plan.steps))
    if json:
        document = {
            "records": result.records,
            "models": models,
            "lowest_usd": usd_decimal(result.lowest_nano),
            "likely_usd": usd_decimal(result.likely_nano),
            "highest_usd": usd_decimal(result.highest_nano),
            "likely_tokens": result.likely_tokens,
        }
        print(orjson.dumps(document).decode())
        return
    print(f"{result.records} records with {', '.join(models)}:")
    print(f"  lowest   {usd(result.lowest_nano)}")
    print(f"  likely   {usd(result.likely_nano)}   (about {result.likely_tokens} tokens)")
    print(f"  highest  {usd(result.highest_nano)}   (enough as a budget)")


def _plan(template: Template, prices: PriceTable, *, backend: str, model: str | None) -> Plan:
    return make_plan(template, prices, provider=backend, model=model, on=datetime.now(UTC).date())

"""`seedwright validate`: what a template does and, with seeds, its first prompts."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.job_options import takes
from runtime.cli.options import (
    PRICED,
    BackendOption,
    PricesOption,
    TemplateArgument,
)
from runtime.cli.output import print_line, print_titled
from runtime.datasets.checks import check_template
from runtime.domain.models.choice import ModelChoice
from runtime.domain.seeds.report import null_lines
from runtime.domain.wording import counted
from runtime.models.registry import prices_here

EXAMPLE: Final = "Example: seedwright validate template.yaml --seeds seeds.csv"


@takes(ModelChoice)
def validate(
    template: TemplateArgument,
    models: ModelChoice,
    seeds: Annotated[
        Path | None, typer.Option(help="Check these seeds too, and render with the first.")
    ] = None,
    backend: BackendOption = PRICED,
    prices: PricesOption = None,
) -> None:
    """Check a template. With seeds, show the prompts for the first seed. Calls no model."""
    table = prices_here(str(backend), prices)
    found = check_template(template, seeds, prices=table, backend=str(backend), models=models)
    needs = ", ".join(found.needs) or "nothing"
    print_line(f"{template}: {counted(len(found.steps), 'step')}, needs {needs} of every seed")
    for step in found.steps:
        form = f", schema by {step.schema_by}" if step.schema_by else ""
        print_line(f"  {step.id}: {step.model}, at most {counted(step.max_tokens, 'token')}{form}")
        if step.schema_reason is not None:
            print_line(f"    in the prompt only: {step.schema_reason}")
    if found.seeds is None:
        _warn(*found.warnings)
        return
    print_line(f"{seeds}: {counted(found.seeds, 'seed')}, each has what the template needs")
    for needed, kinds in found.types.items():
        print_line(f"  {needed}: {' or '.join(kinds)}")
    _warn(*null_lines(found.nulls, seeds=found.seeds), *found.warnings)
    for step in found.steps:
        if step.system:
            print_titled(f"{step.id}: system", step.system)
        print_titled(f"{step.id}: prompt", step.prompt or "")


def _warn(*warnings: str) -> None:
    for warning in warnings:
        print_line(f"warning: {warning}")

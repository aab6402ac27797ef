"""`seedwright validate`: what a template does and, with seeds, its first prompts."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import (
    Backend,
    BackendOption,
    ModelOption,
    PricesOption,
    TemplateArgument,
)
from runtime.datasets.checks import check_template
from runtime.domain.models.price_table import load_prices

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: seedwright validate template.yaml --seeds seeds.csv")
def validate(
    template: TemplateArgument,
    seeds: Annotated[
        Path | None, typer.Option(help="Check these seeds too, and render with the first.")
    ] = None,
    backend: BackendOption = Backend.LOCAL,
    model: ModelOption = None,
    prices: PricesOption = None,
) -> None:
    """Check a template. With seeds, show the prompts of the first record. Calls no model."""
    found = check_template(
        template, seeds, prices=load_prices(prices), backend=str(backend), model=model
    )
    needs = ", ".join(found.needs) or "nothing"
    print(f"{template}: {len(found.steps)} step(s), needs {needs} of every seed")
    for step in found.steps:
        print(f"  {step.id}: {step.model}, at most {step.max_tokens} tokens")
    if found.seeds is None:
        return
    print(f"{seeds}: {found.seeds} seeds, each has what the template needs")
    for step in found.steps:
        if step.system:
            print(f"\n── {step.id}: system ──\n{step.system}")
        print(f"\n── {step.id}: prompt ──\n{step.prompt}")

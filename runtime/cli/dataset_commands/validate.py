"""`seedwright validate`: a check of a template."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import (
    Backend,
    BackendOption,
    ModelOption,
    PricesOption,
    TemplateArgument,
)

EXAMPLE: Final = "Example: seedwright validate template.yaml --seeds seeds.csv"


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
    from runtime.cli.preview import show_prompts  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    show_prompts(template, seeds, load_prices(prices), backend=str(backend), model=model)

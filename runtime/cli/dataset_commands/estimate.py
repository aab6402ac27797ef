"""`seedwright estimate`: what a dataset would cost."""

from typing import Final

from runtime.cli.options import (
    Backend,
    BackendOption,
    CountOption,
    JsonOption,
    ModelOption,
    PricesOption,
    SeedsOption,
    StrategyOption,
    TemplateArgument,
)
from runtime.domain.jobs.job import SeedStrategy

EXAMPLE: Final = "Example: seedwright estimate template.yaml --seeds seeds.csv -n 10000"


def estimate(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    model: ModelOption = None,
    backend: BackendOption = Backend.BEDROCK,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    prices: PricesOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Say what a dataset would cost before a cent is spent. Calls no model."""
    from runtime.cli.preview import show_estimate  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    show_estimate(
        template,
        seeds,
        load_prices(prices),
        records=num_records,
        backend=str(backend),
        model=model,
        strategy=seed_strategy,
        json=json,
    )

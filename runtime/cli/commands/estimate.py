"""`seedwright estimate`: what a dataset would cost."""

import orjson
import typer

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
from runtime.datasets.checks import estimate_dataset
from runtime.domain.jobs.job import SeedStrategy
from runtime.domain.models.price_table import load_prices
from runtime.domain.money.amounts import usd

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: seedwright estimate template.yaml --seeds seeds.csv -n 10000")
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
    found = estimate_dataset(
        template,
        seeds,
        num_records=num_records,
        prices=load_prices(prices),
        backend=str(backend),
        model=model,
        seed_strategy=seed_strategy,
    )
    if json:
        print(orjson.dumps(found.document()).decode())
        return
    print(f"{found.records} records with {', '.join(found.models)}:")
    print(f"  lowest   {usd(found.lowest_nano)}")
    print(f"  likely   {usd(found.likely_nano)}   (about {found.likely_tokens} tokens)")
    print(f"  highest  {usd(found.highest_nano)}   (enough as a budget)")

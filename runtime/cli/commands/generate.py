"""`seedwright generate`: a dataset from a template and seeds, or on where it stopped."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.generating import RunOptions, generate_and_report
from runtime.cli.options import (
    Backend,
    BackendOption,
    BudgetOption,
    CountOption,
    FormatOption,
    JsonOption,
    ModelOption,
    PricesOption,
    RandomSeedOption,
    SeedsOption,
    StrategyOption,
    TemplateArgument,
)
from runtime.datasets.folder import folder_name
from runtime.datasets.request import DEFAULT_BUDGET, DEFAULT_FORMATS, read_request
from runtime.domain.jobs.job import SeedStrategy
from runtime.domain.models.price_table import load_prices
from runtime.inputs.options import MAX_CONCURRENCY

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_SHOWN_RECORDS: Final = 3


@app.command(
    epilog="Example: seedwright generate template.yaml --seeds seeds.csv -n 100 --budget 0.50"
    " --backend bedrock --out datasets/reviews"
)
def generate(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    budget: BudgetOption = DEFAULT_BUDGET,
    model: ModelOption = None,
    backend: BackendOption = Backend.LOCAL,
    formats: FormatOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the dataset. [datasets/<template's name>]")
    ] = None,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    random_seed: RandomSeedOption = 0,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=MAX_CONCURRENCY, help="Model calls at a time.")
    ] = None,
    prices: PricesOption = None,
    *,
    json: JsonOption = False,
) -> int:
    """Generate a dataset. Stop it any way you like: the same command goes on where it was."""
    request = read_request(
        template,
        seeds,
        num_records=num_records,
        budget=budget,
        model=model,
        backend=str(backend),
        formats=formats or DEFAULT_FORMATS,
        seed_strategy=seed_strategy,
        random_seed=random_seed,
    )
    options = RunOptions(
        out=out or Path("datasets") / folder_name(request.template.name),
        concurrency=concurrency,
        json=json,
        show=_SHOWN_RECORDS,
    )
    return generate_and_report(request, load_prices(prices), options)

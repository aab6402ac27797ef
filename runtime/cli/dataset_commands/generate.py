"""`seedwright generate`: a dataset on this machine."""

from pathlib import Path
from typing import Annotated, Final

import typer

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
from runtime.domain.jobs.job import SeedStrategy

EXAMPLE: Final = (
    "Example: seedwright generate template.yaml --seeds seeds.csv -n 100 --budget 0.50"
    " --backend bedrock --out datasets/reviews"
)


def generate(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    budget: BudgetOption = "1.00",
    model: ModelOption = None,
    backend: BackendOption = Backend.LOCAL,
    formats: FormatOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the dataset. [datasets/<template's name>]")
    ] = None,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    random_seed: RandomSeedOption = 0,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=512, help="Model calls at a time.")
    ] = None,
    prices: PricesOption = None,
    *,
    json: JsonOption = False,
) -> int:
    """Generate a dataset. Stop it any way you like: the same command goes on where it was."""
    from runtime.cli.generate import Options, read_dataset  # noqa: PLC0415
    from runtime.cli.generate import generate as generate_dataset  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    dataset = read_dataset(
        template,
        seeds,
        num_records=num_records,
        budget=budget,
        model=model,
        backend=str(backend),
        formats=formats or ["jsonl,parquet"],
        seed_strategy=seed_strategy,
        random_seed=random_seed,
    )
    folder = out or Path("datasets") / folder_name(dataset.template.name)
    options = Options(out=folder, concurrency=concurrency, json=json, show=3)
    return generate_dataset(dataset, load_prices(prices), options)


def folder_name(name: str) -> str:
    """A template's name as a folder name that every file system takes."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name.lower())
    return kept[:60].strip("-.") or "dataset"

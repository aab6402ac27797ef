"""The commands that work on this machine: generate, demo, validate, estimate, models."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.group import command_app
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

generate, demo, validate, estimate, models = (command_app() for _ in range(5))


@generate.command(
    "generate",
    epilog="Example: seedwright generate template.yaml --seeds seeds.csv -n 100 --budget 0.50"
    " --backend bedrock --out datasets/reviews",
)
def generate_command(
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


@demo.command("demo", epilog="Example: seedwright demo -n 5 --out datasets/first")
def demo_command(
    num_records: Annotated[int, typer.Option("-n", help="Records to generate.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("datasets/demo"),
) -> int:
    """Generate product reviews with the embedded model. No account, no key, no cost."""
    from runtime.cli.generate import Options, read_dataset  # noqa: PLC0415
    from runtime.cli.generate import generate as generate_dataset  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    example = examples_folder() / "product-reviews"
    dataset = read_dataset(
        example / "template.yaml",
        example / "seeds.csv",
        num_records=num_records,
        budget="1.00",
        model=None,
        backend=str(Backend.LOCAL),
        formats=["jsonl,parquet"],
        seed_strategy=SeedStrategy.SEQUENTIAL,
        random_seed=0,
    )
    options = Options(out=out, concurrency=None, json=False, show=min(num_records, 20))
    return generate_dataset(dataset, load_prices(), options)


@validate.command("validate", epilog="Example: seedwright validate template.yaml --seeds seeds.csv")
def validate_command(
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


@estimate.command(
    "estimate",
    epilog="Example: seedwright estimate template.yaml --seeds seeds.csv -n 10000",
)
def estimate_command(
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


@models.command("models", epilog="Example: seedwright models | grep nova")
def models_command(prices: PricesOption = None, *, json: JsonOption = False) -> None:
    """List models with prices, tiers and the last day they can be used."""
    from runtime.cli.tables import show_models  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    show_models(load_prices(prices), json=json)


def examples_folder() -> Path:
    """The examples: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"


def folder_name(name: str) -> str:
    """A template's name as a folder name that every file system takes."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name.lower())
    return kept[:60].strip("-.") or "dataset"

"""The `seedwright` command."""

import sys
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

import runtime
from runtime.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    InputError,
    SeedwrightError,
)
from runtime.domain.job import SeedStrategy

EXIT_BAD_INPUT: Final = 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Synthetic datasets from prompt templates and seed data, within a hard budget.",
)


class Backend(StrEnum):
    """Where models run."""

    LOCAL = "local"
    BEDROCK = "bedrock"


TemplateArgument = Annotated[Path, typer.Argument(help="Template file, YAML or JSON.")]
SeedsOption = Annotated[Path, typer.Option(help="Seed data: .json, .jsonl, .csv or .parquet.")]
CountOption = Annotated[int, typer.Option("-n", "--num-records", help="Records to generate.")]
ModelOption = Annotated[
    str | None, typer.Option(help="Use this model for every step (see `seedwright models`).")
]
BackendOption = Annotated[
    Backend,
    typer.Option(help="local: the embedded model. bedrock: your AWS credentials and region."),
]
PricesOption = Annotated[
    Path | None, typer.Option(help="JSON file whose rows replace or add to the price table.")
]
StrategyOption = Annotated[
    SeedStrategy,
    typer.Option(help="random: an independent draw a record. sequential: row by row, again."),
]
RandomSeedOption = Annotated[
    int, typer.Option(help="Another number draws other seeds for the same template.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]


@app.command("generate")
def generate_command(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    budget: Annotated[str, typer.Option(help="Hard limit in USD: it is never passed.")] = "1.00",
    model: ModelOption = None,
    backend: BackendOption = Backend.LOCAL,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="jsonl, parquet, csv; repeat or separate by commas."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the dataset [default: datasets/<template>]")
    ] = None,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    random_seed: RandomSeedOption = 0,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=512, help="Model calls at a time.")
    ] = None,
    prices: PricesOption = None,
    json: JsonOption = False,  # noqa: FBT002 - Typer makes a flag of it
) -> None:
    """Generate a dataset. Stop it any way you like: the same command goes on where it was."""
    from runtime.cli.dataset_folder import Dataset  # noqa: PLC0415 - --help stays quick
    from runtime.cli.generate import Options, generate  # noqa: PLC0415
    from runtime.cli.inputs import (  # noqa: PLC0415
        check_count,
        parse_formats,
        read_seeds,
        read_template,
    )
    from runtime.domain.money import parse_usd  # noqa: PLC0415
    from runtime.domain.pricing import load_prices  # noqa: PLC0415

    checked = read_template(template)
    dataset = Dataset(
        template=checked,
        seeds=read_seeds(seeds, checked.schema_requirements),
        num_records=check_count(num_records),
        seed_strategy=seed_strategy,
        random_seed=random_seed,
        model=model,
        backend=str(backend),
        budget_nano=parse_usd(budget),
        formats=parse_formats(formats or ["jsonl,parquet"]),
    )
    options = Options(
        out=out or Path("datasets") / folder_name(checked.name),
        concurrency=concurrency,
        json=json,
        show=3,
    )
    raise typer.Exit(generate(dataset, load_prices(prices), options))


@app.command("demo")
def demo_command(
    num_records: Annotated[int, typer.Option("-n", help="Records to generate.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("datasets/demo"),
) -> None:
    """Generate product reviews with the embedded model: no account, no key, no cost."""
    from runtime.cli.dataset_folder import Dataset  # noqa: PLC0415
    from runtime.cli.generate import Options, generate  # noqa: PLC0415
    from runtime.cli.inputs import (  # noqa: PLC0415
        check_count,
        parse_formats,
        read_seeds,
        read_template,
    )
    from runtime.domain.money import NANO_PER_USD  # noqa: PLC0415
    from runtime.domain.pricing import load_prices  # noqa: PLC0415

    example = examples_folder() / "product-reviews"
    template = read_template(example / "template.yaml")
    dataset = Dataset(
        template=template,
        seeds=read_seeds(example / "seeds.csv", template.schema_requirements),
        num_records=check_count(num_records),
        seed_strategy=SeedStrategy.SEQUENTIAL,
        random_seed=0,
        model=None,
        backend=str(Backend.LOCAL),
        budget_nano=NANO_PER_USD,
        formats=parse_formats(["jsonl,parquet"]),
    )
    options = Options(out=out, concurrency=None, json=False, show=num_records)
    raise typer.Exit(generate(dataset, load_prices(), options))


@app.command("validate")
def validate_command(
    template: TemplateArgument,
    seeds: Annotated[
        Path | None, typer.Option(help="Check these seeds too, and render with the first.")
    ] = None,
    backend: BackendOption = Backend.LOCAL,
    model: ModelOption = None,
    prices: PricesOption = None,
) -> None:
    """Check a template, and with seeds show the prompts of the first record. Calls no model."""
    from runtime.cli.inputs import read_seeds, read_template  # noqa: PLC0415
    from runtime.cli.preview import render_record  # noqa: PLC0415
    from runtime.domain.pricing import load_prices  # noqa: PLC0415
    from runtime.worker.plan import make_plan  # noqa: PLC0415
    from runtime.worker.template_engine import TemplateEngine  # noqa: PLC0415

    checked = read_template(template)
    plan = make_plan(checked, load_prices(prices), provider=str(backend), model=model, on=today())
    needs = ", ".join(checked.schema_requirements) or "nothing"
    print(f"{template}: {len(plan.steps)} step(s), needs {needs} of every seed")
    for step in plan.steps:
        print(f"  {step.step.id}: {step.model}, at most {step.max_tokens} tokens")
    if seeds is None:
        return
    file = read_seeds(seeds, checked.schema_requirements)
    print(f"{seeds}: {len(file.rows)} seeds, each has what the template needs")
    with TemplateEngine() as engine:
        engine.load(checked)
        rendered = render_record(
            engine, checked, file.rows, job_id="", index=0, strategy=SeedStrategy.SEQUENTIAL
        )
    for step_, prompt, system in rendered:
        if system:
            print(f"\n── {step_.id}: system ──\n{system}")
        print(f"\n── {step_.id}: prompt ──\n{prompt}")


@app.command("estimate")
def estimate_command(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    model: ModelOption = None,
    backend: BackendOption = Backend.BEDROCK,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    prices: PricesOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Say what a dataset would cost, before a cent is spent. Calls no model."""
    from runtime.cli.inputs import check_count, read_seeds, read_template  # noqa: PLC0415
    from runtime.cli.preview import estimate_cost  # noqa: PLC0415
    from runtime.domain.money import usd, usd_decimal  # noqa: PLC0415
    from runtime.domain.pricing import load_prices  # noqa: PLC0415
    from runtime.worker.plan import make_plan  # noqa: PLC0415
    from runtime.worker.template_engine import TemplateEngine  # noqa: PLC0415

    checked = read_template(template)
    count = check_count(num_records)
    file = read_seeds(seeds, checked.schema_requirements)
    plan = make_plan(checked, load_prices(prices), provider=str(backend), model=model, on=today())
    with TemplateEngine() as engine:
        engine.load(checked)
        result = estimate_cost(
            engine, plan, file.rows, job_id="", records=count, strategy=seed_strategy
        )
    models = list(dict.fromkeys(step.model for step in plan.steps))
    if json:
        print_json(
            {
                "records": result.records,
                "models": models,
                "lowest_usd": usd_decimal(result.lowest_nano),
                "likely_usd": usd_decimal(result.likely_nano),
                "highest_usd": usd_decimal(result.highest_nano),
                "likely_tokens": result.likely_tokens,
            }
        )
        return
    print(f"{result.records} records with {', '.join(models)}:")
    print(f"  lowest   {usd(result.lowest_nano)}")
    print(f"  likely   {usd(result.likely_nano)}   (about {result.likely_tokens} tokens)")
    print(f"  highest  {usd(result.highest_nano)}   (a budget this large is always enough)")


@app.command("models")
def models_command(prices: PricesOption = None, json: JsonOption = False) -> None:  # noqa: FBT002
    """List models with prices, tiers and the last day they can be used."""
    from runtime.cli.tables import model_rows, show_models  # noqa: PLC0415
    from runtime.domain.pricing import load_prices  # noqa: PLC0415

    table = load_prices(prices)
    rows = model_rows(table, today())
    if json:
        print_json({"version": table.version, "models": rows})
    else:
        show_models(rows, table.version)


def today() -> date:
    """The date on which prices are judged."""
    return datetime.now(UTC).date()


def print_json(document: object) -> None:
    """One document on standard output."""
    import orjson  # noqa: PLC0415

    print(orjson.dumps(document).decode())


def examples_folder() -> Path:
    """The examples: inside an installed package, or beside it in a checkout."""
    package = Path(runtime.__file__).parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"


def folder_name(name: str) -> str:
    """A template's name as a folder name."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name.lower())
    return kept.strip("-.") or "dataset"


def main() -> None:
    """Run the command; every expected failure is one line on standard error."""
    try:
        app()
    except (InputError, ConfigurationError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except BudgetExceededError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(3)
    except SeedwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

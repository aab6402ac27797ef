"""The `seedwright` command: options, help and exit codes. Each command imports what it needs when
it runs, so that help and errors are quick.

Exit codes: 0 done · 1 failed · 2 wrong input, nothing was started · 3 budget used up · 130 stopped.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
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
from runtime.cli.remote import commands
from runtime.contract.exit_codes import EXIT_BAD_INPUT, EXIT_BUDGET, EXIT_FAILED
from runtime.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    SeedwrightError,
    UnauthenticatedError,
)
from runtime.domain.jobs.sampling import SeedStrategy

_REFUSALS: Final = (
    InputError,
    ConfigurationError,
    UnauthenticatedError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    ConflictError,
)
"""Nothing was started: by the command's own check, or by the API's."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Synthetic datasets from prompt templates and seed data, within a hard budget.",
    epilog="Start with `seedwright demo`, which needs no account and no key.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,  # noqa: FBT002 - Typer makes a flag of it
) -> int:
    """Show the version, or the help when no command is given."""
    if version:
        from importlib.metadata import version as version_of  # noqa: PLC0415

        print(f"seedwright {version_of('seedwright')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
    return EXIT_BAD_INPUT


@app.command(
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
    seed_strategy: StrategyOption = SeedStrategy.SHUFFLE,
    random_seed: RandomSeedOption = 0,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=512, help="Model calls at a time.")
    ] = None,
    prices: PricesOption = None,
    json: JsonOption = False,  # noqa: FBT002
) -> int:
    """Generate a dataset. Stop it any way you like: the same command goes on where it was."""
    from runtime.cli.generate import Options, generate, read_dataset  # noqa: PLC0415
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
    return generate(dataset, load_prices(prices), options)


@app.command("demo", epilog="Example: seedwright demo -n 5 --out datasets/first")
def demo_command(
    num_records: Annotated[int, typer.Option("-n", help="Records to generate.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("datasets/demo"),
) -> int:
    """Generate product reviews with the embedded model. No account, no key, no cost."""
    from runtime.cli.generate import Options, generate, read_dataset  # noqa: PLC0415
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
        seed_strategy=SeedStrategy.ORDERED,
        random_seed=0,
    )
    options = Options(out=out, concurrency=None, json=False, show=min(num_records, 20))
    return generate(dataset, load_prices(), options)


@app.command("validate", epilog="Example: seedwright validate template.yaml --seeds seeds.csv")
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


@app.command(
    "estimate",
    epilog="Example: seedwright estimate template.yaml --seeds seeds.csv -n 10000",
)
def estimate_command(
    template: TemplateArgument,
    seeds: SeedsOption,
    num_records: CountOption,
    model: ModelOption = None,
    backend: BackendOption = Backend.BEDROCK,
    seed_strategy: StrategyOption = SeedStrategy.SHUFFLE,
    prices: PricesOption = None,
    json: JsonOption = False,  # noqa: FBT002
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


@app.command("models", epilog="Example: seedwright models | grep nova")
def models_command(prices: PricesOption = None, json: JsonOption = False) -> None:  # noqa: FBT002
    """List models with prices, tiers and the last day they can be used."""
    from runtime.cli.tables import show_models  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    show_models(load_prices(prices), json=json)


commands.register(app)


def examples_folder() -> Path:
    """The examples: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"


def folder_name(name: str) -> str:
    """A template's name as a folder name that every file system takes."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name.lower())
    return kept[:60].strip("-.") or "dataset"


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code. Every expected failure is one line on standard error."""
    try:
        return int(app(arguments, prog_name="seedwright", standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')} (see --help)", error.exit_code)
    except typer.Abort:  # the end of standard input, where an answer was expected
        return _fail("stopped: nothing was answered", EXIT_BAD_INPUT)
    except SeedwrightError as error:
        return _fail(str(error), _code_of(error))
    except OSError as error:
        return _fail(f"{error.filename or 'disk'}: {error.strerror or error}", EXIT_FAILED)


def _code_of(error: SeedwrightError) -> int:
    if isinstance(error, _REFUSALS):
        return EXIT_BAD_INPUT
    return EXIT_BUDGET if isinstance(error, BudgetExceededError) else EXIT_FAILED


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def main() -> None:
    """The entry point of the process."""
    # A tenth of the start-up time would go into looking at objects that all stay.
    gc.disable()
    _repair_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _repair_streams() -> None:
    """Printing must never fail: descriptors that were closed would be given to other files, and a
    terminal may have fewer characters than we use.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                while os.open(os.devnull, os.O_RDWR) < descriptor:
                    pass
            setattr(sys, name, open(descriptor, "r+", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")

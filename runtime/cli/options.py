"""Options that several commands share, so that they are named and explained in one way."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from runtime.domain.jobs.sampling import SeedStrategy


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
    typer.Option(
        help="shuffle: each seed once before one is used twice. ordered (or sequential): row by"
        " row, again. random: an independent draw a record."
    ),
]
RandomSeedOption = Annotated[
    int, typer.Option(help="Another number draws other seeds for the same template.")
]
FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format", help="jsonl, parquet, csv; repeat or separate by commas. [jsonl,parquet]"
    ),
]
BudgetOption = Annotated[str, typer.Option(help="Hard limit in USD: it is never passed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]

# ── commands that talk to an API ───────────────────────────────────────────────────────────────

ProfileOption = Annotated[
    str | None,
    typer.Option(
        envvar="SEEDWRIGHT_PROFILE", help="Which API to talk to. [what you signed in to last]"
    ),
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

"""Options that several commands share, so that they are named and explained in one way."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.domain.models.limiter import MAX_CONCURRENCY
from runtime.inputs.options import MAX_WORKERS

DEFAULT_BACKEND: Final = "local"
"""Of commands that generate: it needs no account and costs nothing."""

TemplateArgument = Annotated[Path, typer.Argument(help="Template file, YAML or JSON.")]
SeedsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--seeds",
        help="Seeds: a file of rows or a document, a folder, a pattern, a dataset's folder, "
        "hf://datasets/owner/name, or - for standard input. Repeat it for more. Not for a template "
        "that reads none.",
    ),
]
CountOption = Annotated[int, typer.Option("-n", "--num-records", help="Records to generate.")]
BackendOption = Annotated[
    str,
    typer.Option(
        help="Whose models a step runs on that names no provider. local: the embedded model. "
        "bedrock: your AWS credentials and region. openai: an OpenAI-compatible server. Or a name "
        "of your own in providers.yaml."
    ),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="Where --backend openai is, such as http://127.0.0.1:8000/v1. [OPENAI_BASE_URL, or "
        "OpenAI itself]",
    ),
]
PricesOption = Annotated[
    Path | None, typer.Option(help="JSON file whose rows replace or add to the price table.")
]
BudgetOption = Annotated[str, typer.Option(help="Hard limit in USD: it is never passed.")]
MaxFailuresOption = Annotated[
    str,
    typer.Option(help="Share of failed records, 10% or 0.1, above which the exit code is 4."),
]
RetryFailedOption = Annotated[
    bool,
    typer.Option("--retry-failed", help="Try records that failed again, whatever the reason."),
]
DatasetArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset.")]
ShapeOption = Annotated[
    str | None,
    typer.Option("--as", help="Shape of the rows: messages, columns, … [the template's own]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for scripts.")]

# ── commands that talk to an API ───────────────────────────────────────────────────────────────

ProfileOption = Annotated[
    str | None,
    typer.Option(
        envvar="SEEDWRIGHT_PROFILE", help="Which API to talk to. [what you signed in to last]"
    ),
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, or its first characters.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
TemplateIdArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Id of the template.")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Show at most that many.")]
ConcurrencyOption = Annotated[
    int | None, typer.Option(min=1, max=MAX_CONCURRENCY, help="Model calls at a time.")
]
WorkersOption = Annotated[
    int,
    typer.Option(min=1, max=MAX_WORKERS, help="Processes side by side, a new dataset's shards."),
]
EXAMPLE_JOB: Final = "7b0c0f6e-3c1f-4f0e-9d53-0a4f6c1f2b11"
"""The job of the examples in the help."""

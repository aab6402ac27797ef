"""`seedwright generate`: a dataset from a template and seeds, or on where it stopped."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.generating import RunOptions, generate_and_report, generate_and_stream
from runtime.cli.job_options import is_given, takes
from runtime.cli.options import (
    DEFAULT_BACKEND,
    BackendOption,
    BaseUrlOption,
    BudgetOption,
    CountOption,
    JsonOption,
    MaxFailuresOption,
    PricesOption,
    RetryFailedOption,
    SeedsOption,
    TemplateArgument,
    WorkersOption,
)
from runtime.cli.seed_sources import PIPE, seed_sources
from runtime.datasets.folder import folder_name
from runtime.datasets.request import DEFAULT_BUDGET, read_request
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.errors import InputError
from runtime.domain.jobs.delivery import FOR_PEOPLE, Delivery
from runtime.domain.jobs.sampling import Draws
from runtime.domain.jobs.sharding import MAX_SHARDS
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.choice import ModelChoice
from runtime.domain.models.limiter import MAX_CONCURRENCY
from runtime.inputs.options import DEFAULT_MAX_FAILURES
from runtime.inputs.seed_reading import SeedReading

EXAMPLE: Final = (
    "Example: seedwright generate template.yaml --seeds seeds.csv -n 100 --budget 0.50"
    " --backend bedrock --out datasets/reviews"
)
SHOWN_RECORDS: Final = 3


@takes(
    SeedReading,
    ModelChoice,
    CallOptions,
    Draws,
    Delivery,
    Acceptance,
    defaults={"output_formats": FOR_PEOPLE.output_formats},
    without=("partition_strategy",),
)
def generate(
    template: TemplateArgument,
    num_records: CountOption,
    reading: SeedReading,
    models: ModelChoice,
    calls: CallOptions,
    draws: Draws,
    delivery: Delivery,
    acceptance: Acceptance,
    context: typer.Context,
    seeds: SeedsOption = None,
    budget: BudgetOption = DEFAULT_BUDGET,
    backend: BackendOption = DEFAULT_BACKEND,
    base_url: BaseUrlOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the dataset; - for the default one, and its rows to standard output. "
            "[datasets/<template's name>]"
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=MAX_CONCURRENCY, help="Model calls at a time.")
    ] = None,
    workers: WorkersOption = 1,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_SHARDS,
            help="Parts that a new dataset is split into. [as many as workers]",
        ),
    ] = None,
    prices: PricesOption = None,
    max_failures: MaxFailuresOption = DEFAULT_MAX_FAILURES,
    *,
    retry_failed: RetryFailedOption = False,
    json: JsonOption = False,
) -> int:
    """Generate a dataset. Stop it any way you like: the same command goes on where it was."""
    is_streamed = str(out) == PIPE
    if is_streamed and json:
        raise InputError("--json and --out - both write to standard output: leave one of them out")
    request = read_request(
        template,
        seed_sources(seeds),
        reading=reading,
        num_records=num_records,
        budget=budget,
        backend=backend,
        base_url=base_url,
        draws=draws,
        strategy_chosen=is_given(context, "seed_strategy"),
        models=models,
        calls=calls,
        delivery=delivery,
        acceptance=acceptance,
        retry_failed=retry_failed,
        shards=workers if shards is None else shards,
    )
    options = RunOptions(
        out=Path("datasets") / folder_name(request.template.name)
        if out is None or is_streamed
        else out,
        concurrency=concurrency,
        workers=workers,
        max_failures=max_failures,
        json=json,
        show=0 if is_streamed else SHOWN_RECORDS,
    )
    run = generate_and_stream if is_streamed else generate_and_report
    return run(request, request.backend.prices(prices), options)

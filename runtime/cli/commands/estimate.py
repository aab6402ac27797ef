"""`seedwright estimate`: what a dataset would cost."""

from typing import Annotated, Final

import typer

from runtime.cli.generating import run_shown
from runtime.cli.job_options import takes
from runtime.cli.options import (
    BackendOption,
    BaseUrlOption,
    CountOption,
    JsonOption,
    PricesOption,
    SeedsOption,
    TemplateArgument,
)
from runtime.cli.output import print_json, print_line
from runtime.cli.seed_sources import seed_sources
from runtime.datasets.estimating import estimate_by_pilot, estimate_dataset
from runtime.datasets.pilot import MAX_PILOT
from runtime.datasets.request import DEFAULT_BUDGET, read_request
from runtime.domain.errors import InputError
from runtime.domain.jobs.delivery import Delivery
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.estimate_text import estimate_lines
from runtime.inputs.options import PRICED_BACKEND
from runtime.inputs.seed_reading import SeedReading
from runtime.models.registry import Backend

EXAMPLE: Final = "Example: seedwright estimate template.yaml --seeds seeds.csv -n 10000"


@takes(SeedReading, ModelChoice, Draws, without=("random_seed",))
def estimate(
    template: TemplateArgument,
    num_records: CountOption,
    reading: SeedReading,
    models: ModelChoice,
    draws: Draws,
    seeds: SeedsOption = None,
    backend: BackendOption = PRICED_BACKEND,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
    acceptance: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Share of tries that checks accept, 0.4 or 40%. [each record's first try]",
        ),
    ] = None,
    pilot: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_PILOT,
            help="Measure that share: so many tries are made for real, and kept nowhere.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Hard limit of the pilot in USD; needed where a model bills."),
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Say what a dataset would cost before a cent is spent. Calls no model, but for a pilot."""
    if pilot is None and budget is not None:
        raise InputError("--budget is for --pilot: without it no model is called")
    if pilot is not None and acceptance is not None:
        raise InputError("--pilot measures the acceptance rate: leave --acceptance out")
    chosen = Backend(backend, base_url)
    table = chosen.prices(prices)
    if pilot is None:
        found = estimate_dataset(
            template,
            seed_sources(seeds),
            reading=reading,
            num_records=num_records,
            prices=table,
            backend=chosen.name,
            models=models,
            draws=draws,
            acceptance=acceptance,
        )
    else:
        request = read_request(
            template,
            seed_sources(seeds),
            reading=reading,
            num_records=num_records,
            budget=DEFAULT_BUDGET if budget is None else budget,
            backend=backend,
            base_url=base_url,
            draws=draws,
            models=models,
            delivery=Delivery(),
        )
        found = estimate_by_pilot(
            request,
            prices=table,
            tries=pilot,
            budget=budget,
            run=lambda asked, folder: run_shown(asked, folder, prices=table, json=json),
        )
    if json:
        print_json(found.document())
        return
    for line in estimate_lines(found, models=found.models):
        print_line(line)
    for line in () if found.pilot is None else found.pilot.lines(found):
        print_line(line)

"""`seedwright estimate`: what a dataset would cost."""

from typing import Final

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
from runtime.datasets.checks import estimate_dataset
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
    *,
    json: JsonOption = False,
) -> None:
    """Say what a dataset would cost before a cent is spent. Calls no model."""
    chosen = Backend(backend, base_url)
    found = estimate_dataset(
        template,
        seed_sources(seeds),
        reading=reading,
        num_records=num_records,
        prices=chosen.prices(prices),
        backend=chosen.name,
        models=models,
        draws=draws,
    )
    if json:
        print_json(found.document())
        return
    for line in estimate_lines(found, models=found.models):
        print_line(line)

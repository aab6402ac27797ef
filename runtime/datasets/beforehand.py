"""What `import seedwright` offers before a dataset is generated: whether a template can be used,
what a few of its records are like, what all of them would cost.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Unpack

from runtime.datasets.checks import TemplateCheck, check_template
from runtime.datasets.dataset import Preview, dataset_of, preview_of
from runtime.datasets.estimating import CostEstimate, estimate_by_pilot, estimate_dataset
from runtime.datasets.library import Usd, check_ended, read_prices, run_in_background
from runtime.datasets.request import DEFAULT_BUDGET, read_request
from runtime.domain.errors import InputError
from runtime.domain.jobs.delivery import Delivery
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.choice import ModelChoice
from runtime.domain.options import options_given
from runtime.inputs.options import PRICED_BACKEND
from runtime.inputs.seed_reading import ReadingOptions, read_as
from runtime.inputs.seeds import SeedSource
from runtime.inputs.templates import TemplateSource
from runtime.models.registry import Backend
from runtime.progress.meter import Snapshot

PREVIEW_RECORDS: Final = 3
PREVIEW_BUDGET: Final = "0.10"


def preview(
    template: TemplateSource,
    seeds: SeedSource | None = None,
    *,
    n: int = PREVIEW_RECORDS,
    budget: Usd = PREVIEW_BUDGET,
    model: str | None = None,
    backend: str = "local",
    base_url: str | None = None,
    seed_strategy: str | None = None,
    random_seed: int = 0,
    prices: str | Path | None = None,
    concurrency: int | None = None,
    on_progress: Callable[[Snapshot], object] | None = None,
    **reading: Unpack[ReadingOptions],
) -> Preview:
    """Generate `n` records with real calls, to be looked at and kept nowhere. The same arguments
    draw the same seeds in `generate`.

    Raises what `generate` raises; the `dataset` of its errors is a `Preview`.
    """
    request = read_request(
        template,
        seeds,
        num_records=n,
        reading=read_as(**reading),
        budget=budget,
        backend=backend,
        base_url=base_url,
        draws=options_given(Draws(), seed_strategy=seed_strategy, random_seed=random_seed),
        models=options_given(ModelChoice(), model=model),
        delivery=Delivery(),
    )
    with TemporaryDirectory(prefix="seedwright-", ignore_cleanup_errors=True) as folder:
        outcome = run_in_background(
            request,
            Path(folder) / "preview",
            prices=read_prices(prices, request.backend),
            concurrency=concurrency,
            on_progress=on_progress,
            kept=False,
        )
        found = preview_of(dataset_of(outcome))
    check_ended(outcome, found, kept="A preview keeps nothing; what there is is its `dataset`.")
    return found


def estimate(
    template: TemplateSource,
    seeds: SeedSource | None = None,
    *,
    n: int,
    model: str | None = None,
    backend: str = PRICED_BACKEND,
    base_url: str | None = None,
    seed_strategy: str | None = None,
    prices: str | Path | None = None,
    acceptance: float | str | Decimal | None = None,
    pilot: int | None = None,
    budget: Usd | None = None,
    concurrency: int | None = None,
    **reading: Unpack[ReadingOptions],
) -> CostEstimate:
    """What `n` records would cost. Calls no model, but for a `pilot`.

    Where the template has checks, `acceptance` is the share of tries that they accept, such as 0.4
    or "40%"; by default each record counts as accepted at its first try. `pilot` measures it: so
    many tries are made for real, and kept nowhere, within a `budget` in USD, which is needed where
    a model bills. What they have shown and spent is the estimate's `pilot`.

    Raises `InputError`, and with a pilot what `generate` raises.
    """
    if pilot is None and budget is not None:
        raise InputError("budget is for a pilot: without one no model is called")
    if pilot is not None and acceptance is not None:
        raise InputError("pilot measures the acceptance rate: leave acceptance out")
    chosen = Backend(backend, base_url)
    models = options_given(ModelChoice(), model=model)
    draws = options_given(Draws(), seed_strategy=seed_strategy)
    table = read_prices(prices, chosen)
    if pilot is None:
        return estimate_dataset(
            template,
            seeds,
            num_records=n,
            reading=read_as(**reading),
            prices=table,
            backend=chosen.name,
            models=models,
            draws=draws,
            acceptance=acceptance,
        )
    request = read_request(
        template,
        seeds,
        num_records=n,
        reading=read_as(**reading),
        budget=DEFAULT_BUDGET if budget is None else budget,
        backend=backend,
        base_url=base_url,
        draws=draws,
        models=models,
        delivery=Delivery(),
    )
    return estimate_by_pilot(
        request,
        prices=table,
        tries=pilot,
        budget=budget,
        run=lambda asked, folder: run_in_background(
            asked, folder, prices=table, concurrency=concurrency, on_progress=None, kept=False
        ),
    )


def validate(
    template: TemplateSource,
    seeds: SeedSource | None = None,
    *,
    model: str | None = None,
    backend: str = PRICED_BACKEND,
    base_url: str | None = None,
    prices: str | Path | None = None,
    **reading: Unpack[ReadingOptions],
) -> TemplateCheck:
    """Check a template and, with seeds, that each seed has what it needs; the first one's prompts
    come along. Calls no model. Raises `InputError`.
    """
    chosen = Backend(backend, base_url)
    return check_template(
        template,
        seeds,
        reading=read_as(**reading),
        prices=read_prices(prices, chosen),
        backend=chosen.name,
        models=options_given(ModelChoice(), model=model),
    )

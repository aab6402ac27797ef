"""What `import seedwright` offers of datasets: the command's own path, with a dataset or an error
at the end.

The work is done in a thread of its own and what the caller's thread sees is told there, so these
functions work in a script, a notebook, any thread and beside a running event loop. They install no
signal handler, set no alarm, end no process, and leave garbage collection and logging as they are.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Unpack

from runtime.datasets.background import BackgroundRun
from runtime.datasets.dataset import Dataset, Preview, dataset_of
from runtime.datasets.folder import folder_name
from runtime.datasets.observer import Called, Observer, Shown
from runtime.datasets.outcome import Outcome
from runtime.datasets.request import (
    DEFAULT_BUDGET,
    DatasetRequest,
    read_request,
)
from runtime.datasets.resuming import read_resumption
from runtime.datasets.run import run_dataset
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.errors import BudgetExceededError, InputError, JobFailedError
from runtime.domain.jobs.delivery import FOR_PEOPLE
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.choice import ModelChoice
from runtime.domain.models.price_table import PriceTable
from runtime.domain.options import options_given
from runtime.domain.wording import sentence
from runtime.inputs.options import check_concurrency, check_workers
from runtime.inputs.seed_reading import ReadingOptions, read_as
from runtime.inputs.seeds import SeedSource
from runtime.inputs.templates import TemplateSource
from runtime.models.registry import Backend
from runtime.progress.displays import make_library_display
from runtime.progress.meter import Snapshot

Usd = str | int | float | Decimal
"""An amount in USD; a float means the number that it prints as."""


def generate(
    template: TemplateSource,
    seeds: SeedSource | None = None,
    *,
    n: int,
    budget: Usd = DEFAULT_BUDGET,
    model: str | None = None,
    backend: str = "local",
    base_url: str | None = None,
    out: str | Path | None = None,
    formats: str | Sequence[str] = ("jsonl", "parquet"),
    seed_strategy: str | None = None,
    random_seed: int = 0,
    prices: str | Path | None = None,
    concurrency: int | None = None,
    workers: int = 1,
    call_timeout: int | None = None,
    retry_failed: bool = False,
    attempts: int | None = None,
    max_candidates: int | None = None,
    on_exhausted: str | None = None,
    on_progress: Callable[[Snapshot], object] | None = None,
    **reading: Unpack[ReadingOptions],
) -> Dataset:
    """Generate `n` records into the folder `out`, or go on where an earlier call or command
    stopped. A larger `n` than before adds records; with `retry_failed` those that failed are tried
    again, whatever the reason.

    `template` is a path or a mapping; `seeds` are what `--seeds` names, a list of such names, a
    list of mappings, or a table of pandas or Arrow, read by the `ReadingOptions`, and nothing for a
    template that reads none. `backend` is whose models run where a step names no provider, and
    `base_url` where `openai` is. `budget` is in USD and never passed. `out` is `datasets/NAME` by
    default, NAME being the template's name. A reply is waited for `call_timeout` seconds, by
    default for as long as its `max_tokens` may take. With `workers` so many processes generate a
    new dataset side by side; its rows are the same. With checks, `n` counts accepted records, of
    which each has so many `attempts` (2); there are `max_candidates` tries at most (10 `n`), and
    `on_exhausted` says what becomes of fewer then, `partial` or `fail`. `on_progress` is called in
    this thread with the newest counters; without it progress is shown in a notebook and at a
    terminal, and nowhere else.

    Ctrl-C, and whatever `on_progress` raises, begins no new call, waits for the answers on their
    way, saves them, and is raised: the same call goes on. A second Ctrl-C does not wait.

    Raises `BudgetExceededError` or `JobFailedError`, whose `dataset` is what there is so far;
    `InputError` or `ConfigurationError` where nothing was started; `StorageError`.
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
        strategy_chosen=seed_strategy is not None,
        models=options_given(ModelChoice(), model=model),
        calls=options_given(CallOptions(), call_timeout=call_timeout),
        delivery=options_given(FOR_PEOPLE, output_formats=formats),
        acceptance=options_given(
            Acceptance(),
            attempts=attempts,
            max_candidates=max_candidates,
            on_exhausted=on_exhausted,
        ),
        retry_failed=retry_failed,
        shards=check_workers(workers),
    )
    return _generated(
        request,
        _folder(out, request),
        prices=read_prices(prices, request.backend),
        concurrency=concurrency,
        workers=workers,
        on_progress=on_progress,
    )


def resume(
    folder: str | Path,
    *,
    budget: Usd | None = None,
    n: int | None = None,
    max_candidates: int | None = None,
    retry_failed: bool = False,
    concurrency: int | None = None,
    workers: int = 1,
    call_timeout: int | None = None,
    base_url: str | None = None,
    on_progress: Callable[[Snapshot], object] | None = None,
) -> Dataset:
    """Go on with the dataset in `folder`, without its template and seeds: the folder has them, and
    everything else it was asked to be. A larger `budget`, `n` or `max_candidates` takes the place
    of what was asked for then; with `retry_failed` records that failed are tried again, whatever
    the reason.

    Raises what `generate` raises, and `InputError` for a folder without a dataset.
    """
    if not isinstance(folder, str | Path):
        raise InputError(f"folder is the path of a dataset's folder, not {folder!r}")
    request, prices = read_resumption(
        Path(folder),
        budget=budget,
        num_records=n,
        retry_failed=retry_failed,
        calls=options_given(CallOptions(), call_timeout=call_timeout),
        max_candidates=max_candidates,
        base_url=base_url,
    )
    return _generated(
        request,
        Path(folder),
        prices=prices,
        concurrency=concurrency,
        workers=check_workers(workers),
        on_progress=on_progress,
    )


def _generated(
    request: DatasetRequest,
    out: Path,
    *,
    prices: PriceTable,
    concurrency: int | None,
    workers: int,
    on_progress: Callable[[Snapshot], object] | None,
) -> Dataset:
    outcome = run_in_background(
        request,
        out,
        prices=prices,
        concurrency=concurrency,
        workers=workers,
        on_progress=on_progress,
    )
    dataset = dataset_of(outcome)
    check_ended(outcome, dataset, kept=f"The records so far are in {outcome.folder}.")
    return dataset


def _folder(out: Any, request: DatasetRequest) -> Path:
    if out is None:
        return Path("datasets") / folder_name(request.template.name)
    if not isinstance(out, str | Path) or str(out) in {"", "."}:
        raise InputError(f"out is the path of a folder for this dataset alone, not {out!r}")
    return Path(out)


def run_in_background(
    request: DatasetRequest,
    out: Path,
    *,
    prices: PriceTable,
    concurrency: int | None,
    on_progress: Callable[[Snapshot], object] | None,
    workers: int = 1,
    kept: bool = True,
) -> Outcome:
    """Run it in a thread of its own, shown or told to `on_progress` in this one. `kept`: whether
    what an interruption leaves can go on. Raises what `run_dataset` does.
    """
    calls = check_concurrency(concurrency)
    if on_progress is not None and not callable(on_progress):
        raise InputError(f"on_progress is a function, not {on_progress!r}")
    observer: Observer
    observer = Shown(make_library_display) if on_progress is None else Called(on_progress)
    run = BackgroundRun(
        lambda relay, stop: run_dataset(
            request,
            out,
            prices=prices,
            concurrency=calls,
            observer=relay,
            stop=stop,
            workers=workers,
        ),
        observer,
    )
    try:
        return run.run()
    except BaseException as error:
        if kept and run.result is not None:  # it was interrupted, and saved what there was
            error.add_note(
                f"{run.result.saved_text} are saved in {out}. To go on, make the same call."
            )
        raise


def check_ended(outcome: Outcome, found: Dataset | Preview, *, kept: str) -> None:
    """Raise what `found` is not complete for: `BudgetExceededError`, `JobFailedError`."""
    match outcome.status:
        case JobStatus.COMPLETED:
            return
        case JobStatus.BUDGET_EXCEEDED:
            raise BudgetExceededError(
                f"{outcome.message}. To go on, make the same call with a larger budget. {kept}",
                dataset=found,
            )
        case JobStatus.FAILED if outcome.all_failed:
            raise JobFailedError(
                f"{sentence(outcome.message)} Look at the `dataset.failures` of this error, correct"
                f" the cause and choose another out, or make the same call with retry_failed=True."
                f" {kept}",
                dataset=found,
            )
        case JobStatus.FAILED:
            raise JobFailedError(
                f"{outcome.message}. There are {outcome.saved_text}. To try again, make the same "
                f"call. {kept}",
                dataset=found,
            )
        case _:
            raise JobFailedError(
                f"stopped by somebody else with {outcome.saved_text}. To go on, make the same "
                f"call. {kept}",
                dataset=found,
            )


def read_prices(path: Any, backend: Backend) -> PriceTable:
    """The prices of a backend, with those of a file. Raises `InputError`."""
    if path is not None and not isinstance(path, str | Path):
        raise InputError(f"prices is the path of a file, not {path!r}")
    return backend.prices(None if path is None else Path(path))

"""What `generate` and `demo` do with a request: run it, show how it goes, say how it ended."""

import gc
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.interruption import stopped_by_signals
from runtime.cli.output import say
from runtime.cli.report import report
from runtime.cli.seed_sources import stream_rows
from runtime.contract.exit_codes import EXIT_TOO_MANY_FAILURES
from runtime.datasets.observer import Shown
from runtime.datasets.outcome import Outcome
from runtime.datasets.request import DatasetRequest
from runtime.datasets.run import run_dataset
from runtime.datasets.stop import StopRequest
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.estimate import Estimate
from runtime.domain.money.estimate_text import estimate_notices
from runtime.inputs.options import DEFAULT_MAX_FAILURES, read_share
from runtime.progress.displays import make_display
from runtime.progress.meter import Meter


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What is about the run and not about the dataset."""

    out: Path
    concurrency: int | None = None
    workers: int = 1
    max_failures: str = DEFAULT_MAX_FAILURES
    """The share of failed records above which the exit code says so."""
    json: bool = False
    show: int
    """How many records to show at the end."""
    estimate: bool = True
    """Whether to say first what a new dataset is likely to cost."""


def generate_and_report(request: DatasetRequest, prices: PriceTable, options: RunOptions) -> int:
    """Generate the dataset, or go on where an earlier run stopped. The exit code. Raises what
    `run_dataset` does.
    """
    max_failures = read_share(options.max_failures)
    for warning in () if request.seeds is None else request.seeds.warnings:
        say(f"warning: {warning}")
    stop = StopRequest()

    def say_estimate(found: Estimate) -> None:
        budget = request.budget_nano
        for line in estimate_notices(found, models=found.models, budget_nano=budget):
            say(line)

    outcome = run_dataset(
        request,
        options.out,
        prices=prices,
        concurrency=options.concurrency,
        observer=_Terminal(stop, json=options.json),
        stop=stop,
        sample=0 if options.json else options.show,
        workers=options.workers,
        on_estimate=say_estimate if options.estimate and not options.json else None,
    )
    return report(outcome, json=options.json, max_failures=max_failures)


def run_shown(request: DatasetRequest, out: Path, *, prices: PriceTable, json: bool) -> Outcome:
    """Generate, and show how it goes but not how it ended. Raises what `run_dataset` does."""
    stop = StopRequest()
    return run_dataset(
        request,
        out,
        prices=prices,
        concurrency=None,
        observer=_Terminal(stop, json=json),
        stop=stop,
    )


def generate_and_stream(request: DatasetRequest, prices: PriceTable, options: RunOptions) -> int:
    """The same, with all that is said on standard error and the rows of the dataset on standard
    output, once it is complete: who reads them gets all or none.
    """
    with redirect_stdout(sys.stderr):
        say(f"the dataset is kept in {options.out}; its rows go to standard output when it is done")
        code = generate_and_report(request, prices, options)
    if code in {0, EXIT_TOO_MANY_FAILURES}:
        stream_rows(options.out)
    else:
        say("no rows were written to standard output: the dataset is not complete")
    return code


class _Terminal(Shown):
    """The process while it generates: its display, its signals, its garbage collection."""

    def __init__(self, stop: StopRequest, *, json: bool) -> None:
        super().__init__(lambda meter: make_display(meter, json=json))
        self._stop = stop
        self._signals = ExitStack()

    def started(self, meter: Meter) -> None:
        gc.freeze()  # what was imported stays: no collection has to look at it
        gc.enable()
        super().started(meter)
        self._signals.enter_context(stopped_by_signals(self._stop, self.notice))

    def ended(self) -> None:
        self._signals.close()
        super().ended()

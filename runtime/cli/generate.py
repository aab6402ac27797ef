"""`seedwright generate`: check everything, then generate, export and show."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

from runtime.bootstrap import (
    LocalEngine,
    SystemClock,
    local_engine,
    process_owner,
)
from runtime.cli.report import Outcome, report
from runtime.contract.exit_codes import EXIT_INTERRUPTED
from runtime.datasets.engine_parts import LOCAL_CHECKPOINT_INTERVAL, log_to, open_models
from runtime.datasets.folder import Dataset, DatasetFolder
from runtime.datasets.inputs import (
    check_count,
    check_writable,
    parse_formats,
    read_seeds,
    read_template,
)
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.amounts import parse_usd
from runtime.engine.dry_run import render_record
from runtime.engine.plan import make_plan
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.progress.displays import make_display
from runtime.progress.meter import Goal, Meter
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker

LOCAL_FLUSH_SECONDS: Final = 5.0

_SAME_SIGNAL_SECONDS: Final = 0.3
"""Launchers pass on a Ctrl-C that the terminal has sent to the whole group already."""

_SHOW_CURSOR: Final = b"\x1b[?25h"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is about the run and not about the dataset."""

    out: Path
    concurrency: int | None
    json: bool
    show: int
    """How many records to show at the end."""


def read_dataset(
    template: Path,
    seeds: Path,
    *,
    num_records: int,
    budget: str,
    model: str | None,
    backend: str,
    formats: list[str],
    seed_strategy: SeedStrategy,
    random_seed: int,
) -> Dataset:
    """Everything the command line says, checked. Raises `InputError`."""
    checked = read_template(template)
    return Dataset(
        template=checked,
        num_records=check_count(num_records),
        budget_nano=parse_usd(budget),
        formats=parse_formats(formats),
        seeds=read_seeds(seeds, checked.schema_requirements),
        seed_strategy=seed_strategy,
        random_seed=random_seed,
        model=model,
        backend=backend,
    )


def generate(dataset: Dataset, prices: PriceTable, options: Options) -> int:
    """Generate the dataset, or go on where an earlier run stopped. The exit code."""
    for warning in dataset.seeds.rows.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    folder = DatasetFolder(options.out)
    check_writable(options.out)
    folder.check(dataset)
    make_plan(
        dataset.template,
        prices,
        provider=dataset.backend,
        model=dataset.model,
        on=SystemClock().now().date(),
    )
    with TemplateEngine() as templates:
        templates.start()  # its process starts while the model's client is made
        concurrency, models = open_models(dataset.backend, options.concurrency)
        templates.load(dataset.template)
        # What can't be rendered once is refused before it costs anything.
        render_record(
            templates,
            dataset.template,
            dataset.seeds.rows,
            job_id=dataset.job_id(),
            index=0,
            draws=dataset.draws,
        )
        with folder.locked():
            folder.check(dataset)  # another process may have come first
            engine = local_engine(
                folder.state, models=models, provider=dataset.backend, prices=prices
            )
            gc.freeze()  # what was imported stays: no collection has to look at it
            gc.enable()
            with closing(engine), log_to(folder.log):
                return _run(dataset, folder, engine, templates, options, concurrency)


def _run(
    dataset: Dataset,
    folder: DatasetFolder,
    engine: LocalEngine,
    templates: TemplateEngine,
    options: Options,
    concurrency: int,
) -> int:
    job = folder.prepare(engine, dataset)
    dataset.seeds.close()
    goal = Goal(records=dataset.num_records, budget_nano=dataset.budget_nano)
    meter = Meter(goal, monotonic)
    display = make_display(meter, json=options.json)
    worker = Worker(
        engine.ports,
        owner=process_owner(),
        settings=WorkerSettings(
            checkpoint_interval=LOCAL_CHECKPOINT_INTERVAL,
            flush_seconds=LOCAL_FLUSH_SECONDS,
            concurrency=concurrency,
        ),
        template_engine=templates,
        on_progress=display.update,
    )
    was_complete = job.status is JobStatus.COMPLETED
    if not was_complete:
        with display, _signals(worker):
            worker.run(work_id_of(job.job_id))
        job = engine.ports.jobs.get_job(job.job_id)
    meter.stop()
    return report(
        Outcome(
            dataset=dataset,
            folder=folder,
            engine=engine,
            worker=worker,
            job=job,
            meter=meter,
            was_complete=was_complete,
        ),
        json=options.json,
        show=options.show,
    )


@contextmanager
def _signals(worker: Worker) -> Iterator[None]:
    """Ctrl-C and polite kills drain; a second one leaves at once, which loses only the calls in
    flight. A signal that is ignored, as under nohup, stays ignored.
    """
    first: float | None = None

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal first
        now = monotonic()
        if first is not None:
            if now - first < _SAME_SIGNAL_SECONDS:
                return
            _say("\nStopped at once. Finished records are saved. To go on, run the same command.\n")
            if sys.stderr.isatty():
                _write(_SHOW_CURSOR)
            os._exit(EXIT_INTERRUPTED)
        first = now
        _say("\nStopping: waiting for the answers on their way. Again leaves at once.\n")
        worker.handle_shutdown(signum, frame)

    asked = [
        each
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) is not signal.SIG_IGN
    ]
    previous = {each: signal.signal(each, handle) for each in asked}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        signal.alarm(0)  # what the worker set against a drain that hangs


def _say(text: str) -> None:
    _write(text.encode())


def _write(data: bytes) -> None:
    """To standard error without its buffer, which the interrupted code may hold."""
    with suppress(OSError):  # the terminal is gone
        os.write(2, data)

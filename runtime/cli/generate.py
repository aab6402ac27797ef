"""`seedwright generate`: check everything, then generate, export and show."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final

import orjson

from runtime.bootstrap import (
    BEDROCK,
    LocalEngine,
    SystemClock,
    bedrock_models,
    embedded_model,
    local_engine,
    process_owner,
)
from runtime.cli.dataset_folder import Dataset, DatasetFolder
from runtime.cli.inputs import check_writable
from runtime.cli.preview import render_record
from runtime.cli.progress import Goal, Meter, make_display
from runtime.cli.tables import show_records
from runtime.contract.keys import export_key
from runtime.domain.errors import ConfigurationError
from runtime.domain.job import Job, JobStatus, work_id_of
from runtime.domain.money import usd, usd_decimal
from runtime.domain.pricing import PriceTable
from runtime.worker.logs import configure
from runtime.worker.plan import make_plan
from runtime.worker.settings import WorkerSettings
from runtime.worker.template_engine import TemplateEngine
from runtime.worker.worker import Worker

BEDROCK_CONCURRENCY: Final = 32
LOCAL_CONCURRENCY: Final = 2
"""Slots of the embedded model: more only share the same cores."""

LOCAL_CHECKPOINT_INTERVAL: Final = 500
LOCAL_FLUSH_SECONDS: Final = 5.0
"""The journal keeps every finished record at once, so batches may be larger than on AWS."""

EXIT_CODES: Final = {
    JobStatus.COMPLETED: 0,
    JobStatus.FAILED: 1,
    JobStatus.BUDGET_EXCEEDED: 3,
}
EXIT_INTERRUPTED: Final = 130
"""What shells report for Ctrl-C."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is about the run and not about the dataset."""

    out: Path
    concurrency: int | None
    json: bool
    show: int
    """How many records to show at the end."""


def generate(dataset: Dataset, prices: PriceTable, options: Options) -> int:
    """Generate the dataset, or go on where an earlier run stopped. The exit code."""
    folder = DatasetFolder(options.out)
    folder.check(dataset)
    check_writable(options.out)
    with TemplateEngine() as templates:
        templates.load(dataset.template)  # the render child starts while the model is set up
        make_plan(
            dataset.template,
            prices,
            provider=dataset.backend,
            model=dataset.model,
            on=SystemClock().now().date(),
        )
        concurrency = options.concurrency or (
            BEDROCK_CONCURRENCY if dataset.backend == BEDROCK else LOCAL_CONCURRENCY
        )
        models = (
            bedrock_models(concurrency)
            if dataset.backend == BEDROCK
            else embedded_model(concurrency)
        )
        # What can't be rendered once is refused before it costs anything.
        render_record(
            templates,
            dataset.template,
            dataset.seeds.rows,
            job_id=dataset.job_id(),
            index=0,
            strategy=dataset.seed_strategy,
        )
        engine = local_engine(folder.state, models=models, provider=dataset.backend, prices=prices)
        with closing(engine):
            return _run(dataset, folder, engine, templates, options, concurrency)


def _run(
    dataset: Dataset,
    folder: DatasetFolder,
    engine: LocalEngine,
    templates: TemplateEngine,
    options: Options,
    concurrency: int,
) -> int:
    with folder.log.open("a", encoding="utf-8") as log:
        configure(log)
        work_id = work_id_of(dataset.job_id())
        if any(not lease.abandoned for lease in engine.ports.queue.leases()):
            raise ConfigurationError(f"another process is generating into {folder.path}")
        job = folder.prepare(engine, dataset)
        goal = Goal(records=dataset.num_records, budget_nano=dataset.budget_nano)
        meter = Meter(goal, monotonic)
        meter.update(job.progress)
        display = make_display(meter, goal, json=options.json)
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
        if job.status is not JobStatus.COMPLETED:
            with display, _signals(worker):
                worker.run(work_id)
            job = engine.ports.jobs.get_job(job.job_id)
        return _report(dataset, folder, engine, worker, job, meter, options)


@contextmanager
def _signals(worker: Worker) -> Iterator[None]:
    """Ctrl-C drains; a second one leaves at once, which loses only the calls in flight."""

    def handle(signum: int, frame: FrameType | None) -> None:
        if worker.shutdown_requested:
            os.write(2, b"\nStopped at once. Finished records are safe: run the same command.\n")
            os._exit(EXIT_INTERRUPTED)
        os.write(2, b"\nStopping: keeping the answers that are on their way (again to leave now)\n")
        worker.handle_shutdown(signum, frame)

    previous = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _report(
    dataset: Dataset,
    folder: DatasetFolder,
    engine: LocalEngine,
    worker: Worker,
    job: Job,
    meter: Meter,
    options: Options,
) -> int:
    """Publish what there is and say how it went."""
    files: list[Path] = []
    if job.status in {JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED}:
        absent = tuple(
            each
            for each in dataset.formats
            if not engine.path_of(export_key(job.job_id, each.lower())).exists()
        )
        if absent:  # formats asked for only now
            asked = replace(job, config=replace(job.config, output_formats=absent))
            worker.exporter.export_data(asked, expected=None)
        files = folder.publish(engine, job, dataset.formats)
    code = EXIT_CODES.get(job.status, EXIT_INTERRUPTED)
    if options.json:
        _print_json(dataset, job, meter, files)
        return code
    if files and options.show:
        show_records(_first_lines(worker, job, options.show))
    for path in files:
        print(path)
    _print_summary(dataset, folder, job, meter)
    return code


def _first_lines(worker: Worker, job: Job, count: int) -> Iterator[bytes]:
    lines = (line for batch in worker.batches.load_all_batches(job.job_id) for line in batch.lines)
    return islice(lines, count)


def _print_summary(dataset: Dataset, folder: DatasetFolder, job: Job, meter: Meter) -> None:
    progress = job.progress
    saved = f"{progress.records_generated} of {dataset.num_records} records"
    print(
        f"{saved}, {progress.failed_records} failed · "
        f"{usd(progress.cost_nano)} of {usd(dataset.budget_nano)} · "
        f"{progress.tokens_used} tokens"
    )
    if meter.generated_now:
        print(
            f"this run: {meter.generated_now} records in {meter.seconds:.1f} s "
            f"({meter.rate:.1f} records/s, {meter.tokens_now / meter.seconds:.0f} tokens/s)"
        )
    again = "run the same command"
    if job.status is JobStatus.COMPLETED:
        if progress.failed_records:
            print(f"why records failed: {folder.path / 'failures.jsonl'}", file=sys.stderr)
    elif job.status is JobStatus.BUDGET_EXCEEDED:
        print(f"{job.error_message}\nTo go on, {again} with a larger --budget.", file=sys.stderr)
    elif job.status is JobStatus.FAILED:
        print(
            f"error: {job.error_message}\n{saved} are kept in {folder.path}. "
            f"To try again, {again}.",
            file=sys.stderr,
        )
    else:
        print(f"Stopped. {saved} are saved in {folder.path}. To go on, {again}.", file=sys.stderr)


def _print_json(dataset: Dataset, job: Job, meter: Meter, files: list[Path]) -> None:
    progress = job.progress
    document = {
        "status": job.status,
        "job_id": job.job_id,
        "records": progress.records_generated,
        "failed": progress.failed_records,
        "requested": dataset.num_records,
        "files": [str(path) for path in files],
        "cost_usd": usd_decimal(progress.cost_nano),
        "budget_usd": usd_decimal(dataset.budget_nano),
        "tokens": progress.tokens_used,
        "seconds": round(meter.seconds, 3),
        "records_per_second": round(meter.rate, 3),
        "error": job.error_message,
    }
    print(orjson.dumps(document).decode())

"""How a run ended, for people and for scripts."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import orjson

from runtime.bootstrap import LocalEngine
from runtime.cli.tables import show_records
from runtime.contract.exit_codes import EXIT_INTERRUPTED, EXIT_OF_STATUS
from runtime.contract.keys import export_key
from runtime.datasets.folder import Dataset, DatasetFolder
from runtime.domain.jobs.job import Job, JobStatus, OutputFormat
from runtime.domain.jobs.record import index_of
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.progress.meter import Meter
from runtime.worker.worker import Worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A job after a run, and what is needed to publish and describe it."""

    dataset: Dataset
    folder: DatasetFolder
    engine: LocalEngine
    worker: Worker
    job: Job
    meter: Meter
    was_complete: bool
    """The run found nothing to do."""


def report(outcome: Outcome, *, json: bool, show: int) -> int:
    """Publish what there is and say how it went. The exit code."""
    job = outcome.job
    files = _publish(outcome)
    code = EXIT_OF_STATUS.get(job.status, EXIT_INTERRUPTED)
    if json:
        _print_json(outcome, files)
        return code
    if files and show and job.progress.records_generated:
        show_records(_first_lines(outcome, show))
    for path in files:
        print(path)
    _print_summary(outcome)
    sys.stdout.flush()  # the table goes before the advice when both end in one file
    _print_advice(outcome)
    return code


def _publish(outcome: Outcome) -> list[Path]:
    """The files of the dataset, in the formats asked for and in those the folder already has."""
    job, folder = outcome.job, outcome.folder
    if job.status not in {JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED}:
        # Of a job that failed the list of failures is what helps.
        return folder.publish(outcome.engine, job, ()) if job.status is JobStatus.FAILED else []
    others = () if outcome.was_complete else folder.published()
    formats = tuple(dict.fromkeys((*outcome.dataset.formats, *others)))
    stale = tuple(each for each in formats if _needs_export(outcome, each))
    if stale:
        asked = replace(job, config=replace(job.config, output_formats=stale))
        outcome.worker.exporter.export_data(asked, expected=None)
    return folder.publish(outcome.engine, job, formats)


def _needs_export(outcome: Outcome, output_format: OutputFormat) -> bool:
    """Whether the worker has not just exported it: it writes the formats of the first command."""
    if output_format not in outcome.job.config.output_formats:
        return True
    return not outcome.engine.path_of(
        export_key(outcome.job.job_id, output_format.lower())
    ).exists()


def _first_lines(outcome: Outcome, count: int) -> Iterator[bytes]:
    batches = outcome.worker.batches.load_all_batches(outcome.job.job_id)
    lines = islice((line for batch in batches for line in batch.lines), count)
    return iter(sorted(lines, key=index_of))


def _saved(outcome: Outcome) -> str:
    # When storage failed, the job's own counter is older than what the journal kept.
    counted = outcome.job.progress.records_generated, outcome.meter.last.records_generated
    return f"{max(counted)} of {outcome.dataset.num_records} records"


def _print_summary(outcome: Outcome) -> None:
    progress, meter = outcome.job.progress, outcome.meter
    print(
        f"{_saved(outcome)}, {progress.failed_records} failed · "
        f"{usd(progress.cost_nano)} of {usd(outcome.dataset.budget_nano)} · "
        f"{progress.tokens_used} tokens"
    )
    if outcome.was_complete:
        print(f"{outcome.folder.path} was complete before: nothing was generated")
    elif meter.generated_now:
        print(
            f"this run: {meter.generated_now} records in {meter.seconds:.1f} s "
            f"({meter.rate:.1f} records/s, {meter.token_rate:.0f} tokens/s)"
        )


def _print_advice(outcome: Outcome) -> None:
    """What the user may want to do next, on standard error."""
    job, folder = outcome.job, outcome.folder.path
    message = " ".join((job.error_message or "").split())
    match job.status:
        case JobStatus.COMPLETED:
            lines = (
                [f"why records failed: {folder / 'failures.jsonl'}"]
                if job.progress.failed_records
                else []
            )
        case JobStatus.BUDGET_EXCEEDED:
            lines = [f"{message}", "To go on, run the same command with a larger --budget."]
        case JobStatus.FAILED if _all_tried(outcome):
            lines = [
                f"error: {message}",
                f"Correct the cause ({folder / 'failures.jsonl'}) and choose another --out.",
            ]
        case JobStatus.FAILED:
            lines = [
                f"error: {message}",
                f"{_saved(outcome)} are saved in {folder}. To try again, run the same command.",
            ]
        case _:
            lines = [
                f"Stopped. {_saved(outcome)} are saved in {folder}. To go on, run the same command."
            ]
    for line in lines:
        print(line, file=sys.stderr)


def _all_tried(outcome: Outcome) -> bool:
    progress = outcome.job.progress
    return progress.failed_records == outcome.dataset.num_records


def _print_json(outcome: Outcome, files: list[Path]) -> None:
    progress, meter = outcome.job.progress, outcome.meter
    document = {
        "status": outcome.job.status,
        "job_id": outcome.job.job_id,
        "records": progress.records_generated,
        "failed": progress.failed_records,
        "requested": outcome.dataset.num_records,
        "files": [str(path) for path in files],
        "cost_usd": usd_decimal(progress.cost_nano),
        "budget_usd": usd_decimal(outcome.dataset.budget_nano),
        "tokens": progress.tokens_used,
        "seconds": round(meter.seconds, 3),
        "records_per_second": round(meter.rate, 3),
        "error": outcome.job.error_message,
    }
    print(orjson.dumps(document).decode())

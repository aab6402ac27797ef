"""How a run ended, for people and for scripts."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import orjson

from runtime.cli.failures import exit_code, too_many
from runtime.cli.figures import print_checks, print_figures
from runtime.cli.output import plain, print_json, print_line, say
from runtime.cli.rows import print_rows
from runtime.contract.exit_codes import EXIT_INTERRUPTED, EXIT_TOO_MANY_FAILURES
from runtime.datasets.outcome import Outcome
from runtime.domain.errors import CandidatesExhaustedError, RecordsFailingError
from runtime.domain.jobs.check_counts import CheckCounts
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.record import is_skipped
from runtime.domain.money.amounts import usd
from runtime.domain.plain_text import plain_lines
from runtime.domain.wording import counted

MAX_CELL_CHARACTERS: Final = 400


def report(outcome: Outcome, *, json: bool, max_failures: Decimal) -> int:
    """Say how a run went. The exit code, for which `max_failures` is the share of failed records
    that still is success.
    """
    shares = {
        "failed": outcome.progress.failed_records,
        "requested": outcome.request.num_records,
    }
    code = exit_code(outcome.status, allowed=max_failures, otherwise=EXIT_INTERRUPTED, **shares)
    for notice in outcome.notices:
        say(f"warning: {notice}")
    if json:
        print_json(outcome.document())
        return code
    if outcome.sample and outcome.records:
        show_records(outcome.sample)
    for path in (*outcome.files, *filter(None, [outcome.report])):
        print_line(path)
    _print_summary(outcome)
    print_rows(outcome.rows, outcome.folder)
    if code == EXIT_TOO_MANY_FAILURES:
        say(f"error: {too_many(allowed=max_failures, **shares)}")
    for line in _advice(outcome, too_many=code == EXIT_TOO_MANY_FAILURES):
        say(line)
    return code


def _print_summary(outcome: Outcome) -> None:
    progress = outcome.progress
    print_line(
        f"{outcome.saved_text}, {progress.failed_records} failed · "
        f"{usd(progress.cost_nano)} of {usd(outcome.request.budget_nano)} · "
        f"{counted(progress.tokens_used, 'token')}"
    )
    for line in outcome.free:
        print_line(line)
    if outcome.was_complete:
        print_line(f"{outcome.folder} was complete before: nothing was generated")
    elif outcome.generated_now:
        print_line(
            f"this run: {counted(outcome.generated_now, 'record')} in {outcome.seconds:.1f} s "
            f"({outcome.records_per_second:.1f} records/s, "
            f"{outcome.tokens_per_second:.0f} tokens/s)"
        )
    print_figures(progress)
    print_checks(None if outcome.checks is None else outcome.checks.document())


def _advice(outcome: Outcome, *, too_many: bool) -> list[str]:
    """What the user may want to do next."""
    saved = f"{outcome.saved_text} are saved in {outcome.folder}"
    match outcome.status:
        case JobStatus.COMPLETED:
            return _about_failures(outcome, too_many=too_many)
        case JobStatus.BUDGET_EXCEEDED:
            lines = [outcome.message, "To go on, run the same command with a larger --budget."]
        case JobStatus.FAILED if outcome.all_failed:
            listed = f" ({outcome.failures_file})" if outcome.failures_file else ""
            return [
                f"error: {outcome.message}",
                f"Correct the cause{listed} and choose another --out.",
                "--retry-failed tries the same records again.",
            ]
        case JobStatus.FAILED if outcome.error_code == RecordsFailingError.code:
            lines = [
                f"error: {outcome.message}",
                f"{saved}. To go on with the others, run the same command.",
                "--retry-failed tries the failed ones again, once the cause is mended.",
            ]
        case JobStatus.FAILED if outcome.error_code == CandidatesExhaustedError.code:
            lines = [f"error: {outcome.message}", f"{saved}. The same command adds nothing."]
        case JobStatus.FAILED:
            lines = [
                f"error: {outcome.message}",
                f"{saved}. To try again, run the same command.",
            ]
        case _:
            lines = [f"Stopped. {saved}. To go on, run the same command."]
    return [*lines, *_about_failures(outcome, too_many=False)]


def _about_failures(outcome: Outcome, *, too_many: bool) -> list[str]:
    """Where failed records are listed, and how to try them again."""
    service = outcome.progress.service_failures
    own = outcome.progress.failed_records - service
    lines = []
    if outcome.status is JobStatus.COMPLETED and outcome.checks is not None:
        lines += _about_checks(outcome, outcome.checks)
    if outcome.progress.failed_records and outcome.failures_file is not None:
        lines.append(f"why records failed: {outcome.failures_file}")
        if outcome.failures_told:
            lines.append(f"most often: {outcome.failures_told}")
    if service:
        lines.append(
            f"{service} failed because of the service: run the same command to try them again."
        )
    if own and outcome.status is JobStatus.COMPLETED:
        accept = "; a larger --max-failures accepts them" if too_many else ""
        lines.append(f"--retry-failed tries records that failed again{accept}.")
    elif too_many:
        lines.append("A larger --max-failures accepts them.")
    return lines


def _about_checks(outcome: Outcome, checks: CheckCounts) -> list[str]:
    """Where it is listed what they kept out, and how to get what is missing."""
    lines = []
    if outcome.rejected_file is not None:
        lines.append(f"what checks kept out: {outcome.rejected_file}")
    missing = outcome.request.num_records - checks.accepted
    if missing > 0:
        lines.append(
            f"{counted(missing, 'record')} of {outcome.request.num_records} missing: the tries are"
            " used up. A larger --max-candidates goes on."
        )
    return lines


def show_records(lines: Iterable[bytes]) -> None:
    """Records as a table: a column a step, or a column a field where a step gives an object."""
    from rich.console import Console  # noqa: PLC0415 - rich is needed only when there is a table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    documents = [orjson.loads(line) for line in lines]
    rows = [_cells(document["generation_result"]) for document in documents]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(show_lines=True)
    table.add_column("#", justify="right", style="dim")
    table.add_column("seed", style="dim", overflow="fold")
    for name in columns:
        longest = max(len(row.get(name, "")) for row in rows)
        table.add_column(
            Text(plain(name)), overflow="fold", ratio=1 if longest > len(name) + 12 else None
        )
    for document, row in zip(documents, rows, strict=True):
        table.add_row(
            str(document["index"]),
            Text(_text(document["seed_data_id"])),
            *(Text(row.get(name, "")) for name in columns),
        )
    Console().print(table)


def _cells(result: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for step, value in result.items():
        output = value["output"]
        if isinstance(output, dict):
            for name, field in output.items():
                label = name if len(result) == 1 else f"{step}.{name}"
                cells[label] = _text(field)
        elif not is_skipped(value):
            cells[step] = _text(output)
    return cells


def _text(value: object) -> str:
    """One cell, of several lines."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = plain_lines(text.strip())
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"

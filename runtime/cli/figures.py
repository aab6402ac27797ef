"""What a job's calls did, as people read it: one line for each thing that happened, then a table of
the steps. A run's summary and a job's status show the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runtime.cli.output import plain, print_line, print_table
from runtime.domain.jobs.check_counts import check_counts_of
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.step_totals import StepTotals, sum_of
from runtime.domain.money.amounts import usd
from runtime.domain.wording import counted


def print_figures(progress: Progress) -> None:
    """Print both; nothing of a job of before its calls were counted, but its failures."""
    for line in count_lines(progress):
        print_line(line)
    if progress.steps:
        print_table(_rows(progress.steps), _COLUMNS)


def print_checks(document: Mapping[str, Any] | None) -> None:
    """What the checks of a template did, as answers have it; None: it has none."""
    if document is None:
        return
    counts = check_counts_of(document)
    so_far = "" if counts.exact else " so far"
    print_line(f"checks{so_far}: {plain('; '.join(counts.texts()))}")


def count_lines(progress: Progress) -> list[str]:
    """One line for each thing that happened at all: failures, and what replies were like."""
    total, lines = sum_of(progress.steps), []
    if progress.failures_by_kind:
        lines.append(_failures(progress))
    if total.cut:
        lines.append(f"cut at max_tokens: {counted(total.cut, 'reply', 'replies')}")
    if total.repaired:
        lines.append(f"repaired: {counted(total.repaired, 'reply', 'replies')} asked for again")
    if total.refused:
        lines.append(
            f"refused: {counted(total.refused, 'reply', 'replies')} without a usable answer"
        )
    if total.schema_in_prompt:
        lines.append(
            f"schema in the prompt: {counted(total.schema_in_prompt, 'call')}, since the service"
            " could not compile it"
        )
    if total.skipped:
        steps = ", ".join(_skips(progress))
        lines.append(f"skipped: {steps} (records that did not take a step, by its when)")
    if total.retried:
        lines.append(f"retried: {counted(total.retried, 'call')} after failures of the service")
    free = sum(each.presumed for each in progress.steps.values() if not each.presumed_nano)
    if total.presumed > free:
        lines.append(
            f"presumed: {counted(total.presumed - free, 'call')} that may have been billed,"
            f" counted with {usd(total.presumed_nano)}"
        )
    if free:
        lines.append(
            f"tokens unknown: {counted(free, 'call')} of which the server gave no usage, at no cost"
        )
    return lines


def _skips(progress: Progress) -> Iterator[str]:
    for step, totals in progress.steps.items():
        if totals.skipped:
            yield f"{plain(step)} {totals.skipped}"


def _failures(progress: Progress) -> str:
    """By kind, and how many are the service's: those are tried again."""
    kinds = sorted(progress.failures_by_kind.items())
    listed = ", ".join(f"{plain(kind)} {count}" for kind, count in kinds)
    if not progress.service_failures:
        return f"failures: {listed}"
    own = progress.failed_records - progress.service_failures
    return f"failures: {listed} ({own} of their own, {progress.service_failures} of the service)"


_COLUMNS = ("step", "model", "calls", "tokens_in", "tokens_out", "cost")


def _rows(steps: Mapping[str, StepTotals]) -> list[dict[str, object]]:
    return [
        {
            "step": step,
            "model": totals.model,
            "calls": totals.calls,
            "tokens_in": totals.tokens_in,
            "tokens_out": totals.tokens_out,
            "cost": usd(totals.cost_nano),
        }
        for step, totals in steps.items()
    ]

"""A pilot: a few tries of a dataset for real, to see how many its checks accept and what they cost,
before all of it is paid for. They are made in a temporary folder; nothing of them is kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from runtime.datasets.outcome import Outcome
from runtime.datasets.request import DatasetRequest
from runtime.domain.checks.acceptance import Acceptance, OnExhausted
from runtime.domain.errors import InputError, JobFailedError
from runtime.domain.jobs.check_counts import counted_tries
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.money.estimate import Estimate
from runtime.domain.plain_text import plain_line
from runtime.engine.plan import Plan

MAX_PILOT: Final = 1000
"""Tries of a pilot: who wants more wants a dataset."""

RunPilot = Callable[[DatasetRequest, Path], Outcome]
"""Generates what is asked for in a folder of its own."""

_COUNTED: Final = frozenset({JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED, JobStatus.FAILED})
"""Statuses of a pilot that ended by itself; any other was stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pilot:
    """What came of the tries. `accepted` are records that a dataset takes, `failed` tries that gave
    none. `note` says why there are fewer tries than were asked for; empty: there are not.
    """

    asked: int
    tries: int
    accepted: int
    failed: int
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    cost_nano: int
    note: str = ""

    @property
    def acceptance(self) -> Fraction | None:
        """The share of tries that were accepted; None: none was, which tells nothing."""
        return Fraction(self.accepted, self.tries) if self.accepted else None

    def document(self) -> dict[str, object]:
        """For scripts; money is a decimal text."""
        rate = self.acceptance
        return {
            "asked": self.asked,
            "tries": self.tries,
            "accepted": self.accepted,
            "failed": self.failed,
            "rejected_by": dict(self.rejected_by),
            "left_out": dict(self.left_out),
            "acceptance": None if rate is None else round(float(rate), 4),
            "cost_usd": usd_decimal(self.cost_nano),
            "note": self.note,
        }

    def lines(self, found: Estimate) -> list[str]:
        """For people: the rate by check, what it cost, and what that means for all records."""
        by = [f"{check} rejected {self._share(n)}" for check, n in self.rejected_by.items()]
        by += [f"{check} left out {self._share(n)}" for check, n in self.left_out.items()]
        by += [f"failed {self._share(self.failed)}"] if self.failed else []
        shown = "".join(f"; {plain_line(each)}" for each in by)
        lines = [
            f"pilot: {self._share(self.accepted)} of {counted_tries(self.tries)} accepted{shown}",
            f"  spent {usd(self.cost_nano)}; nothing of it is kept",
        ]
        if self.note:
            lines.append(f"  warning: {self.note}")
        if not self.accepted:
            lines.append(
                "  warning: nothing was accepted, so the estimate counts each record as accepted at"
                " its first try: make the checks easier, or take a larger --pilot"
            )
        elif found.tries:
            cost = -(-self.cost_nano * found.tries // self.tries)
            lines.append(f"  at what its tries have cost: about {usd(cost)} in all")
        return lines

    def _share(self, count: int) -> str:
        return f"{count} ({count / self.tries:.0%})" if self.tries else str(count)


def check_pilot(plan: Plan, tries: object, budget: object) -> int:
    """How many tries, if the plan can have a pilot: it has checks, and a budget where its models
    bill. Raises `InputError`.
    """
    if not isinstance(tries, int) or isinstance(tries, bool) or not 1 <= tries <= MAX_PILOT:
        raise InputError(f"pilot is {tries!r}: give a number of tries from 1 to {MAX_PILOT}")
    if not plan.template.checks:
        raise InputError("the template has no checks: there is nothing for a pilot to measure")
    bills = any(each.price.worst_case(prompt_bytes=1000, max_tokens=1000) for each in plan.calls)
    if bills and budget is None:
        raise InputError(
            "a pilot calls models that bill: say with budget (--budget USD) what it may cost at"
            " most, or use a free backend"
        )
    return tries


def run_pilot(request: DatasetRequest, *, tries: int, run: RunPilot) -> Pilot:
    """Make the first tries of as many records of `request`, within its budget. The seeds of the
    request are closed by it. Raises what `run` does, and `JobFailedError`, which says what was
    spent, where the service failed.
    """
    asked = replace(
        request,
        num_records=tries,
        acceptance=Acceptance(attempts=1, max_candidates=tries, on_exhausted=OnExhausted.PARTIAL),
    )
    with TemporaryDirectory(prefix="seedwright-", ignore_cleanup_errors=True) as folder:
        outcome = run(asked, Path(folder) / "pilot")
    counts = outcome.checks
    spent = f"The pilot has spent {usd(outcome.progress.cost_nano)}; nothing of it is kept."
    if counts is None or outcome.status not in _COUNTED or not counts.tries:
        why = outcome.message or "it was stopped"
        raise JobFailedError(f"the pilot gave no figures: {why}. {spent}", dataset=None)
    made = f"of {counted_tries(tries)} {counts.tries} were made"
    return Pilot(
        asked=tries,
        tries=counts.tries,
        accepted=counts.accepted + counts.surplus,
        failed=outcome.progress.failed_records,
        rejected_by=counts.rejected_by,
        left_out=counts.left_out,
        cost_nano=outcome.progress.cost_nano,
        note="" if counts.tries >= tries else f"{made}: {outcome.message}",
    )

"""What the checks of a job's template did, as every face shows it: card, report, API, command."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from runtime.domain.jobs.job import Job, Progress
from runtime.domain.jobs.step_totals import judging_nano
from runtime.domain.money.amounts import from_usd, nano_of, usd, usd_decimal
from runtime.domain.wording import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckCounts:
    """Of a job with checks. `accepted` are the records of its dataset, `surplus` the ones beyond
    those that were asked for, `left_out` records by the check of the dataset that did it,
    `rejected_by` tries by the check of records, `tries` all that have ended, `judging_nano` what
    the calls of judges have cost. `exact`: the records were chosen, and what is said of them is no
    forecast.
    """

    accepted: int
    surplus: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    tries: int = 0
    judging_nano: int = 0
    exact: bool = False

    @property
    def acceptance_rate(self) -> float | None:
        """The share of tries that gave a record which the dataset has or could have, 0 to 1; None
        before the first has ended.
        """
        return round((self.accepted + self.surplus) / self.tries, 4) if self.tries else None

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "accepted": self.accepted,
            "surplus": self.surplus,
            "left_out": dict(self.left_out),
            "rejected_by": dict(self.rejected_by),
            "tries": self.tries,
            "acceptance_rate": self.acceptance_rate,
            "judging_usd": usd_decimal(self.judging_nano),
            "exact": self.exact,
        }

    def texts(self) -> Iterator[str]:
        """What people read of it, a phrase each."""
        share = "" if self.acceptance_rate is None else f" ({self.acceptance_rate:.0%} passed)"
        yield f"{self.accepted:,} accepted of {counted_tries(self.tries)}{share}"
        for check, count in self.rejected_by.items():
            yield f"{check} rejected {counted_tries(count)}"
        for check, count in self.left_out.items():
            yield f"{check} left out {counted(count, 'record')}"
        if self.surplus:
            yield f"{counted(self.surplus, 'record')} more than asked for"
        if self.judging_nano:
            yield f"judging {usd(self.judging_nano)}"


def check_counts_of(document: Mapping[str, Any]) -> CheckCounts:
    """Inverse of `CheckCounts.document`, and what an API says of them; what is not there is
    zero.
    """
    return CheckCounts(
        accepted=int(document.get("accepted", 0)),
        surplus=int(document.get("surplus", 0)),
        left_out=document.get("left_out", {}),
        rejected_by=document.get("rejected_by", {}),
        tries=int(document.get("tries", 0)),
        judging_nano=(
            nano_of(Decimal(document["judging_usd"]))
            if "judging_usd" in document
            else from_usd(document.get("judging_cost", 0))
        ),
        exact=bool(document.get("exact", False)),
    )


_ENOUGH_TRIES: Final = 20
_ENOUGH_ACCEPTED: Final = 5
"""Fewer say little of how many the others will give."""


def records_in_budget(progress: Progress, *, wanted: int, budget_nano: int) -> int | None:
    """For about how many of the `wanted` records the budget is enough, if the others cost what
    those that are accepted have cost, with all tries that were rejected; None: it is for all of
    them, there are too few to tell, or there are no checks.
    """
    accepted, cost = progress.accepted(wanted), progress.cost_nano
    if progress.checks.tries < _ENOUGH_TRIES or accepted < _ENOUGH_ACCEPTED or not cost:
        return None
    enough = accepted * budget_nano // cost
    return enough if enough < wanted else None


def counted_tries(count: int) -> str:
    """`1 try`, `2 tries`."""
    return counted(count, "try", "tries")


def rates_by_check(rejected_by: Mapping[str, int], tries: int) -> str:
    """` (rejected by short 30 %, good 12 %)`, of all tries; empty where nothing was rejected."""
    if not rejected_by:
        return ""
    rates = (f"{check} {100 * count // max(tries, 1)} %" for check, count in rejected_by.items())
    return f" (rejected by {', '.join(rates)})"


def checks_of(job: Job) -> CheckCounts | None:
    """What its checks did so far; None for a job without checks."""
    if not job.config.has_checks:
        return None
    totals, chosen = job.progress.checks, job.current_selection
    left_out = totals.left_out if chosen is None else chosen.left_out
    beyond = job.progress.records_generated - job.accepted - sum(left_out.values())
    return CheckCounts(
        accepted=job.accepted,
        surplus=max(beyond, 0),
        left_out=dict(left_out),
        rejected_by=dict(totals.rejected_by),
        tries=totals.tries,
        judging_nano=judging_nano(job.progress.steps),
        exact=chosen is not None,
    )

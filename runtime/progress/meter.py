"""How far a run is: records, rate, tokens, dollars of the budget, failures, time left."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.check_counts import CheckCounts, counted_tries, records_in_budget
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.step_totals import judging_nano
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.plain_text import plain_line
from runtime.domain.wording import counted

SEPARATOR: Final = " · "

_INSTANT: Final = 1e-9
_ENOUGH_RECORDS: Final = 20
"""Finished records whose cost tells that of all."""
_QUIET_SECONDS: Final = 10.0
"""Without an answer it is said for how long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the run is heading for."""

    records: int
    budget_nano: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The counters of a run at one moment. USD are exact; seconds and rates are of this run."""

    requested: int
    records: int
    failed: int
    tokens: int
    cost_usd: Decimal
    budget_usd: Decimal
    seconds: float
    records_per_second: float
    seconds_left: float | None
    """None while nothing is known."""
    tries: int = 0
    """Of a template with checks those that have ended: passed, rejected or failed."""
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    """Tries by the check that rejected them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records by the check of the dataset that is likely to leave them out."""
    acceptance_rate: float | None = None
    """The share of tries that gave a record for the dataset, 0 to 1; None without checks."""
    judging_usd: Decimal = Decimal(0)
    """What the calls of judges have cost, a part of `cost_usd`."""
    records_in_budget: int | None = None
    """At this rate the budget is enough for about so many records; None: for all of them, as far as
    that can be told, or there are no checks.
    """


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def budget_text(records: int, wanted: int) -> str:
    """For how many records the budget is enough."""
    return f"at this rate the budget is enough for about {records} of {wanted} records"


class Meter:
    """Rates and time left, from the counters at the start of this run."""

    def __init__(self, goal: Goal, monotonic: Callable[[], float]) -> None:
        self._goal = goal
        self._monotonic = monotonic
        self._began = monotonic()
        self._ended: float | None = None
        self._first: Progress | None = None
        self.last = Progress()
        self.activity: Activity | None = None
        """What goes on now; None before and after the run."""

    def show(self, progress: Progress) -> None:
        """What an earlier run left behind: shown until this one has found it again."""
        self.last = progress

    def update(self, progress: Progress) -> None:
        """Take the newest counters."""
        if self._first is None:
            self._first = progress
        self.last = progress

    def stop(self) -> None:
        """End the run: its duration stays what it is now."""
        self._ended = self._monotonic()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return (self._monotonic() if self._ended is None else self._ended) - self._began

    @property
    def done(self) -> int:
        """Finished records, failed ones included. Where records are checked, those that are
        accepted: others make up for what failed.
        """
        return self._done(self.last)

    def _done(self, progress: Progress) -> int:
        accepted = progress.accepted(self._goal.records)
        return accepted if progress.checks else accepted + progress.failed_records

    @property
    def share(self) -> float:
        """Finished part of all records, 0 to 1."""
        return min(self.done / self._goal.records, 1.0)

    @property
    def generated_now(self) -> int:
        """Records generated in this run."""
        wanted = self._goal.records
        before = (self._first or self.last).accepted(wanted)
        # A forecast of the dataset's checks may have counted more than were chosen in the end.
        return max(self.last.accepted(wanted) - before, 0)

    @property
    def has_answers(self) -> bool:
        """Whether a model has answered in this run, or a record has ended in another way."""
        return self._first is not None and self._first != self.last

    @property
    def rate(self) -> float:
        """Records generated a second in this run."""
        return self.generated_now / max(self.seconds, _INSTANT)

    @property
    def token_rate(self) -> float:
        """Tokens a second in this run."""
        used = self.last.tokens_used - (self._first or self.last).tokens_used
        return used / max(self.seconds, _INSTANT)

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this run; None while nothing is known."""
        first = self._first or self.last
        done_now = self.done - self._done(first)
        if done_now <= 0:
            return None
        return max(self._goal.records - self.done, 0) * self.seconds / done_now

    def left(self) -> str:
        """Time left as m:ss or h:mm:ss, or a dash while nothing is known."""
        seconds = self.seconds_left
        return "-:--" if seconds is None else duration(seconds)

    @property
    def expected_nano(self) -> int | None:
        """What all records will cost at what those so far have cost; None while there are too few
        to tell.
        """
        if self.done < _ENOUGH_RECORDS:
            return None
        return -(-self.last.cost_nano * self._goal.records // self.done)

    def now(self) -> tuple[str, ...]:
        """What goes on and is to be expected; empty while nothing goes on."""
        activity = self.activity
        if activity is None:
            return ()
        now, shown = self._monotonic(), []
        if activity.bytes_read is not None:
            shown.append(f"reading seeds, {activity.bytes_read // 10**6} MB")
        if activity.reason is not None:
            wait = max((activity.waiting_until or now) - now, 0)
            until = f", next call in {math.ceil(wait)} s" if wait else ""
            shown.append(f"{activity.reason}{until}")
        if activity.in_flight:
            quiet = now - (now if activity.last_reply is None else activity.last_reply)
            since = f", no answer for {duration(quiet)}" if quiet >= _QUIET_SECONDS else ""
            shown.append(f"{counted(activity.in_flight, 'call')} in flight{since}")
        shown += self._checked()
        if self.expected_nano and self.done < self._goal.records:
            shown.append(f"expected {usd(self.expected_nano)}")
        return tuple(shown)

    def _checked(self) -> list[str]:
        """What checks did, what judging costs, and what that means for the budget."""
        if not self.last.checks.tries:
            return []
        counts, rejected_by = self._counts(), self.last.checks.rejected_by
        shown = [f"{counts.acceptance_rate:.0%} of {counted_tries(counts.tries)} accepted"]
        if rejected_by:
            by = ", ".join(f"{plain_line(check)} {count}" for check, count in rejected_by.items())
            shown.append(f"rejected: {by}")
        if counts.judging_nano:
            shown.append(f"judging {usd(counts.judging_nano)}")
        if self._in_budget is not None:
            shown.append(budget_text(self._in_budget, self._goal.records))
        return shown

    def _counts(self) -> CheckCounts:
        """As far as this can be told: while a job runs its records are not chosen."""
        last = self.last
        accepted, left_out = last.accepted(self._goal.records), last.checks.left_out
        beyond = last.records_generated - accepted - sum(left_out.values())
        return CheckCounts(
            accepted=accepted,
            surplus=max(beyond, 0),
            left_out=left_out,
            rejected_by=last.checks.rejected_by,
            tries=last.checks.tries,
            judging_nano=judging_nano(last.steps),
        )

    @property
    def _in_budget(self) -> int | None:
        goal = self._goal
        return records_in_budget(self.last, wanted=goal.records, budget_nano=goal.budget_nano)

    def snapshot(self) -> Snapshot:
        """The counters as they are now."""
        counts = self._counts()
        return Snapshot(
            requested=self._goal.records,
            records=self.last.accepted(self._goal.records),
            failed=self.last.failed_records,
            tokens=self.last.tokens_used,
            cost_usd=Decimal(usd_decimal(self.last.cost_nano)),
            budget_usd=Decimal(usd_decimal(self._goal.budget_nano)),
            seconds=self.seconds,
            records_per_second=self.rate,
            seconds_left=self.seconds_left,
            tries=counts.tries,
            rejected_by=dict(counts.rejected_by),
            left_out=dict(counts.left_out),
            acceptance_rate=counts.acceptance_rate,
            judging_usd=Decimal(usd_decimal(counts.judging_nano)),
            records_in_budget=self._in_budget,
        )

    def pace(self) -> str:
        """How far it is."""
        count, left, rate, *_ = self.figures()
        return SEPARATOR.join((count, rate, left))

    def cost(self) -> str:
        """What it took."""
        *_, failed, spent, tokens = self.figures()
        return SEPARATOR.join((tokens, spent, failed))

    def figures(self) -> tuple[str, str, str, str, str, str]:
        """Records, time left, rate, failures, money, tokens."""
        return (
            f"{self.done}/{self._goal.records} records",
            f"{self.left()} left",
            f"{self.rate:.1f} records/s",
            f"{self.last.failed_records} failed",
            f"{usd(self.last.cost_nano)} of {usd(self._goal.budget_nano)}",
            f"{self.last.tokens_used} tokens",
        )

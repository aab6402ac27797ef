"""How far a run is: records, rate, tokens, dollars of the budget, failures, time left."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.domain.jobs.job import Progress
from runtime.domain.money.amounts import usd

_INSTANT: Final = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the run is heading for."""

    records: int
    budget_nano: int


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Meter:
    """Rates and time left, from the counters at the start of this run."""

    def __init__(self, goal: Goal, monotonic: Callable[[], float]) -> None:
        self._goal = goal
        self._monotonic = monotonic
        self._began = monotonic()
        self._ended: float | None = None
        self._first: Progress | None = None
        self.last = Progress()

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
        """Finished records, failed ones included."""
        return self.last.records_generated + self.last.failed_records

    @property
    def share(self) -> float:
        """Finished part of all records, 0 to 1."""
        return min(self.done / self._goal.records, 1.0)

    @property
    def generated_now(self) -> int:
        """Records generated in this run."""
        return self.last.records_generated - (self._first or self.last).records_generated

    @property
    def rate(self) -> float:
        """Records generated a second in this run."""
        return self.generated_now / max(self.seconds, _INSTANT)

    @property
    def token_rate(self) -> float:
        """Tokens a second in this run."""
        used = self.last.tokens_used - (self._first or self.last).tokens_used
        return used / max(self.seconds, _INSTANT)

    def left(self) -> str:
        """Time left as m:ss or h:mm:ss, or a dash while nothing is known."""
        first = self._first or self.last
        done_now = self.done - first.records_generated - first.failed_records
        if done_now <= 0:
            return "-:--"
        return duration(max(self._goal.records - self.done, 0) * self.seconds / done_now)

    def pace(self) -> str:
        """How far it is."""
        return (
            f"{self.done}/{self._goal.records} records · {self.rate:.1f} records/s · "
            f"{self.left()} left"
        )

    def cost(self) -> str:
        """What it took."""
        return (
            f"{self.last.tokens_used} tokens · {usd(self.last.cost_nano)} of "
            f"{usd(self._goal.budget_nano)} · {self.last.failed_records} failed"
        )

"""What the calls of judges may cost, where a judge has a share of the job's budget."""

from collections.abc import Callable, Mapping
from fractions import Fraction

from runtime.domain.checks.check import Checks, Judge
from runtime.domain.jobs.sharding import Sharding, ranges_of, size_of
from runtime.domain.jobs.step_totals import Tally
from runtime.domain.money.amounts import usd


def part_of(sharding: Sharding | None, shard: int | None) -> Fraction:
    """The part of a job's indices that a claim has."""
    if sharding is None or shard is None:
        return Fraction(1)
    return Fraction(size_of(ranges_of(sharding, shard)), sharding.ends[-1])


class JudgeShares:
    """Holds settled and reserved cost of each judge with a `budget` at or below its share of
    `limit_nano`, what its work has of that. `spent` is all that the work has cost; what of it the
    tally knows of no step, since a worker was killed, may have been any judge's.
    """

    def __init__(
        self, checks: Checks, *, limit_nano: int, tally: Tally, spent: Callable[[], int]
    ) -> None:
        self._limits: Mapping[str, tuple[Judge, int]] = {
            each.id: (each, int(limit_nano * Fraction(str(each.budget))))
            for each in checks.judges
            if each.budget is not None
        }
        self._tally = tally
        self._spent = spent
        self._reserved: dict[int, tuple[str, int]] = {}

    def has_room(self, check: str, nano: int) -> bool:
        """Whether a call that may cost `nano` stays within its judge's share; every call of a step,
        and of a judge without a share, does.
        """
        if check not in self._limits:
            return True
        return self._used(check) + self._in_flight(check) + nano <= self._limits[check][1]

    def may_get_room(self, check: str) -> bool:
        """Whether calls of the judge are out, which will cost less than they may."""
        return self._in_flight(check) > 0

    def reserve(self, call: int, check: str, nano: int) -> None:
        """The call is sent."""
        if check in self._limits:
            self._reserved[call] = check, nano

    def ended(self, call: int) -> None:
        """The call has ended, and is in the tally with what it cost."""
        self._reserved.pop(call, None)

    def decides(self, check: str) -> bool:
        """Whether records stay or go by what the judge says: without it there are none."""
        return self._limits[check][0].keep_if is not None

    def used_up(self, check: str, nano: int) -> str:
        """Why the judge is not called any more; `nano` is the most that the next call may cost."""
        judge, limit = self._limits[check]
        return (
            f"judge {check} has used up its share of the budget ({judge.budget:g}, here"
            f" {usd(limit)}): {usd(self._used(check))} spent, the next call may cost up to"
            f" {usd(nano)}; raise the budget, or give a new dataset's judge a larger share"
        )

    def _used(self, check: str) -> int:
        totals = self._tally.totals()
        known = sum(each.cost_nano for each in totals.values())
        own = totals[check].cost_nano if check in totals else 0
        return own + max(self._spent() - known, 0)

    def _in_flight(self, check: str) -> int:
        return sum(nano for name, nano in self._reserved.values() if name == check)

"""Who finds a service's quota: this project's limiter beside botocore's retry modes.

    .venv/bin/python -m tests.bench.limiter

In virtual time, so that it is the same on every machine: 256 calls that want to be in flight, a
reply takes 500 ms and a refusal 20, and there are as many records as anybody can call for. The
limiter and the rules of retrying are the production ones. botocore's adaptive mode is its own
classes with this clock, its standard mode three attempts with its pauses and its retry quota.
Figures are for the 60 seconds after the first 20; a quota of tokens counts the prompt's and
`max_tokens`, which differ from call to call. Exits with 1 when a target is missed.
"""

import heapq
import random
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from botocore.exceptions import CapacityNotAvailableError
from botocore.retries.adaptive import RateClocker
from botocore.retries.bucket import TokenBucket
from botocore.retries.throttling import CubicCalculator

from runtime.domain.errors import ModelErrorKind
from runtime.domain.models.limiter import AdaptiveLimiter
from runtime.domain.models.retry import Attempts, decide

IN_FLIGHT: Final = 256
REPLY: Final = 0.5
REFUSAL: Final = 0.02
WARM_UP: Final = 20.0
SECONDS: Final = 60.0
SHARED_CALLS: Final = 64
SHARED_REPLY: Final = (1.95, 4.45)
"""Least and most seconds of a reply where workers share a quota: 3.2 in the mean."""
SHARED_REFUSAL: Final = 0.1
SHARED_MINUTES: Final = (1, 4)
"""Minutes that are looked at: in the first the quota's full bucket is used up."""
SHARED_REFUSED: Final = 0.05
TOKENS: Final = (200, 2000)
"""Least and most of one call."""
USED: Final = 0.97
RECOVERY_SECONDS: Final = 5.0


class Time:
    """Virtual time and what is due in it. Also a clock of botocore's."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def current_time(self) -> float:
        return self.now

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (self.now + seconds, self._number, act))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, act = heapq.heappop(self._due)
            act()
        self.now = until


@dataclass
class Service:
    """Takes `rate` units a second, `holds` seconds' worth at once: calls, or tokens of calls."""

    time: Time
    rate: float
    by_tokens: bool = False
    holds: float = 0.5
    """Seconds' worth that it takes at once."""
    level: float = 0.0
    filled_at: float = 0.0
    used: list[tuple[float, float]] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    lost: int = 0
    """Records that were given up."""

    def asks(self, size: int) -> bool:
        """Whether a call is taken."""
        now, units = self.time.now, float(size if self.by_tokens else 1)
        self.level = min(self.rate * self.holds, self.level + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if units > self.level:
            self.refusals.append(now)
            return False
        self.level -= units
        self.used.append((now, units))
        return True

    def share(self, begin: float, end: float) -> float:
        """The part of the quota that was used in this time."""
        return (
            sum(units for at, units in self.used if begin <= at < end) / (end - begin) / self.rate
        )


class Caller:
    """Who calls. `rng` draws sizes and jitter."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        self.service = service
        self.time = service.time
        self.rng = rng

    def size(self) -> int:
        return self.rng.randint(*TOKENS)


class Ours(Caller):
    """The window of a model's traffic, and the rules of `retry.py`."""

    most, refusal = IN_FLIGHT, REFUSAL

    def __init__(self, service: Service, rng: random.Random) -> None:
        super().__init__(service, rng)
        self.limiter = AdaptiveLimiter(self.most)
        self.in_flight = 0
        self.again: list[tuple[int, Attempts]] = []
        self.dispatch()

    def dispatch(self) -> None:
        while self.limiter.has_room(self.time.now, in_flight=self.in_flight):
            size, attempts = self.again.pop() if self.again else (self.size(), Attempts())
            self.in_flight += 1
            if self.service.asks(size):
                self.time.after(self.seconds(), self.answered)
            else:
                self.time.after(self.refusal, lambda s=size, a=attempts: self.refused(s, a))  # type: ignore[misc]

    def seconds(self) -> float:
        return REPLY

    def answered(self) -> None:
        self.in_flight -= 1
        self.limiter.succeeded(self.time.now)
        self.dispatch()

    def refused(self, size: int, attempts: Attempts) -> None:
        self.in_flight -= 1
        self.limiter.refused(self.time.now, jitter=self.rng.random())
        self.time.after(max(0.0, self.limiter.opens_at - self.time.now) + 1e-9, self.dispatch)
        pause = decide(ModelErrorKind.THROTTLED, attempts, jitter=self.rng.random())
        assert pause is not None
        self.time.after(pause, lambda: self.again.append((size, attempts)))
        self.dispatch()


class OfMany(Ours):
    """One worker of several on one quota."""

    most, refusal = SHARED_CALLS, SHARED_REFUSAL

    def seconds(self) -> float:
        return self.rng.uniform(*SHARED_REPLY)


class Standard(Caller):
    """Threads over one client in botocore's standard mode."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        super().__init__(service, rng)
        self.retry_quota = 500
        for _ in range(IN_FLIGHT):
            self.begin(self.size(), 1)

    def begin(self, size: int, attempt: int) -> None:
        if self.service.asks(size):
            self.time.after(REPLY, lambda: self.answered(attempt))
        else:
            self.time.after(REFUSAL, lambda: self.refused(size, attempt))

    def answered(self, attempt: int) -> None:
        self.retry_quota = min(500, self.retry_quota + (5 if attempt > 1 else 1))
        self.begin(self.size(), 1)

    def refused(self, size: int, attempt: int) -> None:
        if attempt < 3 and self.retry_quota >= 5:
            self.retry_quota -= 5
            pause = min(self.rng.random() * 2 ** (attempt - 1), 20)
            self.time.after(pause, lambda: self.begin(size, attempt + 1))
        else:
            self.service.lost += 1
            self.begin(self.size(), 1)


class Adaptive(Standard):
    """The same in adaptive mode: it sends at a rate of its own once it was refused."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        clock = service.time
        self.rate = CubicCalculator(starting_max_rate=0, start_time=clock.now)
        self.clocker = RateClocker(clock)
        self.bucket = TokenBucket(max_rate=1, clock=clock)  # type: ignore[arg-type]
        self.enabled = False
        self.line: deque[tuple[int, int]] = deque()
        super().__init__(service, rng)

    def begin(self, size: int, attempt: int) -> None:
        self.line.append((size, attempt))
        if len(self.line) == 1:
            self._admit()

    def _admit(self) -> None:
        while self.line:
            if self.enabled:
                try:
                    self.bucket.acquire(block=False)
                except CapacityNotAvailableError:
                    missing = 1.0 - self.bucket.available_capacity
                    self.time.after(missing / self.bucket.max_rate + 1e-6, self._admit)
                    return
            super().begin(*self.line.popleft())

    def answered(self, attempt: int) -> None:
        measured = self.clocker.record()
        self._limit(self.rate.success_received(self.time.now), measured)
        super().answered(attempt)

    def refused(self, size: int, attempt: int) -> None:
        measured = self.clocker.record()
        used = min(measured, self.bucket.max_rate) if self.enabled else measured
        new = self.rate.error_received(used, self.time.now)
        self.enabled = True
        self._limit(new, measured)
        super().refused(size, attempt)

    def _limit(self, rate: float, measured: float) -> None:
        self.bucket.max_rate = min(rate, 2.0 * measured)


def steady(
    caller: type[Caller], rate: float, *, by_tokens: bool = False
) -> tuple[float, float, int]:
    """The part of a quota that is used, refusals for each call that was taken, records lost."""
    time = Time()
    service = Service(time=time, rate=rate, by_tokens=by_tokens)
    caller(service, random.Random(1))  # noqa: S311 - sizes and jitter
    time.run(WARM_UP)
    taken, refused, lost = len(service.used), len(service.refusals), service.lost
    time.run(WARM_UP + SECONDS)
    calls = len(service.used) - taken
    share = service.share(WARM_UP, WARM_UP + SECONDS)
    return share, (len(service.refusals) - refused) / calls, service.lost - lost


def shared(workers: int, feeds: float, *, seed: int = 1) -> tuple[float, float]:
    """Of `workers` on a quota that feeds so many, and holds a minute's worth as quotas by the
    minute do: the part of the quota that is used, and the part of the calls that is refused.
    """
    time = Time()
    rate = feeds * SHARED_CALLS / (sum(SHARED_REPLY) / 2)
    service = Service(time=time, rate=rate, holds=60.0, level=rate * 60.0)
    for number in range(workers):
        OfMany(service, random.Random(1000 * seed + number))  # noqa: S311 - as above
    begin, end = (60.0 * minute for minute in SHARED_MINUTES)
    time.run(end)
    refused = sum(begin <= at < end for at in service.refusals)
    taken = sum(begin <= at < end for at, _ in service.used)
    return service.share(begin, end), refused / (refused + taken)


def seconds_until(
    caller: type[Caller], begin: float, end: float, good: Callable[[Service, float], bool]
) -> float:
    """Time after a quota has changed, at most half of `SECONDS`; the worst of several moments."""
    worst = 0.0
    for moment in range(1 if caller is Standard else 5):  # it does the same at all times
        time = Time()
        service = Service(time=time, rate=begin)
        caller(service, random.Random(moment))  # noqa: S311 - as above
        changed = WARM_UP + moment * 0.4
        time.run(changed)
        service.rate = end
        time.run(changed + SECONDS / 2)
        tenths = (tenth / 10 for tenth in range(int(SECONDS * 5)))
        passed = (seconds for seconds in tenths if good(service, changed + seconds))
        worst = max(worst, next(passed, SECONDS / 2))
    return worst


def is_used(service: Service, at: float) -> bool:
    """Whether 90 % of the quota is used in this second."""
    return service.share(at, at + 1) >= 0.9


def is_calm(service: Service, at: float) -> bool:
    """Whether at most one call in five is refused in this second."""
    refused = sum(at <= each < at + 1 for each in service.refusals)
    return refused <= 0.2 * sum(at <= each < at + 1 for each, _ in service.used)


def main() -> None:
    """Print the table and judge our row."""
    print("           quota used (refusals a call, records lost)                 seconds until")
    print("           40/s                    100/s                   300k tokens/min", end="  ")
    print("50→150 is used  100→50 is obeyed")
    met = True
    for caller in (Ours, Standard, Adaptive):
        cells, shares = [], []
        for rate, by_tokens in ((40, False), (100, False), (5000, True)):
            share, refused, lost = steady(caller, rate, by_tokens=by_tokens)
            shares.append(share)
            cells.append(f"{share:5.0%} ({refused:6.2f}, {lost:6}) ")
        up = seconds_until(caller, 50, 150, is_used)
        down = seconds_until(caller, 100, 50, is_calm)
        print(f"{caller.__name__:9}", *cells, f"{up:10.1f} {down:18.1f}", flush=True)
        if caller is Ours:
            met = min(shares[:2]) >= USED and up <= RECOVERY_SECONDS
    print("workers on one quota: quota used, calls refused (from the second to the fourth minute)")
    for workers in (2, 8, 40):
        for part in (12.5, 5, 2, 1):
            share, refused = shared(workers, workers / part)
            print(f"{workers:9} on a quota for {workers / part:5.2f}: {share:5.0%} {refused:6.1%}")
            met = met and (part > 5 or refused <= SHARED_REFUSED)
    sys.exit(not met)


if __name__ == "__main__":
    main()

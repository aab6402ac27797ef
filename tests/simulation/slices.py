"""Many workers and one budget, in virtual time: the production guard on a store in memory.

    .venv/bin/python -m tests.simulation.slices

Workers keep as many calls in flight as they may. A call costs a random part of its worst case and
takes a random time. Some workers die without a word and have a successor later. What must hold is
checked at every call; what it comes to is returned as `Figures`.
"""

import heapq
import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from runtime.domain.jobs.job import work_id_of
from runtime.domain.money.accounts import Slice
from runtime.domain.money.slices import spent_of, take_back
from runtime.domain.ports import Claim
from runtime.worker.budget_guard import BudgetGuard, Reservation
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_budgets import MemoryBudgets

JOB: Final = "job"
FLUSH_CALLS: Final = 50
TURN_SECONDS: Final = 0.5
START_SECONDS: Final = 2
SUCCESSOR_SECONDS: Final = 150.0
"""A lease, and the start of a task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """`records` of a shard, each one call; `deaths` are shares of the budget at whose spending a
    worker dies; a call costs `cheap` to `dear` of its worst case.
    """

    name: str
    limit_nano: int
    workers: int = 40
    concurrency: int = 64
    worst_nano: int = 1_000
    records: tuple[int, int] = (10**9, 10**9)
    cost: tuple[float, float] = (0.1, 0.5)
    deaths: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a run came to. `job_writes` change the job's account, `slice_writes` a slice, each for a
    call; by the second, once all workers have begun.
    """

    calls: int
    unused_nano: int
    allowed_nano: int
    job_writes: float
    slice_writes: float
    job_writes_a_second: int
    idle_seconds: float
    """In which a worker had neither a call nor room for one, all workers together."""
    records_left: int
    """That have no reply; a great many where there are more than money."""
    presumed_nano: int


class _Counted(MemoryBudgets):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.job_writes: Counter[int] = Counter()
        self.slice_writes: Counter[str] = Counter()

    def resize_slice(self, job_id: str, work_id: str, **arguments: Any) -> Slice:
        self.job_writes[int(self.clock.monotonic())] += 1
        self.slice_writes[work_id] += 1
        self.script.calls.clear()
        return super().resize_slice(job_id, work_id, **arguments)

    def change_slice_hold(self, job_id: str, work_id: str, **arguments: Any) -> Slice:
        self.slice_writes[work_id] += 1
        return super().change_slice_hold(job_id, work_id, **arguments)


@dataclass(slots=True)
class _Worker:
    shard: int
    left: int
    guard: BudgetGuard
    fence: int = 1
    in_flight: dict[int, int] = field(default_factory=dict)
    done: int = 0
    ended: bool = False


class Simulation:
    """One scenario with one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.draw = random.Random(seed)  # noqa: S311
        self.clock = ManualClock()
        self.store = _Counted(self.clock)
        self.billed = self.calls = self.presumed = 0
        self._numbers = itertools.count(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._deaths = [share * scenario.limit_nano for share in scenario.deaths]
        self.started = self.clock.monotonic()
        self.idle = 0.0
        self.workers = [
            _Worker(shard, self.draw.randint(*scenario.records), self._guard(shard, 1))
            for shard in range(scenario.workers)
        ]

    def run(self) -> Figures:
        """To the end of every shard, and what the job's own work does then."""
        for worker in self.workers:
            self._at(self.draw.random(), partial(self._turn, worker, worker.fence))
        while self._events:
            at, _, act = heapq.heappop(self._events)
            self.clock.advance(at - self.clock.monotonic())
            act()
        take_back(self.store, JOB, range(self.scenario.workers))
        return self._figures()

    def _guard(self, shard: int, fence: int) -> BudgetGuard:
        claim = Claim(
            work_id=work_id_of(JOB, shard),
            job_id=JOB,
            owner="worker",
            fence=fence,
            attempt=1,
            shard=shard,
        )
        scenario = self.scenario
        return BudgetGuard(
            self.store,
            claim,
            self.clock,
            limit_nano=scenario.limit_nano,
            concurrency=scenario.concurrency,
            shards=scenario.workers,
        )

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        event = (self.clock.monotonic() + seconds, next(self._numbers), act)
        heapq.heappush(self._events, event)

    def _turn(self, worker: _Worker, fence: int) -> None:
        if worker.ended or worker.fence != fence:
            return
        if self._deaths and self.billed >= self._deaths[0]:
            self._deaths.pop(0)
            self._die(worker)
            return
        scenario = self.scenario
        while worker.left > len(worker.in_flight) < scenario.concurrency:
            call = next(self._numbers)
            reservation = worker.guard.reserve(call, scenario.worst_nano)
            if reservation is Reservation.EXHAUSTED and not worker.in_flight:
                self._end(worker)
                return
            if reservation is not Reservation.GRANTED:
                if not worker.in_flight:
                    self.idle += TURN_SECONDS
                    self._at(TURN_SECONDS, partial(self._turn, worker, fence))
                return
            cost = int(scenario.worst_nano * self.draw.uniform(*scenario.cost))
            worker.in_flight[call] = cost
            self.calls += 1
            self._at(self.draw.uniform(1, 6), partial(self._reply, worker, fence, call))
        if not worker.in_flight:
            self._end(worker)

    def _reply(self, worker: _Worker, fence: int, call: int) -> None:
        if worker.fence != fence:
            return
        cost = worker.in_flight.pop(call)
        self.billed += cost
        self._check()
        worker.guard.settle(call, cost)
        worker.left -= 1
        worker.done += 1
        if worker.done % FLUSH_CALLS == 0:
            worker.guard.book()
        self._turn(worker, fence)

    def _end(self, worker: _Worker) -> None:
        worker.guard.close()
        worker.ended = True

    def _die(self, worker: _Worker) -> None:
        """Its calls are billed all the same."""
        self.billed += sum(worker.in_flight.values())
        self._check()
        worker.in_flight = {}
        worker.fence += 1
        self._at(SUCCESSOR_SECONDS, partial(self._succeed, worker))

    def _succeed(self, worker: _Worker) -> None:
        worker.guard = self._guard(worker.shard, worker.fence)
        self.presumed += worker.guard.presumed_nano
        self._turn(worker, worker.fence)

    def _check(self) -> None:
        account = self.store.get_account(JOB)
        assert self.billed <= account.committed_nano <= self.scenario.limit_nano

    def _figures(self) -> Figures:
        scenario = self.scenario
        slices = self.store.get_slices(JOB, range(scenario.workers))
        account = self.store.get_account(JOB)
        spent = spent_of(account.spent_nano, slices.values())
        assert account.committed_nano == spent >= self.billed, "something is stranded"
        in_flight = scenario.workers * scenario.concurrency * scenario.worst_nano
        return Figures(
            calls=self.calls,
            unused_nano=scenario.limit_nano - spent,
            allowed_nano=max(scenario.limit_nano // 100, in_flight),
            job_writes=self.store.job_writes.total() / self.calls,
            slice_writes=self.store.slice_writes.total() / self.calls,
            job_writes_a_second=max(
                writes
                for second, writes in self.store.job_writes.items()
                if second > self.started + START_SECONDS
            ),
            idle_seconds=self.idle,
            records_left=sum(worker.left for worker in self.workers),
            presumed_nano=self.presumed,
        )


EVEN: Final = Scenario(name="more records than money", limit_nano=30_000_000)
UNEVEN: Final = replace(EVEN, name="shards of 0 to 6 000 records", records=(0, 6_000))
DEADLY: Final = replace(
    EVEN,
    name="20 deaths, most near the end",
    deaths=(0.1, 0.3, 0.5, 0.7, *(0.8 + 0.012 * number for number in range(16))),
)
DEAR: Final = replace(EVEN, name="calls near their worst case", cost=(0.8, 1.0))
TIGHT: Final = replace(EVEN, name="less than all calls in flight need", limit_nano=1_500_000)
FEW: Final = replace(
    EVEN,
    name="enough for all records, not at worst",
    limit_nano=800_000,
    records=(20, 100),
)
TWO: Final = replace(EVEN, name="2 workers, one dies at 90 %", workers=2, deaths=(0.9,))
SCENARIOS: Final = (EVEN, UNEVEN, DEADLY, DEAR, TIGHT, FEW, TWO)


def main() -> None:
    """Print a table."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    head = (
        "scenario",
        "calls",
        "unused",
        "allowed",
        "presumed",
        "job/call",
        "slice/call",
        "job/s",
        "idle s",
    )
    print("{:36} {:>8} {:>8} {:>8} {:>8} {:>9} {:>10} {:>5} {:>6}".format(*head))
    for scenario in SCENARIOS:
        found = [Simulation(scenario, seed).run() for seed in seeds]
        limit = scenario.limit_nano
        worst = max(found, key=lambda each: each.unused_nano)
        print(
            f"{scenario.name:36} {worst.calls:8} {worst.unused_nano / limit:8.3%}"
            f" {worst.allowed_nano / limit:8.2%}"
            f" {max(each.presumed_nano for each in found) / limit:8.2%}"
            f" {max(each.job_writes for each in found):9.4f}"
            f" {max(each.slice_writes for each in found):10.3f}"
            f" {max(each.job_writes_a_second for each in found):5}"
            f" {max(each.idle_seconds for each in found):6.0f}"
        )


if __name__ == "__main__":
    main()

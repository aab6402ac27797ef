"""The hard budget (requirement N3): true spend <= spent + holds <= limit, whatever happens.

The machine below is a job with two shards, over every family of accounts. Workers claim, reserve,
settle, grow and shrink their holds, lose replies and die; late ones go on writing; an adversary
bills every call the moment it is dispatched.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.domain.errors import BudgetExceededError, LeaseLostError
from runtime.domain.money.accounts import Account, Hold
from runtime.domain.money.ledger import HoldChange, Ledger, take_over
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import open_family
from tests.fixtures.storage import new_job

JOB = "job"
SHARDS = ("job#0", "job#1")
amounts = st.integers(0, 60)
THOROUGH = settings(max_examples=200, stateful_step_count=60)
shards = st.sampled_from(SHARDS)
arrivals = st.sampled_from(["arrives", "reply lost", "request lost"])


@dataclass(slots=True)
class Worker:
    """What a worker knows, and beside it what the tests know better."""

    ledger: Ledger
    settled: int = 0
    calls: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Calls in flight: worst case and true cost."""
    unsure: HoldChange | None = None
    """A change whose fate the worker does not know."""

    @property
    def reserved(self) -> int:
        return sum(worst for worst, _ in self.calls.values())

    @property
    def free(self) -> int:
        return self.ledger.hold.nano - self.settled - self.reserved


class BudgetMachine(RuleBasedStateMachine):
    family: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        clock = ManualClock()
        storage = open_family(self.family, clock, self.stack)()
        storage.jobs.create_job(new_job(JOB, clock))
        self.store = storage.budgets
        self.late: dict[str, Worker] = {}
        self.last: dict[str, HoldChange] = {}
        self.workers: dict[str, Worker] = {}
        self.fence = 0
        self.calls = 0
        self.bound = 0
        self.billed = 0
        self.booked = 0

    def teardown(self) -> None:
        self.stack.close()

    @property
    def account(self) -> Account:
        return self.store.get_account(JOB)

    @initialize(limit=st.integers(0, 150))
    def open_account(self, limit: int) -> None:
        self.bound = limit
        self.store.open_account(JOB, limit)

    @rule(limit=st.integers(0, 150))
    def user_changes_the_limit(self, limit: int) -> None:
        self.bound = max(limit, self.account.committed_nano)
        self.store.open_account(JOB, limit)

    def _send(self, shard: str, change: HoldChange, arrival: str) -> bool:
        """Whether the worker learns that the change was made."""
        if arrival == "request lost":
            return False
        before = self.account
        self._write(shard, change)
        if before.holds.get(shard) != self.account.holds.get(shard):
            self.booked += change.spent_nano
            self.last[shard] = change
        return arrival == "arrives"

    def _write(self, shard: str, change: HoldChange) -> Account:
        return self.store.change_hold(
            JOB, shard, expected=change.expected, new=change.new, spent_nano=change.spent_nano
        )

    @rule(shard=shards, arrival=arrivals)
    def claim(self, shard: str, arrival: str) -> None:
        """Also under a living owner: its fence is then out of date, and it is gone."""
        self.fence += 1
        left_behind = self.account.holds.get(shard)
        change = take_over(left_behind, fence=self.fence)
        assert change.spent_nano == (left_behind.nano if left_behind else 0)
        self._retire(shard)
        if self._send(shard, change, arrival) or self._send(shard, change, "arrives"):
            self.workers[shard] = Worker(Ledger(change.new))

    def _retire(self, shard: str) -> None:
        if worker := self.workers.pop(shard, None):
            self.late[shard] = worker

    @rule(shard=shards)
    def die(self, shard: str) -> None:
        self._retire(shard)

    @precondition(lambda self: self.late)
    @rule(shard=shards, room=amounts)
    def a_late_worker_changes_nothing(self, shard: str, room: int) -> None:
        late, worker = self.late.get(shard), self.workers.get(shard)
        if late is None or worker is None:
            return
        before = self.account
        for change in (late.unsure, late.ledger.change(room)):
            if change is not None:
                with pytest.raises(LeaseLostError):
                    self._write(shard, change)
        assert self.account == before

    @precondition(lambda self: self.last)
    @rule(shard=shards)
    def a_change_that_was_made_is_sent_again(self, shard: str) -> None:
        if change := self.last.get(shard):
            before = self.account
            assert self._write(shard, change) == before == self.account

    @precondition(lambda self: self.workers)
    @rule(shard=shards, worst=amounts, part=st.integers(0, 4))
    def dispatch(self, shard: str, worst: int, part: int) -> None:
        worker = self.workers.get(shard)
        if worker is None or (worker.unsure and worker.unsure.new.nano < worker.free):
            return
        self.calls += 1
        covered = worst <= worker.free
        assert worker.ledger.covers(worst) is covered
        if not covered:
            with pytest.raises(ValueError, match="can't be reserved"):
                worker.ledger.reserve(self.calls, worst)
            return
        cost = worst * part // 4
        worker.ledger.reserve(self.calls, worst)
        worker.calls[self.calls] = (worst, cost)
        self.billed += cost

    def _end_a_call(self, shard: str, *, unbilled: bool = False) -> tuple[Worker, int] | None:
        worker = self.workers.get(shard)
        calls = worker.calls if worker else {}
        ended = next((call for call, (_, cost) in calls.items() if not (unbilled and cost)), None)
        return None if worker is None or ended is None else (worker, ended)

    @precondition(lambda self: any(worker.calls for worker in self.workers.values()))
    @rule(shard=shards)
    def settle(self, shard: str) -> None:
        if found := self._end_a_call(shard):
            worker, call = found
            _, cost = worker.calls.pop(call)
            assert worker.ledger.settle(call, cost)
            worker.settled += cost

    @precondition(lambda self: any(worker.calls for worker in self.workers.values()))
    @rule(shard=shards)
    def release(self, shard: str) -> None:
        if found := self._end_a_call(shard, unbilled=True):
            worker, call = found
            worker.calls.pop(call)
            worker.ledger.release(call)

    @precondition(lambda self: any(worker.calls for worker in self.workers.values()))
    @rule(shard=shards, everything=st.booleans())
    def presume(self, shard: str, everything: bool) -> None:  # noqa: FBT001 - drawn
        if found := self._end_a_call(shard):
            worker, call = found
            if everything:
                expected, worker.calls = worker.reserved, {}
                assert worker.ledger.presume_all_spent() == expected
            else:
                expected, _ = worker.calls.pop(call)
                assert worker.ledger.presume_spent(call) == expected
            worker.settled += expected

    @precondition(lambda self: self.workers)
    @rule(shard=shards, room=amounts, arrival=arrivals)
    def change_the_hold(self, shard: str, room: int, arrival: str) -> None:
        worker = self.workers.get(shard)
        if worker is None:
            return
        # A change of unknown fate is sent again as it was, before anything else is asked for.
        change = worker.unsure or worker.ledger.change(room)
        worker.unsure = None
        before = self.account
        try:
            learned = self._send(shard, change, arrival)
        except BudgetExceededError:
            growth = change.spent_nano + change.new.nano - worker.ledger.hold.nano
            assert growth > max(before.limit_nano - before.committed_nano, 0)
            assert self.account == before
            return
        if not learned:
            worker.unsure = change
            return
        worker.ledger.changed(change)
        worker.settled -= change.spent_nano

    @invariant()
    def books_are_exact(self) -> None:
        for shard, worker in self.workers.items():
            ledger = worker.ledger
            assert (ledger.settled_nano, ledger.reserved_nano) == (worker.settled, worker.reserved)
            assert ledger.hold.nano >= ledger.settled_nano + ledger.reserved_nano
            assert worker.unsure or ledger.hold == self.account.holds[shard]
        if self.bound or self.workers:
            assert self.account.spent_nano == self.booked

    @invariant()
    def the_budget_holds(self) -> None:
        if self.bound or self.workers:
            assert self.billed <= self.account.committed_nano <= self.bound


class MemoryBudget(BudgetMachine):
    family = "memory"


class LocalBudget(BudgetMachine):
    family = "local"


class AwsBudget(BudgetMachine):
    family = "aws"


TestMemoryBudget = MemoryBudget.TestCase
TestMemoryBudget.settings = THOROUGH  # in memory it costs next to nothing
TestLocalBudget = LocalBudget.TestCase
if os.environ.get("HYPOTHESIS_PROFILE") == "long":
    TestAwsBudget = AwsBudget.TestCase


def ledger_of(nano: int) -> Ledger:
    return Ledger(Hold(fence=1, sequence=1, nano=nano))


@given(worst=amounts, excess=st.integers(1, 60))
def test_a_cost_above_its_worst_case_is_told_and_booked(worst: int, excess: int) -> None:
    ledger = ledger_of(worst)
    ledger.reserve(1, worst)
    assert not ledger.settle(1, worst + excess)
    change = ledger.change(0)
    assert change.spent_nano == worst + excess
    assert not ledger.covers(0)


@given(room=amounts, settled=amounts)
def test_a_change_books_what_was_settled_and_nothing_that_comes_later(
    room: int, settled: int
) -> None:
    ledger = ledger_of(120)
    ledger.reserve(1, settled)
    ledger.reserve(2, 30)
    ledger.settle(1, settled)
    change = ledger.change(room)
    assert change == HoldChange(
        expected=Hold(fence=1, sequence=1, nano=120),
        new=Hold(fence=1, sequence=2, nano=30 + room),
        spent_nano=settled,
    )
    ledger.settle(2, 10)
    ledger.changed(change)
    assert (ledger.settled_nano, ledger.reserved_nano) == (10, 0)
    assert ledger.hold == change.new


def test_no_two_changes_are_alike() -> None:
    """Else the account takes the second for the first, whose reply was lost, and books nothing."""
    ledger = ledger_of(100)
    ledger.reserve(1, 20)
    lost = ledger.change(50)
    ledger.settle(1, 20)
    ledger.reserve(2, 20)
    later = ledger.change(50)
    assert (lost.new.nano, lost.expected) == (later.new.nano, later.expected)
    assert lost.new != later.new


def test_a_successor_books_the_whole_hold() -> None:
    left_behind = Hold(fence=3, sequence=9, nano=70)
    assert take_over(left_behind, fence=4) == HoldChange(
        expected=left_behind, new=Hold(fence=4, sequence=1, nano=0), spent_nano=70
    )
    assert take_over(None, fence=1).spent_nano == 0


@pytest.mark.parametrize(("call", "nano"), [(1, 5), (2, -1), (2, 51)])
def test_a_reservation_that_would_break_the_books_is_refused(call: int, nano: int) -> None:
    ledger = ledger_of(60)
    ledger.reserve(1, 10)
    with pytest.raises(ValueError, match="can't be reserved"):
        ledger.reserve(call, nano)
    assert ledger.reserved_nano == 10

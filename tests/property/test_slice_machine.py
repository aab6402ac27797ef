"""The hard budget of a sharded job (requirement N3), as a machine of states: two shards spend by
the production guard, each out of its slice, and the truth is added up by hand.

Workers claim, reserve, settle, book, end and die; late ones go on; replies and requests are lost; a
sweeper takes back what is free; the user moves the limit, and the job ends. An adversary bills
every call the moment it may go out, also those of a worker that has lost its lease.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.domain.errors import (
    ConflictError,
    LeaseLostError,
    StorageUnavailableError,
)
from runtime.domain.jobs.job import ENDED, JobStatus, work_id_of
from runtime.domain.money.accounts import Account, Admission, BudgetStore, Limits, Slice, month_of
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.money.slices import spent_of, take_back
from runtime.domain.ports import Claim
from runtime.worker.budget_guard import RETRY_SECONDS, BudgetGuard, Reservation
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import open_family
from tests.fixtures.storage import new_job

JOB = "job"
SHARDS = range(2)
shards = st.sampled_from(SHARDS)
amounts = st.integers(0, 30)
faults = st.sampled_from(
    [("", 0)] * 4 + [(kind, after) for kind in ("reply lost", "request lost") for after in (0, 1)]
)
"""What goes wrong, and after how many writes."""
NOTHING = ("", 0)


class Line:
    """The store as a worker reaches it: a write may be lost, or its reply. Each worker may have
    another limit in mind, so none of them sets it.
    """

    def __init__(self, store: BudgetStore) -> None:
        self._store = store
        self.fault = NOTHING

    def open_account(self, job_id: str, limit_nano: int) -> Account:
        del limit_nano
        return self._store.get_account(job_id)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in {"resize_slice", "change_slice_hold"}:
            return method

        def write(*positional: Any, **named: Any) -> Any:
            fault, after = self.fault
            if after:
                fault, self.fault = "", (fault, after - 1)
            else:
                self.fault = NOTHING
            if fault == "request lost":
                raise StorageUnavailableError(fault)
            found = method(*positional, **named)
            if fault:
                raise StorageUnavailableError(fault)
            return found

        return write


@dataclass(slots=True)
class Worker:
    guard: BudgetGuard
    calls: dict[int, int] = field(default_factory=dict)
    """True cost of the calls in flight."""


class SliceMachine(RuleBasedStateMachine):
    family: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = ManualClock()
        self.storage = open_family(self.family, self.clock, self.stack)()
        self.store = self.storage.budgets
        self.line = Line(self.store)
        self.workers: dict[int, Worker] = {}
        self.late: dict[int, Worker] = {}
        self.fence = self.calls = self.billed = self.bound = 0

    @initialize(limit=st.integers(0, 400))
    def create(self, limit: int) -> None:
        self.bound = limit
        limits = Limits(month=month_of(self.clock.now()), stage_nano=None, user_nano=None)
        job = new_job(JOB, self.clock, budget_limit=usd_decimal(limit))
        self.storage.jobs.create_job(job, admission=Admission(limits=limits, max_active_jobs=9))
        self.store.open_account(JOB, limit)
        for shard in SHARDS:
            self.claim(shard, NOTHING)

    def teardown(self) -> None:
        try:
            if self.workers or self.late:
                self.end_of_all()
        finally:
            self.stack.close()

    def end_of_all(self) -> None:
        """Nothing is stranded: every slice has a worker once more, which gives back."""
        for shard in SHARDS:
            self.claim(shard, NOTHING)
            self.end_shard(shard, NOTHING)
        self.sweep()
        assert self.account.committed_nano == spent_of(0, self.slices.values()) >= self.billed
        self.storage.jobs.return_rest(JOB)
        job = self.storage.jobs.get_job(JOB)
        assert job.share is not None
        if job.status in ENDED:
            assert job.share.reserved_nano == self.account.committed_nano

    @property
    def account(self) -> Account:
        return self.store.get_account(JOB)

    @property
    def slices(self) -> dict[str, Slice]:
        return dict(self.store.get_slices(JOB, SHARDS))

    # ── workers ────────────────────────────────────────────────────────────────────────────────

    @rule(shard=shards, fault=faults)
    def claim(self, shard: int, fault: tuple[str, int]) -> None:
        """Also under a living owner: it has lost its lease then, and learns of it later."""
        self.fence += 1
        self.die(shard)
        claim = Claim(
            work_id=work_id_of(JOB, shard),
            job_id=JOB,
            owner="worker",
            fence=self.fence,
            attempt=1,
            shard=shard,
        )
        with self.faulty(fault):
            self.workers[shard] = Worker(
                BudgetGuard(
                    self.line,
                    claim,
                    self.clock,
                    limit_nano=self.bound,
                    concurrency=8,
                    shards=len(SHARDS),
                )
            )

    @contextmanager
    def faulty(self, fault: tuple[str, int]) -> Iterator[None]:
        self.line.fault = fault
        with suppress(StorageUnavailableError):
            yield
        self.line.fault = NOTHING

    @rule(shard=shards)
    def die(self, shard: int) -> None:
        if worker := self.workers.pop(shard, None):
            self.late[shard] = worker

    @precondition(lambda self: self.workers)
    @rule(shard=shards, worst=amounts, part=st.integers(0, 4), fault=faults)
    def dispatch(self, shard: int, worst: int, part: int, fault: tuple[str, int]) -> None:
        worker = self.workers.get(shard)
        if worker is None:
            return
        with self.faulty(fault):
            reservation = self.reserve(worker, worst, worst * part // 4)
            if reservation is Reservation.UNREACHABLE and not any(self.line.fault):
                # The store is back, and what became of the write is not known.
                self.clock.advance(RETRY_SECONDS)
                self.reserve(worker, worst, worst * part // 4)
            if reservation is Reservation.EXHAUSTED and fault == NOTHING:
                # Then there was no room, even with all that is free anywhere.
                account, job = self.account, self.storage.jobs.get_job(JOB)
                free = sum(each.free_nano for each in self.slices.values())
                room = account.limit_nano - account.committed_nano + free
                assert room < worst or job.status in ENDED

    def reserve(self, worker: Worker, worst: int, cost: int) -> Reservation:
        self.calls += 1
        reservation = worker.guard.reserve(self.calls, worst)
        if reservation is Reservation.GRANTED:
            worker.calls[self.calls] = cost
            self.billed += cost
        return reservation

    @precondition(lambda self: self.late)
    @rule(shard=shards, worst=amounts)
    def a_late_worker_goes_on(self, shard: int, worst: int) -> None:
        """Within the hold that it knows of, until it asks for more or books."""
        if (late := self.late.get(shard)) is None:
            return
        succeeded = shard in self.workers
        before = self.slices.get(work_id_of(JOB, shard))
        try:
            self.reserve(late, worst, worst)
            late.guard.book()
        except (LeaseLostError, ConflictError):
            del self.late[shard]
        if succeeded:
            assert self.slices.get(work_id_of(JOB, shard)) == before

    @precondition(lambda self: any(worker.calls for worker in self.workers.values()))
    @rule(shard=shards, how=st.sampled_from(["settle", "presume", "release"]))
    def end_a_call(self, shard: int, how: str) -> None:
        worker = self.workers.get(shard)
        if worker is None or not worker.calls:
            return
        call, cost = worker.calls.popitem()
        if how == "presume":
            worker.guard.presume_spent(call)
        elif how == "release" and not cost:
            worker.guard.release(call)
        else:
            worker.guard.settle(call, cost)

    @precondition(lambda self: self.workers)
    @rule(shard=shards, fault=faults)
    def book(self, shard: int, fault: tuple[str, int]) -> None:
        if worker := self.workers.get(shard):
            with self.faulty(fault):
                worker.guard.book()

    @precondition(lambda self: self.workers)
    @rule(shard=shards, fault=faults)
    def end_shard(self, shard: int, fault: tuple[str, int]) -> None:
        """A fault leaves something in the slice, which the sweeper or a successor finds."""
        if worker := self.workers.pop(shard, None):
            with self.faulty(fault):
                worker.guard.close()

    # ── everybody else ─────────────────────────────────────────────────────────────────────────

    @rule(seconds=st.sampled_from((1, 5, 15)))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(limit=st.integers(0, 400))
    def user_changes_the_limit(self, limit: int) -> None:
        self.bound = max(limit, self.account.committed_nano)
        self.store.open_account(JOB, limit)

    @rule()
    def sweep(self) -> None:
        take_back(self.store, JOB, SHARDS)
        assert all(each.free_nano == 0 for each in self.slices.values())

    @rule()
    def job_ends(self) -> None:
        with suppress(ConflictError):
            self.storage.jobs.set_status(JOB, JobStatus.CANCELLED, fence=None)

    # ── what must hold ─────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_budget_holds(self) -> None:
        account, slices = self.account, self.slices.values()
        assert self.billed <= sum(each.committed_nano for each in slices)
        assert all(each.committed_nano <= each.limit_nano for each in slices)
        assert account.slices_nano == sum(each.limit_nano for each in slices)
        assert account.committed_nano <= self.bound

    @invariant()
    def the_month_has_what_the_job_may_spend(self) -> None:
        share = self.storage.jobs.get_job(JOB).share
        assert share is not None
        if self.storage.jobs.get_job(JOB).status in ENDED:
            assert share.reserved_nano >= self.account.committed_nano


class SlicesInMemory(SliceMachine):
    family = "memory"


class SlicesOnALaptop(SliceMachine):
    family = "local"


class SlicesOnAws(SliceMachine):
    family = "aws"


TestSlicesInMemory = SlicesInMemory.TestCase
TestSlicesInMemory.settings = settings(max_examples=70, stateful_step_count=50)
TestSlicesOnALaptop = SlicesOnALaptop.TestCase
if os.environ.get("HYPOTHESIS_PROFILE") == "long":
    TestSlicesOnAws = SlicesOnAws.TestCase
else:
    TestSlicesOnALaptop.settings = settings(max_examples=15, stateful_step_count=40)

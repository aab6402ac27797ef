"""Money over all jobs (requirement N16), as a machine of states over both families of stores.

Users create, cancel, resume and delete; workers hold, spend and end; a sweeper takes over; months
pass. Each rule is one write, so whoever does several may die between any two. After every rule the
accounts are added up by hand from the jobs.
"""

import os
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.aws.table import Table
from runtime.contract.tables import BUDGETS
from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LimitError,
    MonthlyBudgetError,
    NotFoundError,
)
from runtime.domain.jobs.job import ACTIVE, ENDED, Job, JobStatus
from runtime.domain.money.accounts import Admission, Hold, Limits, month_of
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.ports import Claim, Lease
from tests.fixtures.aws import emulated_aws
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import open_api
from tests.fixtures.storage import ApiStorage, new_job

JOBS = ("a", "b", "c")
USER = "ada"
STAGE, OF_USER, MOST = 30, 25, 2
"""Nano-USD, and jobs at a time."""

jobs = st.sampled_from(JOBS)
budgets = st.integers(4, 14)


@dataclass(slots=True)
class Working:
    """A worker that lives."""

    claim: Claim
    hold: Hold | None = None


class MoneyMachine(RuleBasedStateMachine):
    """What is not in jobs any more, or never was, is remembered in `elsewhere`, by month."""

    family: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = ManualClock()
        self.ports = self.open()
        self.elsewhere: dict[str, int] = defaultdict(int)
        self.workers: dict[str, Working] = {}
        self.months = {self.month}
        self.previews: list[tuple[str, int]] = []

    def teardown(self) -> None:
        try:
            for job_id in JOBS:
                self.worker_ends(job_id, status=JobStatus.CANCELLED)
                self.sweep(job_id)
                job = self._job(job_id)
                if job is not None and job.status in ENDED and job.share is not None:
                    assert job.share.reserved_nano == max(
                        0, self._committed(job) - job.share.base_nano
                    )
        finally:
            self.stack.close()

    def open(self) -> ApiStorage:
        return open_api(self.family, self.clock, self.stack)()

    @property
    def month(self) -> str:
        return month_of(self.clock.now())

    @property
    def admission(self) -> Admission:
        limits = Limits(month=self.month, stage_nano=STAGE, user_nano=OF_USER)
        return Admission(limits=limits, max_active_jobs=MOST)

    def _job(self, job_id: str) -> Job | None:
        try:
            return self.ports.jobs.get_job(job_id)
        except NotFoundError:
            return None

    def _committed(self, job: Job) -> int:
        try:
            return self.ports.budgets.get_account(job.job_id).committed_nano
        except NotFoundError:
            return 0

    # ── users ──────────────────────────────────────────────────────────────────────────────────

    @rule(job_id=jobs, budget=budgets)
    def create(self, job_id: str, budget: int) -> None:
        job = new_job(job_id, self.clock, budget_limit=usd_decimal(budget))
        with suppress(ConflictError, LimitError, MonthlyBudgetError):
            self.ports.jobs.create_job(job, admission=self.admission)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        with suppress(ConflictError, NotFoundError):
            self.ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)

    @rule(job_id=jobs, more=st.integers(0, 6))
    def resume(self, job_id: str, more: int) -> None:
        """The first of the two writes."""
        job = self._job(job_id)
        if job is None:
            return
        limit = usd_decimal(job.budget_nano + more)
        try:
            self.ports.jobs.queue_again(job_id, self.admission, budget_limit=limit)
        except (ConflictError, LimitError, MonthlyBudgetError):
            assert self._job(job_id) == job
            return
        if job.share is not None and job.share.month != self.month:
            self.elsewhere[job.share.month] += job.share.reserved_nano

    @rule(job_id=jobs)
    def enqueue(self, job_id: str) -> None:
        """The second."""
        job = self._job(job_id)
        if job is not None and job.status is JobStatus.QUEUED:
            with suppress(ConflictError):
                self.ports.queue.enqueue(job_id)

    @rule(job_id=jobs)
    def delete(self, job_id: str) -> None:
        job = self._job(job_id)
        if job is None or job_id in self.workers:
            return
        with suppress(ConflictError):
            self.ports.jobs.set_status(job_id, JobStatus.DELETING, fence=None)
            now = self.ports.jobs.get_job(job_id)
            if self.ports.work.begin_deletion(job_id):
                self.ports.job_catalog.delete_job(job_id)
                if now.share is not None:
                    self.elsewhere[now.share.month] += now.share.reserved_nano

    @rule(nano=st.integers(1, 9))
    def preview(self, nano: int) -> None:
        with suppress(MonthlyBudgetError):
            self.ports.monthly_budgets.reserve_preview(
                USER, self.admission.limits, nano, first=True
            )
            self.elsewhere[self.month] += nano
            self.previews.append((self.month, nano))

    @precondition(lambda self: self.previews)
    @rule(cost=st.integers(0, 9))
    def settle(self, cost: int) -> None:
        month, reserved = self.previews.pop()
        nano = min(cost, reserved)
        self.ports.monthly_budgets.settle_preview(USER, month, reserved_nano=reserved, nano=nano)
        self.elsewhere[month] += nano - reserved

    @rule(days=st.sampled_from((1, 31)))
    def time_passes(self, days: int) -> None:
        self.clock.advance(days * 86_400)
        self.months.add(self.month)

    # ── workers ────────────────────────────────────────────────────────────────────────────────

    @rule(job_id=jobs)
    def claim(self, job_id: str) -> None:
        if job_id in self.workers:
            return
        with suppress(NotFoundError, ConflictError):
            claim = self.ports.queue.claim(job_id, "worker")
            if claim is None:
                return
            self.workers[job_id] = Working(claim)
            self.ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=claim.fence)

    @rule(job_id=jobs, room=st.integers(0, 6), spent=st.integers(0, 3))
    def hold(self, job_id: str, room: int, spent: int) -> None:
        working, job = self.workers.get(job_id), self._job(job_id)
        if working is None or job is None:
            return
        if working.hold is None:
            account = self.ports.budgets.open_account(job_id, job.budget_nano)
            working.hold = account.holds.get(job_id)
        before = working.hold
        held = before.nano if before is not None else 0
        new = Hold(
            fence=working.claim.fence, sequence=before.sequence + 1 if before else 1, nano=room
        )
        with suppress(BudgetExceededError):
            self.ports.budgets.change_hold(
                job_id, job_id, expected=before, new=new, spent_nano=min(spent, held)
            )
            working.hold = new

    @rule(job_id=jobs, status=st.sampled_from((JobStatus.COMPLETED, JobStatus.FAILED)))
    def job_ends(self, job_id: str, status: JobStatus) -> None:
        working = self.workers.get(job_id)
        if working is not None:
            with suppress(ConflictError):
                self.ports.jobs.set_status(job_id, status, fence=working.claim.fence)

    @rule(job_id=jobs, status=st.sampled_from((JobStatus.CANCELLED, JobStatus.FAILED)))
    def worker_ends(self, job_id: str, status: JobStatus) -> None:
        """Gives its hold back and ends the item of an ended job; may die at either step."""
        working, job = self.workers.get(job_id), self._job(job_id)
        if working is None or job is None or job.status in ACTIVE:
            return
        self.hold(job_id, 0, 1)
        self.ports.jobs.return_rest(job_id)
        self.ports.queue.finish(working.claim, status)
        del self.workers[job_id]

    @rule(job_id=jobs)
    def worker_dies(self, job_id: str) -> None:
        """And a watcher sees that it does."""
        working = self.workers.pop(job_id, None)
        if working is None:
            return
        item = self.ports.work.get_work(job_id)
        self.ports.queue.recover(
            Lease(work_id=job_id, job_id=job_id, fence=item.fence, beat=item.beat)
        )

    @rule(job_id=jobs)
    def sweep(self, job_id: str) -> None:
        job = self._job(job_id)
        if job is None or job.status in ACTIVE:
            return
        self.ports.jobs.return_rest(job_id)
        with suppress(NotFoundError):
            self.ports.work.withdraw(job_id, JobStatus.CANCELLED)

    # ── what must hold ─────────────────────────────────────────────────────────────────────────

    @invariant()
    def accounts_are_the_sum_of_their_jobs(self) -> None:
        found = [job for job in map(self._job, JOBS) if job is not None]
        for month in self.months:
            use = self.ports.monthly_budgets.get_use(USER, month)
            total = self.elsewhere[month]
            for job in found:
                assert job.share is not None
                if job.share.month == month:
                    total += self._contribution(job)
            assert use.stage_nano == use.user_nano == total
            assert use.stage_nano <= OF_USER

    def _contribution(self, job: Job) -> int:
        """By the jobs' own accounts. An ended job whose worker has not yet come to its end may have
        more reserved than that, and never less.
        """
        share, committed = job.share, self._committed(job)
        assert share is not None
        if job.status in ACTIVE:
            assert share.reserved_nano == max(job.budget_nano, committed) - share.base_nano or (
                committed <= share.base_nano
            )
        assert share.reserved_nano >= committed - share.base_nano
        return share.reserved_nano

    @invariant()
    def the_active_are_counted(self) -> None:
        active = [job for job in map(self._job, JOBS) if job is not None and job.status in ACTIVE]
        assert len(active) <= MOST
        assert self.counted() in (None, len(active))

    def counted(self) -> int | None:
        """The stored count, where there is one."""
        return None


class MoneyOnALaptop(MoneyMachine):
    family = "local"


class MoneyOnAws(MoneyMachine):
    family = "aws"

    def open(self) -> ApiStorage:
        aws = self.stack.enter_context(emulated_aws())
        self.table = Table(aws.dynamodb, BUDGETS.name)
        return open_api(self.family, self.clock, self.stack, get_aws=lambda: aws)()

    def counted(self) -> int | None:
        item = self.table.get({"account_id": f"active#{USER}"})
        return 0 if item is None else int(item["jobs"])


LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TestMoneyOnALaptop = MoneyOnALaptop.TestCase
TestMoneyOnAws = MoneyOnAws.TestCase
if not LONG:
    TestMoneyOnALaptop.settings = settings(max_examples=40, stateful_step_count=40)
    TestMoneyOnAws.settings = settings(max_examples=3, stateful_step_count=40)  # a second each

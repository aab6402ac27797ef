"""Who may work on what (requirements N1, S7.1), as a machine of states over every queue.

Owners claim, beat, hand back, finish and die; late ones go on with claims that are no longer
theirs; a watcher recovers what is quiet; a user cancels and queues again, and may die half way.
Whatever the order, a job that has not ended has an item that is claimable, or becomes so.
"""

import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from runtime.domain.errors import ConflictError, LeaseLostError
from runtime.domain.jobs.job import ENDED, JobStatus, Progress, may_become
from runtime.domain.ports import Claim, Lease
from runtime.service.requeue import queue_again
from runtime.worker.leases import recover_abandoned
from runtime.worker.settings import WorkerSettings
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import open_family
from tests.fixtures.storage import Storage, new_job

QUEUED, RUNNING = JobStatus.QUEUED, JobStatus.RUNNING
JOBS = ("a", "b")
PLACES = ("first", "second")
"""Where owners live: one process at a time each."""
USERS = {JobStatus.CANCELLED, JobStatus.DELETING}
"""Statuses that a user gives a job, and no worker."""

jobs = st.sampled_from(JOBS)
places = st.sampled_from(PLACES)
THOROUGH = settings(max_examples=300, stateful_step_count=60)
SETTINGS = WorkerSettings(heartbeat_seconds=1, lease_seconds=4)


@dataclass(slots=True)
class Item:
    """What must be stored about a job and its work item."""

    place: int
    status: JobStatus = QUEUED
    fence: int = 0
    beats: int = 0
    attempts: int = 0
    job: JobStatus = QUEUED
    job_fence: int = 0
    generated: int = 0
    half_queued: bool = False
    """The user who queued it again died between the two writes, and has yet to come back."""


@dataclass(frozen=True, slots=True)
class Sighting:
    lease: Lease
    beats: int


@dataclass(slots=True)
class Watched:
    """What a watcher sees while it waits: owners that beat."""

    beat: Callable[[], None]
    clock: ManualClock
    pauses: int = field(default=0)

    def pause(self, seconds: float) -> bool:
        self.clock.advance(max(seconds, 0.001))  # a clock never stands still
        if self.pauses == 0:
            self.beat()
        self.pauses += 1
        return False


class LeaseMachine(RuleBasedStateMachine):
    """Each rule does one thing to the real stores and to the model, then both are compared."""

    family: ClassVar[str]
    claims: Bundle[Claim] = Bundle("claims")
    sightings: Bundle[Sighting] = Bundle("sightings")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = ManualClock()
        self.open = open_family(self.family, self.clock, self.stack)
        self.user = self.open()
        self.items: dict[str, Item] = {}
        self.owners: dict[str, tuple[str, Storage]] = {}
        self.births = 0
        self.line = 0

    def teardown(self) -> None:
        try:
            if self.items:
                self._all_that_is_queued_can_be_claimed()
        finally:
            self.stack.close()

    @initialize()
    def two_jobs_are_queued(self) -> None:
        for job_id in JOBS:
            self._tick()
            self.user.jobs.create_job(new_job(job_id, self.clock))
            self.items[job_id] = Item(self.line)
        for place in PLACES:
            self._bear(place)

    def _tick(self) -> None:
        self.clock.advance(1)
        self.line += 1

    def _bear(self, place: str) -> None:
        self.births += 1
        self.owners[place] = (f"{place}-{self.births}", self.open())

    def _owner(self, claim: Claim) -> Storage | None:
        """The process that made the claim, if it lives."""
        return dict(self.owners.values()).get(claim.owner)

    # ── claims ─────────────────────────────────────────────────────────────────────────────────

    def _line(self) -> list[str]:
        queued = [job_id for job_id, item in self.items.items() if item.status is QUEUED]
        return sorted(queued, key=lambda job_id: self.items[job_id].place)

    def _took(self, claim: Claim, owner: str) -> Claim:
        item = self.items[claim.work_id]
        assert item.status is QUEUED
        assert claim.fence > item.fence
        item.attempts += 1
        assert (claim.owner, claim.attempt) == (owner, item.attempts)
        item.status, item.fence = RUNNING, claim.fence
        return claim

    @rule(target=claims, place=places)
    def claim_the_oldest(self, place: str) -> Claim | MultipleResults[Claim]:
        owner, ports = self.owners[place]
        line = self._line()
        claim = ports.queue.get_next_job(owner)
        assert (claim.work_id if claim else None) == (line[0] if line else None)
        return self._took(claim, owner) if claim else multiple()

    @rule(target=claims, place=places, job_id=jobs)
    def claim_one(self, place: str, job_id: str) -> Claim | MultipleResults[Claim]:
        owner, ports = self.owners[place]
        claim = ports.queue.claim(job_id, owner)
        assert (claim is not None) is (self.items[job_id].status is QUEUED)
        return self._took(claim, owner) if claim else multiple()

    @rule(place=places)
    def die(self, place: str) -> None:
        self.owners[place][1].close()
        self._bear(place)

    def _holds(self, claim: Claim) -> bool:
        item = self.items[claim.work_id]
        return item.status is RUNNING and item.fence == claim.fence

    def _under(self, claim: Claim, call: Callable[[], None]) -> bool:
        """Whether the claim still holds. One that doesn't is told so, and changes nothing."""
        if self._holds(claim):
            call()
            return True
        before = self.stored()
        with pytest.raises(LeaseLostError):
            call()
        assert self.stored() == before
        return False

    @rule(claim=claims)
    def beat(self, claim: Claim) -> None:
        ports = self._owner(claim)
        if ports and self._under(claim, lambda: ports.queue.heartbeat(claim)):
            self.items[claim.work_id].beats += 1

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        ports = self._owner(claim)
        if ports and self._under(claim, lambda: ports.queue.release(claim)):
            self.items[claim.work_id].status = QUEUED

    @rule(claim=claims)
    def finish(self, claim: Claim) -> None:
        """What a worker does when it finds that its job has ended, by itself or a user."""
        ports, item = self._owner(claim), self.items[claim.work_id]
        if ports is None or item.job not in ENDED:
            return
        if item.fence == claim.fence and item.status is item.job:
            return  # finished already, and finishing again may be taken for a retry
        if self._under(claim, lambda: ports.queue.finish(claim, item.job)):
            item.status = item.job

    # ── the watcher ────────────────────────────────────────────────────────────────────────────

    @rule(target=sightings)
    def look(self) -> MultipleResults[Sighting]:
        seen = [
            Sighting(lease, self.items[lease.work_id].beats) for lease in self.user.queue.leases()
        ]
        return multiple(*seen)

    @rule(sighting=consumes(sightings))
    def recover(self, sighting: Sighting) -> None:
        """As a watcher does, however long ago it looked."""
        item = self.items[sighting.lease.work_id]
        unchanged = item.status is RUNNING and (item.fence, item.beats) == (
            sighting.lease.fence,
            sighting.beats,
        )
        assert self.user.queue.recover(sighting.lease) is unchanged
        if unchanged:
            item.status = QUEUED

    @rule(claim=claims, job_id=st.none() | jobs)
    def wait_for_quiet_owners(self, claim: Claim, job_id: str | None) -> None:
        """A whole lease passes, in which the owner of `claim` beats once."""
        leases = [lease for lease in self.user.queue.leases() if job_id in {None, lease.work_id}]
        dead = [lease.work_id for lease in leases if lease.abandoned]
        watched = Watched(lambda: self.beat(claim), self.clock)
        beats = {name: item.beats for name, item in self.items.items()}
        recovered = recover_abandoned(
            self.user.queue,
            self.clock,
            SETTINGS,
            work_id=job_id,
            rng=random.Random(0),  # noqa: S311
            pause=watched.pause,
        )
        quiet = [
            lease.work_id
            for lease in leases
            if self.items[lease.work_id].beats == beats[lease.work_id]
        ]
        assert recovered is bool(dead or quiet)
        for name in dead or quiet:
            self.items[name].status = QUEUED

    # ── the jobs table ─────────────────────────────────────────────────────────────────────────

    @rule(claim=claims, status=st.sampled_from(sorted(set(JobStatus) - USERS)))
    def a_worker_sets_the_status(self, claim: Claim, status: JobStatus) -> None:
        ports, item = self._owner(claim), self.items[claim.work_id]
        if ports is None:
            return
        allowed = may_become(item.job, status) or item.job is status is RUNNING
        if status is QUEUED:
            allowed = item.job is RUNNING
        if self._fenced(
            claim,
            lambda: ports.jobs.set_status(claim.job_id, status, fence=claim.fence),
            allowed=allowed,
        ):
            item.job, item.job_fence = status, claim.fence

    @rule(claim=claims, generated=st.integers(1, 99))
    def a_worker_sets_the_progress(self, claim: Claim, generated: int) -> None:
        ports, item = self._owner(claim), self.items[claim.work_id]
        progress = Progress(records_generated=generated)
        if ports and self._fenced(
            claim,
            lambda: ports.jobs.set_progress(claim.job_id, claim.fence, progress),
            allowed=item.job is RUNNING,
        ):
            item.generated = generated

    def _fenced(self, claim: Claim, call: Callable[[], None], *, allowed: bool) -> bool:
        stale = self.items[claim.job_id].job_fence > claim.fence
        if allowed and not stale:
            call()
            return True
        with pytest.raises(LeaseLostError if stale else ConflictError):
            call()
        return False

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        item = self.items[job_id]
        if may_become(item.job, JobStatus.CANCELLED):
            self.user.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
            item.job = JobStatus.CANCELLED
            return
        with pytest.raises(ConflictError):
            self.user.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)

    @rule(job_id=jobs, dies_half_way=st.booleans())
    def queue_again(self, job_id: str, dies_half_way: bool) -> None:  # noqa: FBT001 - drawn
        item = self.items[job_id]
        if dies_half_way and item.job in ENDED:
            self.user.jobs.set_status(job_id, QUEUED, fence=None)
            item.job, item.half_queued = QUEUED, True
            return
        self._tick()
        queue_again(self.user.jobs, self.user.queue, job_id)
        item.half_queued = False
        item.job = QUEUED if item.job in ENDED else item.job
        if item.status in ENDED:
            item.status, item.place = QUEUED, self.line

    # ── what must hold ─────────────────────────────────────────────────────────────────────────

    def stored(self) -> tuple[object, ...]:
        return (
            {(lease.work_id, lease.fence, lease.beat) for lease in self.user.queue.leases()},
            {job_id: self.user.jobs.get_job(job_id) for job_id in self.items},
        )

    @invariant()
    def the_stores_hold_what_they_should(self) -> None:
        leases = [(lease.work_id, lease.fence) for lease in self.user.queue.leases()]
        running = [
            (name, item.fence) for name, item in self.items.items() if item.status is RUNNING
        ]
        assert sorted(leases) == sorted(running)
        for job_id, item in self.items.items():
            job = self.user.jobs.get_job(job_id)
            assert (job.status, job.progress.records_generated) == (item.job, item.generated)

    @invariant()
    def no_work_is_lost(self) -> None:
        for item in self.items.values():
            assert item.half_queued or item.job in ENDED or item.status not in ENDED

    def _all_that_is_queued_can_be_claimed(self) -> None:
        line = self._line()
        claims = [self.user.queue.get_next_job("last") for _ in line]
        assert [claim and claim.work_id for claim in claims] == line
        assert self.user.queue.get_next_job("last") is None


class MemoryLeases(LeaseMachine):
    family = "memory"


class LocalLeases(LeaseMachine):
    family = "local"


class AwsLeases(LeaseMachine):
    family = "aws"


TestMemoryLeases = MemoryLeases.TestCase
TestMemoryLeases.settings = THOROUGH  # in memory it costs next to nothing
TestLocalLeases = LocalLeases.TestCase
if os.environ.get("HYPOTHESIS_PROFILE") == "long":
    TestAwsLeases = AwsLeases.TestCase

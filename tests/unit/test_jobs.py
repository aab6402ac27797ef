"""What a worker writes about its job, and what it bears when a table fails (S7.4, S7.8, S7.9)."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from runtime.contract.statuses import WorkStatus
from runtime.domain.errors import (
    ConflictError,
    LeaseLostError,
    SeedwrightError,
    StorageUnavailableError,
)
from runtime.domain.jobs.job import JobError, JobStatus, Progress
from runtime.domain.ports import Claim
from runtime.service.requeue import queue_again
from runtime.worker.status_writer import Jobs
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_ports import MemoryJobs, MemoryQueue, Script, captured_logs
from tests.fixtures.storage import new_job

DOWN = StorageUnavailableError("the table is down")
PROGRESS = Progress(records_generated=7, failed_records=1, tokens_used=90, cost_nano=12)


@dataclass
class World:
    """A job that is claimed and running."""

    def __post_init__(self) -> None:
        self.script = Script()
        self.queue = MemoryQueue(self.script)
        self.store = MemoryJobs(self.queue, ManualClock(), self.script)
        self.store.create_job(new_job("j", ManualClock()))
        claim = self.queue.claim("j", "me")
        assert claim is not None
        self.claim: Claim = claim
        self.jobs = Jobs(self.store, self.queue)
        self.jobs.mark_job_running(claim)
        self.script.calls.clear()

    @property
    def statuses(self) -> tuple[JobStatus, WorkStatus]:
        """Of the job and of its work item."""
        return self.store._jobs["j"].status, self.queue.status("j")

    @property
    def error_message(self) -> str | None:
        return self.store._jobs["j"].error_message

    def hand_to_another(self) -> None:
        [lease] = self.queue.leases()
        assert self.queue.recover(lease)
        other = self.queue.claim("j", "other")
        assert other is not None
        self.jobs.mark_job_running(other)


WHY = JobError(message="why")
ENDS: list[tuple[JobStatus, Callable[[Jobs, Claim], None]]] = [
    (JobStatus.COMPLETED, Jobs.mark_job_complete),
    (JobStatus.FAILED, lambda jobs, claim: jobs.mark_job_failed(claim, WHY)),
    (JobStatus.BUDGET_EXCEEDED, lambda jobs, claim: jobs.mark_job_budget_exceeded(claim, WHY)),
]
ends = pytest.mark.parametrize(("status", "end"), ENDS, ids=[str(status) for status, _ in ENDS])


def test_progress_is_published() -> None:
    world = World()
    world.jobs.update_job_progress(world.claim, PROGRESS)
    assert world.store.get_job("j").progress == PROGRESS


def test_progress_that_can_not_be_published_is_logged() -> None:
    """S7.4."""
    world = World()
    world.script.fail("jobs.set_progress", DOWN)
    with captured_logs() as logs:
        world.jobs.update_job_progress(world.claim, PROGRESS)
    assert logs == [("WARNING", "progress not updated")]
    assert world.store.get_job("j").progress == Progress()


def test_progress_of_a_cancelled_job_is_logged() -> None:
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    with captured_logs() as logs:
        world.jobs.update_job_progress(world.claim, PROGRESS)
    assert logs == [("WARNING", "progress not updated")]


@ends
def test_a_job_ends_in_both_tables(status: JobStatus, end: Callable[[Jobs, Claim], None]) -> None:
    """S8.3. The job first: it is what users see."""
    world = World()
    end(world.jobs, world.claim)
    assert world.script.calls == ["jobs.set_status", "queue.finish", "jobs.get_job"]
    assert world.statuses == (status, status)
    assert world.error_message == (None if status is JobStatus.COMPLETED else "why")


@ends
def test_a_queue_that_fails_does_not_keep_the_job_from_ending(
    status: JobStatus, end: Callable[[Jobs, Claim], None]
) -> None:
    """S7.8."""
    world = World()
    world.script.fail("queue.finish", DOWN)
    with captured_logs() as logs:
        end(world.jobs, world.claim)
    assert ("ERROR", "work item not finished") in logs
    assert world.statuses == (status, JobStatus.RUNNING)


@ends
def test_a_job_table_that_fails_is_told_to_the_caller(
    status: JobStatus, end: Callable[[Jobs, Claim], None]
) -> None:
    """The item stays RUNNING under its lease: whoever recovers it tries again."""
    world = World()
    world.script.fail("jobs.set_status", DOWN)
    with pytest.raises(StorageUnavailableError):
        end(world.jobs, world.claim)
    assert world.statuses == (JobStatus.RUNNING, JobStatus.RUNNING)
    end(world.jobs, world.claim)
    assert world.statuses == (status, status)


@pytest.mark.parametrize(
    "write", [Jobs.mark_job_failed, Jobs.mark_job_budget_exceeded], ids=["failed", "budget"]
)
@pytest.mark.parametrize("length", [1000, 1001, 100_000])
def test_a_message_is_cut_to_1000_characters(
    write: Callable[[Jobs, Claim, JobError], None], length: int
) -> None:
    """S7.9."""
    world = World()
    seen: list[str | None] = []

    class Recorder(MemoryJobs):
        def set_status(
            self,
            job_id: str,
            status: JobStatus,
            *,
            fence: int | None,
            error: JobError | None = None,
        ) -> None:
            seen.append(None if error is None else error.message)
            world.store.set_status(job_id, status, fence=fence, error=error)

    error = JobError(message="é" * length)
    write(Jobs(Recorder(world.queue, ManualClock()), world.queue), world.claim, error)
    assert seen == ["é" * 1000]


@ends
def test_a_late_owner_ends_nothing(status: JobStatus, end: Callable[[Jobs, Claim], None]) -> None:
    world = World()
    world.hand_to_another()
    with pytest.raises(LeaseLostError):
        end(world.jobs, world.claim)
    with pytest.raises(LeaseLostError):
        world.jobs.update_job_progress(world.claim, PROGRESS)
    with pytest.raises(LeaseLostError):
        world.jobs.mark_job_interrupted(world.claim)
    assert status not in world.statuses
    assert world.statuses == (JobStatus.RUNNING, JobStatus.RUNNING)


@ends
def test_a_job_that_was_cancelled_at_the_last_moment_stays_cancelled(
    status: JobStatus, end: Callable[[Jobs, Claim], None]
) -> None:
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    end(world.jobs, world.claim)
    assert status is not JobStatus.CANCELLED
    assert world.statuses == (JobStatus.CANCELLED, JobStatus.CANCELLED)


def test_an_interrupted_job_is_claimable_at_once() -> None:
    """S4.5."""
    world = World()
    world.jobs.mark_job_interrupted(world.claim)
    assert world.statuses == (JobStatus.QUEUED, JobStatus.QUEUED)
    again = world.queue.claim("j", "other")
    assert again is not None
    world.jobs.mark_job_running(again)
    assert world.statuses == (JobStatus.RUNNING, JobStatus.RUNNING)


def hand_back(jobs: Jobs, claim: Claim) -> None:
    jobs.mark_job_interrupted(claim)


@pytest.mark.parametrize("end", [*(each for _, each in ENDS), hand_back])
def test_counters_that_were_not_published_are_published_at_the_end(
    end: Callable[[Jobs, Claim], None],
) -> None:
    world = World()
    world.script.fail("jobs.set_progress", DOWN)
    with captured_logs():
        world.jobs.update_job_progress(world.claim, PROGRESS)

    end(world.jobs, world.claim)

    assert world.store.get_job("j").progress == PROGRESS


def test_an_interruption_takes_no_cancellation_back() -> None:
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    world.jobs.mark_job_interrupted(world.claim)
    assert world.statuses == (JobStatus.CANCELLED, JobStatus.CANCELLED)


def test_n16_a_job_that_is_resumed_while_its_worker_lets_go_is_not_forgotten() -> None:
    """Its work could not be queued, for it had not ended: whoever ends it queues it again."""
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    finish = world.queue.finish

    def resumed_before(claim: Claim, status: JobStatus, **_known: object) -> None:
        world.store.set_status("j", JobStatus.QUEUED, fence=None)
        with pytest.raises(ConflictError):
            world.queue.enqueue("j")
        finish(claim, status)

    world.queue.finish = resumed_before  # type: ignore[method-assign]
    world.jobs.mark_job_interrupted(world.claim)
    assert world.statuses == (JobStatus.QUEUED, JobStatus.QUEUED)


@pytest.mark.parametrize("name", ["jobs.get_status", "jobs.set_status", "queue.release"])
def test_an_interruption_that_can_not_be_told_is_logged(name: str) -> None:
    """S4.5: never FAILED for it. The lease runs out, and the work is claimable again."""
    world = World()
    world.script.fail(name, DOWN)
    with captured_logs() as logs:
        world.jobs.mark_job_interrupted(world.claim)
    assert logs == [("WARNING", "work not handed back")]
    [lease] = world.queue.leases()
    assert world.queue.recover(lease)
    again = world.queue.claim("j", "other")
    assert again is not None
    world.jobs.mark_job_running(again)
    world.jobs.mark_job_complete(again)
    assert world.statuses == (JobStatus.COMPLETED, JobStatus.COMPLETED)


def test_a_cancelled_item_is_finished() -> None:
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    world.jobs.acknowledge_cancel(world.claim)
    assert world.statuses == (JobStatus.CANCELLED, JobStatus.CANCELLED)


def test_a_job_that_is_gone_can_not_be_ended() -> None:
    world = World()
    del world.store._jobs["j"]
    with pytest.raises(SeedwrightError) as caught:
        world.jobs.mark_job_complete(world.claim)
    assert caught.value.code == "not_found"


def test_a_conflict_with_a_job_that_goes_on_is_told_to_the_caller() -> None:
    world = World()
    world.store.set_status("j", JobStatus.QUEUED, fence=None)
    with pytest.raises(ConflictError):
        world.jobs.mark_job_complete(world.claim)
    assert world.statuses == (JobStatus.QUEUED, JobStatus.RUNNING)


def test_a_job_begins_with_nothing_done_and_nothing_spent() -> None:
    nothing = Progress(records_generated=0, failed_records=0, tokens_used=0, cost_nano=0)
    assert new_job("j", ManualClock()).progress == nothing


def test_a_lease_lost_between_the_two_tables_is_told() -> None:
    world = World()
    world.script.fail("queue.finish", LeaseLostError("taken"))
    with pytest.raises(LeaseLostError):
        world.jobs.mark_job_complete(world.claim)


def test_a_job_queued_again_before_its_cancellation_was_acknowledged_stays_claimable() -> None:
    """N1: the item could not be queued while it was running, so whoever ends it queues it."""
    world = World()
    world.store.set_status("j", JobStatus.CANCELLED, fence=None)
    queue_again(world.store, world.queue, "j")
    assert world.statuses == (JobStatus.QUEUED, JobStatus.RUNNING)
    world.jobs.acknowledge_cancel(world.claim)
    assert world.statuses == (JobStatus.QUEUED, JobStatus.QUEUED)

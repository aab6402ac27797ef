"""S4: the machine is about to be taken away, and says so with SIGTERM.

A real process that gets a real SIGTERM (S4.6) is in `tests/process/test_worker_process.py`.
"""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import CHECKPOINT_METADATA, QUEUE
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.aws import read_item
from tests.fixtures.worker_checks import billed, check_completed, checkpoint, price, versions
from tests.fixtures.worker_world import (
    WorkerWorld,
    at,
    calm_alarm,
    indices,
    two_steps,
    wait_until,
)


class FullJitter(random.Random):
    """Every retry waits for as long as it may."""

    def random(self) -> float:
        return 1.0


@dataclass(kw_only=True)
class Watch:
    """A crash point that stops the worker when its `nth` call has ended, and counts dispatches."""

    nth: int
    stop: Callable[[], None]
    dispatched: int = 0
    ended: int = 0
    dispatched_at_stop: list[int] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        self.dispatched += name == "after_reserve"
        self.ended += name == "after_call"
        if name == "after_call" and self.ended == self.nth:
            self.stop()
            self.dispatched_at_stop.append(self.dispatched)


@pytest.fixture(autouse=True)
def _no_alarm() -> Iterator[None]:
    yield
    calm_alarm()


def check_interrupted(world: WorkerWorld, job_id: str) -> None:
    """Handed back, with everything that was paid for, and nothing that looks like an end."""
    job, account = world.job(job_id), world.account(job_id)
    assert job.status is JobStatus.QUEUED
    assert job.completed_at is None
    assert read_item(world.aws, QUEUE, work_id=job_id)["status"] == "QUEUED"
    assert world.object_keys(f"{keys.job_prefix(job_id)}exports/") == []
    assert world.object_keys(keys.failures_key(job_id)) == []
    assert len(world.records(job_id)) == job.progress.records_generated
    assert billed(world) <= account.committed_nano <= account.limit_nano
    assert account.committed_nano == account.spent_nano  # no hold is left behind


# ── S4.1: the signal ─────────────────────────────────────────────────────────────────


def test_sigterm_sets_the_flag_and_an_alarm_of_100_seconds(world: WorkerWorld) -> None:
    """S4.1."""
    worker = world.worker()
    flag_before = worker.shutdown_requested

    worker.handle_shutdown(signal.SIGTERM, None)

    assert (flag_before, worker.shutdown_requested) == (False, True)
    left = signal.alarm(7)  # asks for what is left, and stands for time that passes
    assert 99 <= left <= 100

    worker.handle_shutdown(signal.SIGTERM, None)

    assert signal.alarm(0) <= 7  # a second signal gives no second period of grace


def test_the_alarm_ends_a_worker_that_hangs(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4.1: the work is claimable again when the lease has run out."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    world.worker().handle_shutdown(signal.SIGTERM, None)

    with pytest.raises(SystemExit) as left:
        signal.raise_signal(signal.SIGALRM)

    assert left.value.code == 75


@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)],
    ids=["once", "twice", "SIGINT first"],
)
def test_signals_that_the_process_gets_amount_to_one_interruption(
    world: WorkerWorld, numbers: tuple[signal.Signals, ...]
) -> None:
    """S4.1, S4.5: delivered by the system, in the middle of the loop."""
    job_id = world.create_job(num_records=20)

    def stop() -> None:
        for number in numbers:
            signal.raise_signal(number)

    worker = world.worker(crash_point=Watch(nth=6, stop=stop))
    before = {each: signal.signal(each, worker.handle_shutdown) for each in set(numbers)}
    try:
        assert worker.run() is ExitCode.INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    check_interrupted(world, job_id)
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)


# ── S4.2: what is in flight ──────────────────────────────────────────────────────────


def test_nothing_new_starts_and_what_is_in_flight_is_kept(world: WorkerWorld) -> None:
    """S4.2: stopped after 10 of 100 records, while the call for record 3 is still on its way."""
    world.double.faults([{"prompt": "product 3.", "delay_ms": 150}])
    job_id = world.create_job(num_records=100)
    watch = Watch(nth=10, stop=world.stop)

    assert world.run(crash_point=watch, concurrency=8) is ExitCode.INTERRUPTED

    assert watch.dispatched_at_stop == [watch.dispatched]
    records = indices(world.records(job_id))
    assert 3 in records
    assert 10 < len(records) == world.double.stats()["paid"] <= watch.dispatched <= 10 + 8
    check_interrupted(world, job_id)

    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)
    assert world.double.calls == 100


def test_a_call_that_outlasts_the_drain_is_presumed_spent(world: WorkerWorld) -> None:
    """S4.2: the rest is saved, and only the slow call is paid twice."""
    # What the model would have billed is not counted, so that the sum below is exact.
    free = {"inputTokens": 0, "outputTokens": 0}
    world.double.faults([{"effect": "timeout", "prompt": "product 3.", "times": 1, "usage": free}])
    job_id = world.create_job(num_records=20)
    watch = Watch(nth=10, stop=world.stop)

    assert world.run(crash_point=watch, drain_seconds=0.2) is ExitCode.INTERRUPTED

    stats = world.double.stats()
    assert stats["paid"] - stats["answered"] == 1
    assert len(world.records(job_id)) == stats["answered"] >= 10
    assert 3 not in indices(world.records(job_id))
    check_interrupted(world, job_id)
    worst_case = price(world).worst_case(prompt_bytes=len("Review product 3."), max_tokens=64)
    assert world.account(job_id).spent_nano == billed(world) + worst_case

    assert world.run() is ExitCode.DONE
    check_completed(world, job_id, paid_twice=1)


def test_what_is_finished_is_saved_before_slow_calls_are_awaited(world: WorkerWorld) -> None:
    """S4.4: the machine may be gone before the drain has ended."""
    world.double.faults([{"prompt": "product 3.", "delay_ms": 600}])
    job_id = world.create_job(num_records=20)
    saved_before_the_reply: list[int] = []

    def look() -> None:
        if world.workers[-1].shutdown_requested and world.double.stats()["in_flight"]:
            saved_before_the_reply.append(len(world.records(job_id)))

    watch = Watch(nth=10, stop=world.stop)

    def crash_point(name: str) -> None:
        watch(name)
        if name == "after_batch_put":
            look()

    assert world.run(crash_point=crash_point, checkpoint_interval=50) is ExitCode.INTERRUPTED

    assert saved_before_the_reply
    assert saved_before_the_reply[0] >= 10


def test_a_record_that_waits_for_its_retry_holds_nobody_up(world: WorkerWorld) -> None:
    """S4.2: a pause of up to 20 s is not waited for, and its record is not forgotten."""
    world.double.faults([{"effect": "ThrottlingException", "prompt": "product 2."}])
    job_id = world.create_job(num_records=20)
    watch = Watch(nth=12, stop=world.stop)
    begun = world.clock.monotonic()

    assert world.run(crash_point=watch, rng=FullJitter()) is ExitCode.INTERRUPTED

    assert world.clock.monotonic() - begun < 10
    check_interrupted(world, job_id)
    assert 2 in checkpoint(world, job_id).pending

    world.double.faults([])
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)


# ── S4.3, S4.4: what is saved ────────────────────────────────────────────────────────


def test_the_checkpoint_tells_the_truth(world: WorkerWorld) -> None:
    """S4.3."""
    world.double.faults([{"effect": "ValidationException", "prompt": "product 4."}])
    job_id = world.create_job(num_records=40)

    crash_point = Watch(nth=13, stop=world.stop)
    assert world.run(crash_point=crash_point) is ExitCode.INTERRUPTED

    saved, stats = checkpoint(world, job_id), world.double.stats()
    assert saved.records_generated == len(world.records(job_id)) == stats["paid"] >= 12
    assert saved.failed_records == len(world.failure_parts(job_id)) == 1
    assert saved.tokens_used == stats["usage"]["totalTokens"]
    assert saved.cost_nano == billed(world)
    assert saved.current_batch == len(world.batches(job_id)) + 1
    assert saved.current_part == 2
    finished = indices(world.records(job_id)) + indices(world.failure_parts(job_id))
    assert sorted(finished) == [
        index for index in range(saved.next_index) if index not in saved.pending
    ]
    item = read_item(world.aws, CHECKPOINT_METADATA, job_id=job_id)
    assert saved.version == item["version"]
    assert world.job(job_id).progress.tokens_used == saved.tokens_used


def test_a_partial_batch_is_saved_and_never_overwritten(world: WorkerWorld) -> None:
    """S4.4: 37 records of a batch of 50."""
    job_id = world.create_job(num_records=100)
    worker = world.worker(
        crash_point=Watch(nth=37, stop=world.stop), checkpoint_interval=50, concurrency=1
    )

    assert worker.run() is ExitCode.INTERRUPTED

    assert [len(batch) for batch in world.batches(job_id)] == [37]
    assert checkpoint(world, job_id).current_batch == 2
    written = versions(world, keys.batch_key(job_id, 1))
    assert len(written) == 1

    assert world.run(checkpoint_interval=50, concurrency=1) is ExitCode.DONE

    assert [len(batch) for batch in world.batches(job_id)] == [37, 50, 13]
    assert versions(world, keys.batch_key(job_id, 1)) == written
    check_completed(world, job_id)


@pytest.mark.parametrize(
    "point", ["before_batch_put", "after_batch_put", "between_checkpoint_writes"]
)
def test_a_signal_in_the_middle_of_saving_changes_nothing_of_it(
    world: WorkerWorld, point: str
) -> None:
    """S4.3, S4.4."""
    job_id = world.create_job(two_steps(), num_records=20)

    assert world.run(crash_point=at(point, 2, world.stop)) is ExitCode.INTERRUPTED

    check_interrupted(world, job_id)
    assert checkpoint(world, job_id).records_generated == len(world.records(job_id)) >= 10
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)
    assert world.double.calls == 40


# ── S4.5: how it ends ────────────────────────────────────────────────────────────────


def test_an_interrupted_job_is_claimable_at_once(world: WorkerWorld) -> None:
    """S4.5."""
    job_id = world.create_job(num_records=20)

    assert world.run(crash_point=Watch(nth=7, stop=world.stop)) is ExitCode.INTERRUPTED

    assert int(ExitCode.INTERRUPTED) == 75
    check_interrupted(world, job_id)
    claim = world.worker().queue.get_next_job("another")
    assert claim is not None
    assert (claim.job_id, claim.fence) == (job_id, 2)


def test_interrupted_again_and_again_a_job_ends_as_if_it_never_was(world: WorkerWorld) -> None:
    """S4.5, N1, N2."""
    job_id = world.create_job(two_steps(), num_records=12)
    runs = 0

    while world.run(crash_point=Watch(nth=5, stop=world.stop)) is ExitCode.INTERRUPTED:
        runs += 1
        if world.job(job_id).status is JobStatus.COMPLETED:
            break  # the last signal came when every record was there
        check_interrupted(world, job_id)
        assert runs < 24, "a run of five calls makes no progress"

    assert runs >= 2
    check_completed(world, job_id)
    assert world.double.calls == 24


def test_a_worker_told_to_stop_before_it_claims_leaves_no_trace(world: WorkerWorld) -> None:
    """S4.5."""
    job_id = world.create_job()
    item = read_item(world.aws, QUEUE, work_id=job_id)
    worker = world.worker()
    worker.handle_shutdown(signal.SIGTERM, None)

    assert worker.run() is ExitCode.INTERRUPTED

    assert world.calls == []
    assert read_item(world.aws, QUEUE, work_id=job_id) == item


def test_a_worker_told_to_stop_while_it_claims_hands_the_job_back(world: WorkerWorld) -> None:
    """S4.5."""
    job_id = world.create_job()

    assert world.run(crash_point=at("after_claim", 1, world.stop)) is ExitCode.INTERRUPTED

    assert world.double.calls == 0
    check_interrupted(world, job_id)


def test_a_bucket_that_is_down_at_the_end_does_not_fail_the_job(world: WorkerWorld) -> None:
    """S4.5: whoever takes the machine away does not wait for S3; another worker goes on."""
    job_id = world.create_job(num_records=20)
    down = world.fail("s3", "PutObject", "SlowDown", status=503, times=0)

    def stop() -> None:
        down.times = 10**9
        world.stop()

    assert world.run(crash_point=Watch(nth=7, stop=stop), concurrency=2) is ExitCode.INTERRUPTED

    down.clear()
    lost = world.double.stats()["paid"] - len(world.records(job_id))
    assert 0 < lost <= 5 + 2  # what no batch held yet, and what was in flight
    assert world.job(job_id).status is JobStatus.QUEUED
    wait_until(lambda: world.double.stats()["in_flight"] == 0)
    assert world.account(job_id).committed_nano >= billed(world)

    assert world.run() is ExitCode.DONE
    check_completed(world, job_id, paid_twice=lost)

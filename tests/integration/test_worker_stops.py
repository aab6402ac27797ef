"""A worker that is stopped: by a signal, a user, a budget, a model or a successor.

Whatever stops it, what was paid for is kept, and whoever goes on pays for nothing twice.
"""

import logging
from collections.abc import Iterator

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import QUEUE
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.retry import MAX_CONSECUTIVE_FAILURES
from runtime.domain.ports import Claim
from tests.fixtures.worker_checks import (
    INPUT_NANO,
    OUTPUT_NANO,
    again,
    billed,
    queue_status,
    recover,
)
from tests.fixtures.worker_world import WorkerWorld, at, indices, two_steps, wait_until


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def steal(world: WorkerWorld, job_id: str) -> Claim:
    """Take the job from its owner, as an observer does that thinks it dead."""
    recover(world, job_id)
    claim = world.ports.queue.claim(job_id, "thief")
    assert claim is not None
    world.ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=claim.fence)
    return claim


# ── a signal ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [1, 7, 13])
def test_a_stopped_job_goes_on_where_it_stopped(world: WorkerWorld, after: int) -> None:
    job_id = world.create_job(two_steps(), num_records=10)

    assert world.run(crash_point=at("after_call", after, world.stop)) is ExitCode.INTERRUPTED

    assert world.job(job_id).status is JobStatus.QUEUED
    assert queue_status(world, job_id) == "QUEUED"
    assert world.account(job_id).committed_nano == billed(world)  # no hold is left behind
    calls = world.double.calls
    assert calls < 20

    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == list(range(10))
    assert len(world.records(job_id)) == 10
    assert world.double.calls == 20
    assert world.double.stats()["paid_twice"] == 0
    progress = world.job(job_id).progress
    assert progress.cost_nano == world.account(job_id).spent_nano == billed(world)
    assert world.ports.costs.total(job_id) == billed(world)
    assert progress.tokens_used == world.double.stats()["usage"]["totalTokens"]


def test_a_refused_output_is_not_paid_again(world: WorkerWorld) -> None:
    # See `test_worker_on_aws` for the repair itself.
    world.double.faults([{"text": " ", "times": 1}])
    job_id = world.create_job(num_records=1)

    assert world.run(crash_point=at("after_call", 1, world.stop)) is ExitCode.INTERRUPTED
    assert world.run() is ExitCode.DONE

    assert world.double.calls == 2
    assert world.job(job_id).progress.tokens_used == world.double.stats()["usage"]["totalTokens"]


def test_a_worker_that_was_stopped_before_it_began_takes_nothing(world: WorkerWorld) -> None:
    job_id = world.create_job()
    worker = world.worker()
    world.stop()

    assert worker.run() is ExitCode.INTERRUPTED

    assert world.job(job_id).status is JobStatus.QUEUED
    assert world.calls == []


# ── a user ─────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_job_pays_for_nothing_new_and_keeps_what_it_has(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=200)
    calls_when_seen = []

    def cancel() -> None:
        world.ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        wait_until(lambda: world.workers[-1]._control.reason is not None)
        calls_when_seen.append(world.double.calls)

    # One call at a time: with more, one may be on its way when the end is seen.
    crash_point = at("after_call", 12, cancel)
    code = world.run(crash_point=crash_point, concurrency=1, heartbeat_seconds=0.05)
    assert code is ExitCode.DONE

    assert world.job(job_id).status is JobStatus.CANCELLED
    assert queue_status(world, job_id) == "CANCELLED"
    calls = world.double.calls
    assert [calls] == calls_when_seen
    assert len(world.records(job_id)) == calls
    assert world.account(job_id).committed_nano == billed(world)
    assert world.run() is ExitCode.DONE  # the queue is empty
    assert world.double.calls == calls


def test_a_job_cancelled_while_it_waits_is_only_taken_off_the_queue(world: WorkerWorld) -> None:
    job_id = world.create_job()
    world.ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)

    assert world.run() is ExitCode.DONE

    assert world.double.calls == 0
    assert queue_status(world, job_id) == "CANCELLED"
    assert world.job(job_id).status is JobStatus.CANCELLED


# ── a budget ───────────────────────────────────────────────────────────────────────────────────


def test_a_budget_that_ends_is_never_exceeded_and_its_records_are_exported(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job(num_records=40, budget="0.000200000")

    assert world.run() is ExitCode.BUDGET_EXCEEDED

    job, account = world.job(job_id), world.account(job_id)
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert queue_status(world, job_id) == "BUDGET_EXCEEDED"
    assert "$0.0002" in (job.error_message or "")
    assert billed(world) == account.spent_nano == account.committed_nano <= 200_000
    generated = len(world.dataset(job_id))
    assert 0 < generated == job.progress.records_generated < 40
    # What is left of the budget would not have covered the worst case of one more call.
    assert account.limit_nano - account.spent_nano < (512 + 20) * INPUT_NANO + 64 * OUTPUT_NANO

    again(world, job_id, budget="10")
    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == list(range(40))
    assert world.double.stats()["paid_twice"] == 0


def test_a_budget_without_room_for_one_call_calls_nothing(world: WorkerWorld) -> None:
    job_id = world.create_job(budget="0.000000001")

    assert world.run() is ExitCode.BUDGET_EXCEEDED

    assert world.double.calls == 0
    assert world.job(job_id).status is JobStatus.BUDGET_EXCEEDED


# ── a model ────────────────────────────────────────────────────────────────────────────────────


def test_throttled_calls_are_made_again_and_cost_nothing(world: WorkerWorld) -> None:
    world.double.faults([{"effect": "ThrottlingException", "every": 3}])
    job_id = world.create_job(num_records=12)

    assert world.run() is ExitCode.DONE

    stats = world.double.stats()
    assert stats["received"] > stats["paid"] == 12
    assert sorted(indices(world.dataset(job_id))) == list(range(12))
    assert world.failures(job_id) == []
    assert world.account(job_id).spent_nano == billed(world)


def test_a_reply_that_is_lost_is_presumed_paid_and_asked_for_once_more(world: WorkerWorld) -> None:
    world.double.faults([{"effect": "reset_before_reply", "prompt": "product 2.", "times": 1}])
    job_id = world.create_job(num_records=4)

    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == list(range(4))
    assert world.double.calls == 5
    assert world.account(job_id).spent_nano > billed(world)


def test_a_model_nobody_may_use_fails_the_job_with_everything_saved(world: WorkerWorld) -> None:
    world.double.faults([{"effect": "AccessDeniedException", "prompt": "product 9."}])
    job_id = world.create_job(num_records=40)

    assert world.run() is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    assert queue_status(world, job_id) == "FAILED"
    assert "bedrock:InvokeModel" in (job.error_message or "")
    paid = world.double.stats()["paid"]
    assert len(world.records(job_id)) == job.progress.records_generated == paid
    assert world.account(job_id).committed_nano == billed(world)
    assert 9 not in indices(world.records(job_id))

    world.double.faults([])
    again(world, job_id)
    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == list(range(40))
    assert world.double.stats()["paid_twice"] == 0


def test_records_that_fail_in_a_row_stop_the_job(world: WorkerWorld) -> None:
    world.double.faults([{"effect": "ValidationException"}])
    job_id = world.create_job(num_records=200)

    assert world.run(concurrency=4) is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    assert MAX_CONSECUTIVE_FAILURES <= world.double.calls <= MAX_CONSECUTIVE_FAILURES + 4
    assert job.progress.failed_records == world.double.calls == len(world.failure_parts(job_id))
    assert str(MAX_CONSECUTIVE_FAILURES) in (job.error_message or "")


# ── a successor ────────────────────────────────────────────────────────────────────────────────


def test_a_worker_whose_heartbeat_finds_a_successor_writes_nothing_more(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job(num_records=40)
    writes_before: list[int] = []
    calls_before: list[int] = []

    def lose() -> None:
        steal(world, job_id)
        wait_until(lambda: world.workers[-1]._control.reason is not None)
        writes_before.append(len(world.calls))
        calls_before.append(world.double.calls)

    crash_point = at("after_call", 9, lose)
    assert world.run(crash_point=crash_point, heartbeat_seconds=0.05) is ExitCode.INTERRUPTED

    heartbeats = ("dynamodb", "UpdateItem", QUEUE.name)
    after = [
        (call.service, call.operation, call.parameters.get("TableName"))
        for call in world.calls[writes_before[0] :]
    ]
    assert [call for call in after if call != heartbeats] == []
    assert [world.double.calls] == calls_before
    assert queue_status(world, job_id) == "RUNNING"
    assert world.job(job_id).status is JobStatus.RUNNING


def test_a_worker_that_has_not_noticed_its_successor_changes_nothing_of_its(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job(num_records=12)
    claims: list[Claim] = []
    crash_point = at("before_batch_put", 2, lambda: claims.append(steal(world, job_id)))

    # The heartbeat is slow: only the conditions of its writes stand in the worker's way.
    assert world.run(crash_point=crash_point) is ExitCode.INTERRUPTED

    assert world.job(job_id).progress.records_generated == 5
    assert world.job(job_id).status is JobStatus.RUNNING

    # Whoever goes on adopts the batch that was on its way.
    world.ports.queue.release(claims[0])
    assert world.run() is ExitCode.DONE
    assert sorted(indices(world.dataset(job_id))) == list(range(12))
    assert world.double.stats()["paid_twice"] <= 4  # the calls that were in flight
    account = world.account(job_id)
    assert billed(world) <= account.spent_nano <= account.limit_nano


# ── lost replies of the stores ─────────────────────────────────────────────────────────────────


def test_writes_whose_replies_are_lost_count_once(world: WorkerWorld) -> None:
    def every_other() -> bool:
        turn[0] = not turn[0]
        return turn[0]

    turn = [False]
    faults = [
        world.fail(service, operation, after_write=True, match=lambda _: every_other())
        for service, operation in (
            ("dynamodb", "UpdateItem"),
            ("dynamodb", "PutItem"),
            ("s3", "PutObject"),
        )
    ]
    job_id = world.create_job(num_records=12)

    assert world.run() is ExitCode.DONE

    assert all(fault.hits for fault in faults)
    assert sorted(indices(world.dataset(job_id))) == list(range(12))
    assert [len(batch) for batch in world.batches(job_id)] == [5, 5, 2]
    assert world.double.stats()["paid_twice"] == 0
    account = world.account(job_id)
    assert account.spent_nano == account.committed_nano == billed(world)
    assert world.ports.costs.total(job_id) == billed(world)
    assert world.job(job_id).progress.cost_nano == billed(world)

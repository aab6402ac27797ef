"""S9: a worker goes on from the checkpoint of another one, or from the batches without it.

`tests/unit/test_checkpoints.py` shows the component alone; here are whole jobs.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import CHECKPOINT_METADATA
from runtime.domain.jobs.checkpoint import Checkpoint
from runtime.domain.ports import Claim
from tests.fixtures.aws import BUCKET, read_item
from tests.fixtures.session_faults import Call
from tests.fixtures.worker_checks import billed, check_completed, checkpoint, kill, logged
from tests.fixtures.worker_world import WorkerWorld, at, indices, two_steps


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def version_in_table(world: WorkerWorld, job_id: str) -> int:
    return int(read_item(world.aws, CHECKPOINT_METADATA, job_id=job_id)["version"])


def claim_of(job_id: str, *, fence: int = 100) -> Claim:
    """A claim to look at a job with, as its next owner."""
    return Claim(work_id=job_id, job_id=job_id, owner="reader", fence=fence, attempt=1)


def batch_names(world: WorkerWorld, job_id: str) -> list[str]:
    return [key.rpartition("/")[2] for key in world.object_keys(keys.batches_prefix(job_id))]


def run_until(world: WorkerWorld, calls: int, *, interval: int) -> None:
    """An interrupted run: one call at a time, so that the figures are exact."""
    worker = world.worker(
        crash_point=at("after_call", calls, world.stop),
        concurrency=1,
        checkpoint_interval=interval,
    )
    assert worker.run() is ExitCode.INTERRUPTED


# ── S9.1, S9.2: loading ────────────────────────────────────────────────────────────────────────


def test_the_blob_comes_with_the_version_of_the_table(world: WorkerWorld) -> None:
    """S9.1: here the table is one ahead, because a worker died between the two writes."""
    job_id = world.create_job(num_records=20)
    assert kill(world, "between_checkpoint_writes", 2, concurrency=1) is None

    loaded = world.worker().checkpoints.load_checkpoint(claim_of(job_id))

    assert loaded.stored_version == version_in_table(world, job_id) == 2
    assert loaded == replace(checkpoint(world, job_id), stored_version=2)
    assert (loaded.version, loaded.records_generated, loaded.current_batch) == (1, 5, 2)
    assert loaded.tokens_used > 0
    assert loaded.cost_nano > 0


def test_without_a_checkpoint_there_is_the_default(world: WorkerWorld) -> None:
    """S9.2."""
    job_id = world.create_job(num_records=20)

    loaded = world.worker().checkpoints.load_checkpoint(claim_of(job_id))

    assert loaded == Checkpoint(job_id=job_id)
    assert (loaded.records_generated, loaded.current_batch, loaded.stored_version) == (0, 1, 0)


# ── S9.3, S9.6: going on ───────────────────────────────────────────────────────────────────────


def test_from_50_of_100_exactly_50_calls_are_left(world: WorkerWorld) -> None:
    """S9.3, S9.6: batch numbers go on, counters too."""
    job_id = world.create_job(num_records=100)
    run_until(world, 50, interval=25)
    saved = checkpoint(world, job_id)
    assert (saved.records_generated, saved.current_batch) == (50, 3)

    assert world.run(checkpoint_interval=25) is ExitCode.DONE

    assert world.double.calls == 50 + 50
    assert batch_names(world, job_id) == [f"batch-{number:04d}.jsonl" for number in (1, 2, 3, 4)]
    assert [len(batch) for batch in world.batches(job_id)] == [25, 25, 25, 25]
    check_completed(world, job_id)
    progress = world.job(job_id).progress
    assert progress.tokens_used == world.double.stats()["usage"]["totalTokens"]
    assert progress.cost_nano == billed(world) == world.ports.costs.total(job_id)


def test_current_batch_3_is_the_number_of_the_next_batch(world: WorkerWorld) -> None:
    """S9.6: whatever the bucket holds."""
    job_id = world.create_job(num_records=2)
    checkpoints = world.worker().checkpoints
    claim = claim_of(job_id, fence=1)
    default = checkpoints.load_checkpoint(claim)
    checkpoints.save_checkpoint(claim, replace(default, current_batch=3))

    assert world.run() is ExitCode.DONE

    assert batch_names(world, job_id) == ["batch-0003.jsonl"]
    assert checkpoint(world, job_id).current_batch == 4


def test_a_paid_step_of_an_unfinished_record_is_in_the_checkpoint(world: WorkerWorld) -> None:
    """S9.3, N2: what no batch can hold yet."""
    job_id = world.create_job(two_steps(), num_records=6)
    run_until(world, 3, interval=5)
    saved = checkpoint(world, job_id)
    assert (saved.records_generated, list(saved.partials)) == (1, [1])

    assert world.run() is ExitCode.DONE

    assert world.double.calls == 12
    check_completed(world, job_id)


def test_failed_records_are_not_tried_again(world: WorkerWorld) -> None:
    """S9.3: a failure is an end too, with a checkpoint and without it."""
    world.double.faults([{"effect": "ValidationException", "prompt": "product 1."}])
    job_id = world.create_job(num_records=12)
    run_until(world, 4, interval=5)
    assert checkpoint(world, job_id).failed_records == 1
    world.double.faults([])
    world.aws.s3.delete_object(Bucket=BUCKET, Key=keys.checkpoint_key(job_id))

    assert world.run() is ExitCode.DONE

    assert world.double.calls == 12
    assert indices(world.failures(job_id)) == [1]
    check_completed(world, job_id)
    progress = world.job(job_id).progress
    assert (progress.records_generated, progress.failed_records) == (11, 1)


# ── S9.4, S9.5: saving ─────────────────────────────────────────────────────────────────────────


def test_what_was_loaded_at_version_5_is_saved_as_version_6(world: WorkerWorld) -> None:
    """S9.4: in the table and in the bucket."""
    job_id = world.create_job(num_records=30)
    assert kill(world, "after_checkpoint", 5, concurrency=1) is None
    assert version_in_table(world, job_id) == checkpoint(world, job_id).version == 5
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((version_in_table(world, job_id), checkpoint(world, job_id).version))

    assert world.run(crash_point=at("after_checkpoint", 1, look)) is ExitCode.DONE

    assert seen == [(6, 6)]
    check_completed(world, job_id)


def saves(calls: list[Call], job_id: str) -> list[str]:
    """Which half of a checkpoint was written, in order."""
    key = keys.checkpoint_key(job_id)
    return [
        call.service
        for call in calls
        if (call.operation, call.parameters.get("Key")) == ("PutObject", key)
        or (call.operation, call.parameters.get("TableName"))
        == ("UpdateItem", CHECKPOINT_METADATA.name)
    ]


def test_the_table_is_written_first_and_both_carry_one_version(world: WorkerWorld) -> None:
    """S9.5."""
    job_id = world.create_job(num_records=20)
    halves: list[tuple[int, int]] = []
    whole: list[tuple[int, int]] = []

    def watch(name: str) -> None:
        if name == "between_checkpoint_writes" and version_in_table(world, job_id) > 1:
            halves.append((version_in_table(world, job_id), checkpoint(world, job_id).version))
        if name == "after_checkpoint":
            whole.append((version_in_table(world, job_id), checkpoint(world, job_id).version))

    assert world.run(crash_point=watch) is ExitCode.DONE

    count = len(whole)
    assert count >= 4
    assert whole == [(version, version) for version in range(1, count + 1)]
    assert halves == [(version, version - 1) for version in range(2, count + 1)]
    assert saves(world.calls, job_id) == ["dynamodb", "s3"] * count


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", ["after_batch_put", "between_checkpoint_writes"])
def test_a_crash_in_the_middle_of_saving_is_recovered(
    world: WorkerWorld, point: str, nth: int
) -> None:
    """S9.5: the batch is adopted, so that nothing is paid for twice."""
    job_id = world.create_job(num_records=12)
    assert kill(world, point, nth, concurrency=1) is None
    calls = world.double.calls
    assert calls == len(world.records(job_id)) == 5 * nth

    assert world.run() is ExitCode.DONE

    assert world.double.calls == 12
    check_completed(world, job_id)
    assert version_in_table(world, job_id) == checkpoint(world, job_id).version
    assert world.job(job_id).progress.records_generated == 12


def test_a_batch_that_came_to_nothing_is_paid_again_and_no_more(world: WorkerWorld) -> None:
    """N2: killed before the second batch was there."""
    job_id = world.create_job(num_records=12)
    assert kill(world, "before_batch_put", 2, concurrency=1) is None
    assert (world.double.calls, len(world.records(job_id))) == (10, 5)

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id, paid_twice=5)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_version_whose_reply_was_lost_is_the_same_version(world: WorkerWorld, nth: int) -> None:
    """S9.4: the SDK sends it again, and it finds itself."""
    job_id = world.create_job(num_records=12)
    asked = iter(range(1, 100))
    lost = world.fail(
        "dynamodb",
        "UpdateItem",
        after_write=True,
        match=lambda call: call["TableName"] == CHECKPOINT_METADATA.name and next(asked) == nth,
    )

    assert world.run() is ExitCode.DONE

    assert lost.hits == 1
    check_completed(world, job_id)
    saved = checkpoint(world, job_id)
    assert saved.version == version_in_table(world, job_id) == len(saves(world.calls, job_id)) // 2
    assert saved.records_generated == 12


# ── S9.7: damage ─────────────────────────────────────────────────────────────────────


def from_the_future(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), "schema": 2})


def of_wrong_types(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), "pending": "none"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[: len(body) // 2],
        lambda _: b"",
        lambda _: b"\xff\x00 not JSON",
        from_the_future,
        of_wrong_types,
    ],
    ids=["cut", "empty", "binary", "from the future", "of wrong types"],
)
def test_a_corrupt_checkpoint_costs_no_record(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    """S9.7: it is logged, and the batches are read back."""
    job_id = world.create_job(num_records=14)
    run_until(world, 8, interval=5)
    key = keys.checkpoint_key(job_id)
    world.put_object(key, damage(world.object(key)))
    version = version_in_table(world, job_id)

    worker = world.worker()
    loaded = worker.checkpoints.load_checkpoint(claim_of(job_id))
    assert loaded == Checkpoint(job_id=job_id, stored_version=version)
    (line,) = logged(caplog, "checkpoint corrupt")
    assert (line["level"], line["job_id"]) == ("ERROR", job_id)

    assert worker.run() is ExitCode.DONE

    assert world.double.calls == 14
    check_completed(world, job_id)
    assert [len(batch) for batch in world.batches(job_id)][:2] == [5, 3]
    saved = checkpoint(world, job_id)
    assert saved.records_generated == 14
    assert saved.version == version_in_table(world, job_id) > version
    assert world.ports.costs.total(job_id) == billed(world)

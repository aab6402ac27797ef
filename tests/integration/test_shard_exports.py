"""Shards that export side by side, on emulated AWS: a machine that dies, and a store that fails."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from runtime.worker.crash_points import SHARD_CRASH_POINTS
from tests.fixtures.worker_world import WorkerWorld, indices, make_template, step
from tests.integration.test_crash_points import DiedError, Machine

RECORDS: Final = 6
SHARDS: Final = 2
OUTPUT: Final = {"columns": {"text": "steps.review.output", "product": "seed.product"}}


def a_job(world: WorkerWorld) -> str:
    return world.create_job(
        make_template(step(), output=OUTPUT, split={"test": 0.3}),
        num_records=RECORDS,
        shards=SHARDS,
    )


def generate(world: WorkerWorld, job_id: str, **more: Any) -> None:
    for shard in range(SHARDS):
        assert world.run(f"{job_id}#{shard}", piece_bytes=1, **more) is ExitCode.DONE


def products(world: WorkerWorld, job_id: str) -> list[str]:
    """Those of the rows, in their order: splits one after the other."""
    names = [key for key in world.object_keys(keys.exports_prefix(job_id)) if "/data-jsonl/" in key]
    return [
        orjson.loads(line)["product"] for name in names for line in world.object(name).splitlines()
    ]


def assert_whole(world: WorkerWorld, job_id: str, *, joined: bool) -> None:
    assert world.job(job_id).status is JobStatus.COMPLETED
    assert sorted(indices(world.dataset(job_id))) == list(range(RECORDS))
    wanted = [f"product {number}" for number in range(RECORDS)]
    assert sorted(products(world, job_id)) == sorted(wanted)
    assert world.double.stats()["paid_twice"] == 0
    copied = [call for call in world.calls if call.operation == "CopyObject"]
    assert bool(copied) is joined
    assert not world.object_keys(keys.pieces_prefix(job_id))


def test_n20_pieces_are_joined_by_copies(world: WorkerWorld) -> None:
    job_id = a_job(world)
    generate(world, job_id)
    assert len(world.object_keys(keys.pieces_prefix(job_id))) > 3 * SHARDS

    assert world.run(job_id, piece_bytes=1) is ExitCode.DONE

    assert_whole(world, job_id, joined=True)
    names = world.object_keys(keys.rows_prefix(job_id))
    assert {name.rpartition("-of-")[2] for name in names} <= {f"{n:05}.parquet" for n in (1, 2)}


@pytest.mark.parametrize("point", SHARD_CRASH_POINTS)
def test_n1_a_machine_that_dies_while_its_shard_is_exported(world: WorkerWorld, point: str) -> None:
    job_id = a_job(world)
    machine = Machine(world=world, point=point)
    worker = world.worker(crash_point=machine, piece_bytes=1)
    with pytest.raises(DiedError):
        worker.run(f"{job_id}#0")
    for fault in machine.faults:
        fault.clear()
    died = world.object_keys(keys.pieces_prefix(job_id))
    # Nothing of a piece is there before its manifest, or all of it.
    assert bool(died) is (point == "after_piece")

    successor = world.worker(piece_bytes=1)
    successor._pause = Machine(world=world).skip
    assert successor.run(f"{job_id}#0") is ExitCode.DONE
    assert not set(died) & set(world.object_keys(keys.pieces_prefix(job_id)))
    generate_rest(world, job_id)

    assert world.run(job_id, piece_bytes=1) is ExitCode.DONE
    assert_whole(world, job_id, joined=True)


def generate_rest(world: WorkerWorld, job_id: str) -> None:
    for shard in range(1, SHARDS):
        assert world.run(f"{job_id}#{shard}", piece_bytes=1) is ExitCode.DONE


@pytest.mark.parametrize(
    ("operation", "match"),
    [
        ("CopyObject", "data/"),
        ("PutObject", "dataset.jsonl"),
    ],
)
def test_s6_5_what_can_not_be_joined_is_exported_by_one_task(
    world: WorkerWorld, operation: str, match: str
) -> None:
    job_id = a_job(world)
    generate(world, job_id)
    world.fail(
        "s3",
        operation,
        "InternalError",
        times=1,
        match=lambda call: match in str(call["Key"]),
        status=400,
    )

    assert world.run(job_id, piece_bytes=1) is ExitCode.DONE

    assert_whole(world, job_id, joined=operation == "CopyObject")


def test_a_machine_that_goes_leaves_its_piece_to_the_jobs_own_work(world: WorkerWorld) -> None:
    job_id = a_job(world)

    def go(name: str) -> None:
        if name == "mid_piece":
            world.stop()

    assert world.run(f"{job_id}#0", piece_bytes=1, crash_point=go) is ExitCode.DONE
    assert not world.object_keys(keys.pieces_prefix(job_id))
    generate_rest(world, job_id)
    assert world.run(job_id, piece_bytes=1) is ExitCode.DONE
    assert_whole(world, job_id, joined=True)


def test_pieces_that_can_not_be_removed_fail_no_job(world: WorkerWorld) -> None:
    job_id = a_job(world)
    generate(world, job_id)
    fault = world.fail("s3", "DeleteObjects", "InternalError", match=_of_pieces)

    assert world.run(job_id, piece_bytes=1) is ExitCode.DONE

    fault.clear()
    assert world.job(job_id).status is JobStatus.COMPLETED
    assert world.object_keys(keys.pieces_prefix(job_id))
    assert keys.pieces_prefix(job_id).startswith(keys.job_prefix(job_id)), "they go with the job"


def _of_pieces(call: Mapping[str, Any]) -> bool:
    return any("/pieces/" in each["Key"] for each in call["Delete"]["Objects"])

"""A worker that dies at any place: N1, N2 and N3, and rows 77 and 82 of the faults they answer.

Death is a machine without power: an exception that no `except Exception` sees, and from that moment
on every request of the dead machine fails, those of its `finally` blocks and threads included.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import ANY

import orjson
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import CHECKPOINT_METADATA, QUEUE
from runtime.domain.jobs.checkpoint import decode
from runtime.domain.jobs.job import JobStatus
from runtime.worker.crash_points import CRASH_POINTS
from tests.fixtures.aws import BUCKET, read_item
from tests.fixtures.session_faults import Fault
from tests.fixtures.worker_checks import billed
from tests.fixtures.worker_world import (
    MODEL,
    WorkerWorld,
    indices,
    make_template,
    two_steps,
    wait_until,
)

RECORDS: Final = 6
FAILED: Final = 3
"""The index that the model refuses, so that there is a failure list."""
INTERVAL: Final = 2
CONCURRENCY: Final = 2

PASSINGS: Final = {
    "after_reserve": (1, 5),
    "after_call": (1, 5),
    "before_batch_put": (1, 3),
    "after_batch_put": (1, 2),
    "between_checkpoint_writes": (1, 2),
    "after_checkpoint": (1, 2),
}
"""At which passings of a point to die; at the first of all others. Two steps die at the last."""

WITH_CHECKS: Final = "after_rejected_put"
"""The point by which only a job with checks comes."""
REJECTED: Final = 2
"""The index whose every try a check rejects."""
CHECK: Final = {"id": "other", "keep_if": f"seed.product != 'product {REJECTED}'"}


class DiedError(BaseException):
    """Passes every handler that a worker has."""


@dataclass(kw_only=True)
class Machine:
    """The crash point of a worker whose machine dies at the `nth` passing of `point`."""

    world: WorkerWorld
    point: str = ""
    nth: int = 1
    passed: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if name == self.point and self.passed.count(name) == self.nth:
            services = ("dynamodb", "s3", "bedrock-runtime")
            self.faults = [self.world.fail(each, ANY, status=503) for each in services]
            raise DiedError

    def run(self) -> None:
        """Work until death, and until the last call that was under way has been billed."""
        worker = self.world.worker(
            crash_point=self, checkpoint_interval=INTERVAL, concurrency=CONCURRENCY
        )
        worker._pause = self.skip
        with pytest.raises(DiedError):
            worker.run()
        wait_until(lambda: not any(t.name == "model-call" for t in threading.enumerate()))
        for fault in self.faults:
            fault.clear()

    def skip(self, seconds: float) -> bool:
        """Let an observer of a lease wait without waiting."""
        self.world.clock._passed += seconds
        return False


def survive(world: WorkerWorld) -> None:
    """One more worker, which finds the dead one's lease and ends the job."""
    worker = world.worker(checkpoint_interval=INTERVAL)
    worker._pause = Machine(world=world).skip
    assert worker.run() is ExitCode.DONE


def kept_calls(world: WorkerWorld, job_id: str, *, steps: int) -> int:
    """Paid calls that nobody can lose any more: steps of saved records, and of the checkpoint."""
    saved = set(indices(world.records(job_id)))
    key = keys.checkpoint_key(job_id)
    partials = decode(world.object(key)).partials if world.object_keys(key) else {}
    return len(saved) * steps + sum(
        len(partial.steps) for index, partial in partials.items() if index not in saved
    )


def die(world: WorkerWorld, job_id: str, point: str, nth: int, *, steps: int) -> int:
    """A worker dies; how many answers died with it that were paid for."""
    Machine(world=world, point=point, nth=nth).run()
    if world.double.calls:
        account = world.account(job_id)
        assert billed(world) <= account.committed_nano <= account.limit_nano
    return len(world.double.stats()["prompts"]) - kept_calls(world, job_id, steps=steps)


def assert_whole(world: WorkerWorld, job_id: str) -> None:
    """Every index once, every object written once, and no money out of the account's sight."""
    assert sorted(indices(world.dataset(job_id) + world.failures(job_id))) == list(range(RECORDS))
    assert indices(world.failures(job_id)) == [FAILED]
    for prefix in (keys.batches_prefix(job_id), keys.failure_parts_prefix(job_id)):
        listed = world.aws.s3.list_object_versions(Bucket=BUCKET, Prefix=prefix)
        assert {*Counter(version["Key"] for version in listed["Versions"]).values()} == {1}
    account = world.account(job_id)
    assert billed(world) <= account.spent_nano <= account.limit_nano
    assert account.committed_nano == account.spent_nano
    job = world.job(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert (job.progress.records_generated, job.progress.failed_records) == (RECORDS - 1, 1)
    assert job.progress.cost_nano == account.spent_nano
    assert job.progress.failures_by_kind == {"rejected": 1}
    # What a dead worker had not saved is in no model's sum.
    assert job.progress.cost_by_model.keys() == {MODEL}
    assert 0 < job.progress.cost_by_model[MODEL] <= billed(world)
    assert read_item(world.aws, QUEUE, work_id=job_id)["status"] == JobStatus.COMPLETED
    metadata = read_item(world.aws, CHECKPOINT_METADATA, job_id=job_id)
    assert metadata["version"] == decode(world.object(keys.checkpoint_key(job_id))).version


def create_checked(world: WorkerWorld) -> str:
    """A job whose records are those beside two indices: one is rejected, one fails."""
    world.double.faults([{"prompt": f"product {FAILED}.", "effect": "ValidationException"}])
    seeds = [{"product": f"product {number}"} for number in range(2 * RECORDS)]
    template = make_template(checks=[CHECK])
    return world.create_job(template, seeds, num_records=RECORDS, max_candidates=10 * RECORDS)


def assert_checked(world: WorkerWorld, job_id: str) -> None:
    """Exactly as many as were wanted, and every try once."""
    wanted = [index for index in range(RECORDS + 2) if index not in {REJECTED, FAILED}]
    assert indices(world.dataset(job_id)) == wanted
    assert indices(world.failures(job_id)) == [FAILED]
    prefix = keys.REJECTED_PARTS.prefix(job_id)
    bodies = [world.object(key) for key in world.object_keys(prefix)]
    lines = [orjson.loads(line) for body in bodies for line in body.splitlines()]
    tries = [(line["index"], line["try"]) for line in lines]
    assert sorted(tries) == [(REJECTED, 0), (REJECTED, 1)]
    progress = world.job(job_id).progress
    assert world.job(job_id).accepted == RECORDS
    assert (progress.checks.rejected, progress.checks.rejected_by) == (1, {"other": 2})
    assert progress.checks.tries == progress.records_generated + 3


@pytest.mark.parametrize("point", [each for each in CRASH_POINTS if each != WITH_CHECKS])
def test_whoever_goes_on_loses_nothing_and_pays_for_nothing_that_is_saved(
    world: WorkerWorld, point: str
) -> None:
    passings = PASSINGS.get(point, (1,))
    for steps, nth in [*((1, each) for each in passings), (2, passings[-1])]:
        world.double.reset()
        world.double.faults([{"prompt": f"product {FAILED}.", "effect": "ValidationException"}])
        job_id = world.create_job(
            make_template() if steps == 1 else two_steps(), num_records=RECORDS
        )

        lost = die(world, job_id, point, nth, steps=steps)
        # Calls in flight, and records that wait for their batch (N2).
        assert lost <= steps * (CONCURRENCY + INTERVAL)
        survive(world)

        assert world.double.stats()["paid_twice"] <= lost
        assert_whole(world, job_id)


def test_one_death_after_the_other_adds_up_and_ends_the_same(world: WorkerWorld) -> None:
    world.double.faults([{"prompt": f"product {FAILED}.", "effect": "ValidationException"}])
    job_id = world.create_job(two_steps(), num_records=RECORDS)
    deaths = (
        ("after_claim", 1),
        ("after_call", 4),
        ("after_recover", 1),
        ("between_checkpoint_writes", 1),
        ("after_batch_put", 1),
        ("mid_export", 1),
        ("between_status_writes", 1),
    )
    lost = sum(die(world, job_id, point, nth, steps=2) for point, nth in deaths)
    survive(world)

    assert world.double.stats()["paid_twice"] <= lost
    assert_whole(world, job_id)


def test_whoever_goes_on_makes_no_rejected_try_again_that_is_saved(world: WorkerWorld) -> None:
    job_id = create_checked(world)
    Machine(world=world, point=WITH_CHECKS).run()
    survive(world)
    assert_checked(world, job_id)
    assert world.double.stats()["paid_twice"] <= CONCURRENCY + INTERVAL


def test_a_job_with_checks_comes_by_every_crash_point(world: WorkerWorld) -> None:
    job_id = create_checked(world)
    machine = Machine(world=world)

    assert world.run(crash_point=machine) is ExitCode.DONE

    assert_checked(world, job_id)
    assert world.job(job_id).progress.cost_by_model == {MODEL: billed(world)}
    assert sorted(set(machine.passed)) == sorted(CRASH_POINTS)

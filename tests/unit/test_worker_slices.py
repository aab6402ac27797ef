"""N3: the workers of a sharded job and its one budget, each within the rights of its role.

What the model has really cost is what the double has billed; the slices of the shards have to cover
it, and the job's account covers the slices.
"""

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.domain.money.slices import spent_of
from tests.fixtures.worker_checks import billed, kill, worst_case
from tests.fixtures.worker_world import WorkerWorld, indices

SHARDS = 3


def run_all(world: WorkerWorld, job_id: str) -> None:
    """Every shard and the job's own work, one after the other."""
    for _ in range(2 * SHARDS):
        if world.job(job_id).status not in {JobStatus.QUEUED, JobStatus.RUNNING}:
            return
        world.run()


def check_books(world: WorkerWorld, job_id: str, *, stopped: bool = True) -> None:
    account = world.account(job_id)
    slices = world.ports.budgets.get_slices(job_id, range(SHARDS))
    assert (
        account.slices_nano
        == account.committed_nano
        == sum(each.limit_nano for each in slices.values())
    )
    assert account.committed_nano <= account.limit_nano
    assert billed(world) <= sum(each.committed_nano for each in slices.values())
    if stopped:
        assert account.committed_nano == spent_of(account.spent_nano, slices.values())


def test_n3_shards_spend_out_of_slices_which_come_back(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=12, shards=SHARDS)

    run_all(world, job_id)

    job = world.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert len(set(indices(world.dataset(job_id)))) == 12
    check_books(world, job_id)
    account = world.account(job_id)
    assert account.holds == {}
    assert account.committed_nano == job.progress.cost_nano == billed(world)


def test_n3_what_a_shard_can_not_spend_is_for_the_others(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=60, shards=SHARDS, budget="0.000300000")

    run_all(world, job_id)

    job = world.job(job_id)
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert 0 < len(world.dataset(job_id)) == job.progress.records_generated < 60
    check_books(world, job_id)
    account = world.account(job_id)
    assert account.committed_nano == billed(world)
    assert account.limit_nano - account.committed_nano < worst_case(world, "Review product 00.")
    message = job.error_message or ""
    assert "the budget of $0.0003 is used up" in message


@pytest.mark.parametrize("point", ["after_reserve", "after_call", "before_batch_put"])
def test_n3_a_successor_finds_the_slice_and_presumes_the_hold_spent(
    world: WorkerWorld, point: str
) -> None:
    job_id = world.create_job(num_records=12, shards=SHARDS)

    assert kill(world, point, {"before_batch_put": 1}.get(point, 2)) is None

    check_books(world, job_id, stopped=False)
    left_behind = world.ports.budgets.get_slices(job_id, range(SHARDS))
    (found,) = (each for each in left_behind.values() if each.hold and each.hold.nano)
    run_all(world, job_id)

    assert world.job(job_id).status is JobStatus.COMPLETED
    check_books(world, job_id)
    assert world.account(job_id).committed_nano >= found.committed_nano
    slices = world.ports.budgets.get_slices(job_id, range(SHARDS))
    assert slices.keys() == {work_id_of(job_id, shard) for shard in range(SHARDS)}


def test_n3_a_call_dearer_than_its_worst_case_is_booked_in_its_slice(world: WorkerWorld) -> None:
    """Even beyond the job's limit: it was billed, and nothing more is begun."""
    dear = {"inputTokens": 1_000_000, "outputTokens": 64}
    world.double.faults([{"prompt": "product 3.", "usage": dear}])
    job_id = world.create_job(num_records=60, shards=SHARDS, budget="0.001000000")

    run_all(world, job_id)

    assert world.job(job_id).status is JobStatus.BUDGET_EXCEEDED
    account = world.account(job_id)
    assert account.committed_nano == billed(world) > account.limit_nano == 1_000_000


def test_n3_a_stopped_worker_leaves_nothing_in_its_slice(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=24, shards=SHARDS)

    def stop(name: str) -> None:
        if name == "after_call":
            worker.request_shutdown()

    worker = world.worker(crash_point=stop)
    assert worker.run() is ExitCode.INTERRUPTED

    check_books(world, job_id)
    assert world.account(job_id).committed_nano == billed(world) > 0


@pytest.mark.parametrize("ended", [False, True])
def test_n3_what_a_worker_could_not_give_back_returns_later(
    world: WorkerWorld, *, ended: bool
) -> None:
    """By the job's own work at its end, or by whoever finds that the job has been cancelled."""
    job_id = world.create_job(num_records=6, shards=SHARDS)
    budgets, first = world.ports.budgets, work_id_of(job_id, 0)
    for shard in range(1 if ended else SHARDS):
        assert world.run(work_id_of(job_id, shard)) is ExitCode.DONE
    (found,) = budgets.get_slices(job_id, [0]).values()
    grown = found.limit_nano + 1_000
    budgets.resize_slice(job_id, first, expected=found, limit_nano=grown)

    if ended:
        world.ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        world.ports.queue.enqueue(first)
        world.run(first)
    else:
        world.run(job_id)
        assert world.job(job_id).status is JobStatus.COMPLETED

    check_books(world, job_id)

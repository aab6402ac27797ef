"""Jobs in shards as the API and the event handlers see them, each within its own rights."""

from datetime import timedelta

import pytest

from runtime.contract import keys
from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED
from runtime.contract.statuses import WaitingStatus
from runtime.domain.jobs.job import JobStatus, Progress, work_id_of
from runtime.domain.money.accounts import Hold, month_of
from runtime.domain.ports import Claim
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE

SHARDS = 3
DONE = Progress(records_generated=4, cost_nano=1000, tokens_used=9)


@pytest.fixture
def job_id(api_world: ApiWorld) -> str:
    """A job of ten records in three shards: 3, 3 and 4 of them."""
    reply = api_world.create_job(num_records=10, shards=SHARDS)
    assert reply.status == 201, reply.message
    return str(reply.body["job_id"])


def sweep(world: ApiWorld) -> dict[str, int]:
    counts = world.handle(SWEEP_QUEUE, {})
    return {name: value for name, value in counts.items() if value}


def take(world: ApiWorld, job_id: str, shard: int | None = None) -> Claim:
    work_id = work_id_of(job_id, shard)
    launch = world.own.work.get_work(work_id).launches
    place = job_id if shard is None else f"{job_id}/shard-{shard}"
    claim = world.own.queue.claim(work_id, f"{place}/{launch}")
    assert claim is not None
    return claim


def end(world: ApiWorld, claim: Claim, progress: Progress, *, run: int = 1) -> None:
    world.own.jobs.set_progress(claim.job_id, claim.fence, progress, shard=claim.shard)
    world.own.queue.finish(claim, JobStatus.COMPLETED, run=run)


def statuses(world: ApiWorld, job_id: str) -> list[str]:
    return [str(item.status) for item in world.own.work.work_of(job_id)]


def test_a_job_is_created_with_its_shards(api_world: ApiWorld, job_id: str) -> None:
    assert statuses(api_world, job_id) == ["WAITING", *["QUEUED"] * SHARDS]
    assert api_world.aws.machine.begun == [(job_id, 1)]
    assert not api_world.aws.tasks.launches


def test_the_same_request_finds_it(api_world: ApiWorld) -> None:
    order = api_world.order(num_records=10, shards=SHARDS)
    header = {"Idempotency-Key": "one"}
    first = api_world.post("/jobs", order, headers=header)
    again = api_world.post("/jobs", order, headers=header)
    assert (first.status, again.status) == (201, 200)
    assert again.body["job_id"] == first.body["job_id"]


def lend(world: ApiWorld, job_id: str, shard: int, claim: Claim) -> Hold:
    """A worker has spent one of ten nano-USD in its slice and holds two: that."""
    work_id = work_id_of(job_id, shard)
    world.own.budgets.open_account(job_id, 10**9)
    world.own.budgets.resize_slice(job_id, work_id, expected=None, limit_nano=10)
    held = Hold(fence=claim.fence, sequence=1, nano=2)
    world.own.budgets.change_slice_hold(job_id, work_id, expected=None, new=held, spent_nano=1)
    return held


def in_month(world: ApiWorld, clock: ManualClock) -> int:
    return world.own.monthly_budgets.get_use(ALICE, month_of(clock.now())).stage_nano


@pytest.mark.parametrize("how", ["swept", "heard of"])
def test_what_a_shard_has_left_of_its_budget_returns_when_its_worker_dies_after_the_end(
    api_world: ApiWorld, job_id: str, clock: ManualClock, how: str
) -> None:
    claim = take(api_world, job_id, 1)
    held = lend(api_world, job_id, 1, claim)
    api_world.delete(f"/jobs/{job_id}")
    assert in_month(api_world, clock) == 3
    back = Hold(fence=claim.fence, sequence=2, nano=0)
    own = api_world.own
    own.budgets.change_slice_hold(job_id, claim.work_id, expected=held, new=back, spent_nano=1)
    if how == "swept":
        for _ in range(3):
            sweep(api_world)
            clock.advance(90)
    else:
        event = {"detail": {"startedBy": claim.owner, "lastStatus": "STOPPED"}}
        assert api_world.handle(TASK_STOPPED, event)["withdrawn"] == 1
    assert own.budgets.get_account(job_id).committed_nano == in_month(api_world, clock) == 2


def test_what_shards_have_left_of_their_budget_returns_with_the_cancellation(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    """Its worker has died before, and nobody has taken the shard since."""
    claim = take(api_world, job_id, 1)
    lend(api_world, job_id, 1, claim)
    api_world.own.queue.release(claim)
    assert api_world.delete(f"/jobs/{job_id}").status == 200
    assert statuses(api_world, job_id) == ["CANCELLED"] * (1 + SHARDS)
    assert api_world.own.budgets.get_account(job_id).committed_nano == 3
    assert in_month(api_world, clock) == 3


def test_one_shard_is_none(api_world: ApiWorld) -> None:
    reply = api_world.create_job(num_records=10, shards=1)
    assert statuses(api_world, reply.body["job_id"]) == ["QUEUED"]


def test_everybody_reads_the_sums(api_world: ApiWorld, job_id: str, clock: ManualClock) -> None:
    for shard in range(2):
        end(api_world, take(api_world, job_id, shard), DONE)
    found = api_world.get(f"/jobs/{job_id}").body
    assert found["records_generated"] == 8
    page = api_world.get(f"/dashboard/jobs/{job_id}")
    assert page.status == 200
    assert api_world.get(f"/jobs/{job_id}/download").status in {200, 404, 409}
    take(api_world, job_id, 2)
    clock.advance(1)
    assert sweep(api_world) == {"running": 1, "waiting": 1}
    (listed,) = api_world.get("/jobs").body["jobs"]
    assert listed["records_generated"] == 8


def test_the_sweeper_releases_the_end(api_world: ApiWorld, job_id: str) -> None:
    """The worker that ended the last shard died before it could."""
    for shard in range(SHARDS):
        end(api_world, take(api_world, job_id, shard), DONE)
    assert sweep(api_world) == {"waiting": 1, "released": 1}
    assert api_world.own.queue.claim(job_id, "worker") is not None


def test_a_dead_workers_shard_can_be_claimed_again(api_world: ApiWorld, job_id: str) -> None:
    claim = take(api_world, job_id, 1)
    event = {"detail": {"startedBy": claim.owner, "lastStatus": "STOPPED"}}
    assert api_world.handle(TASK_STOPPED, event)["recovered"] == 1
    assert statuses(api_world, job_id) == ["WAITING", *["QUEUED"] * SHARDS]


def test_a_shard_that_kills_its_workers_is_given_up(api_world: ApiWorld, job_id: str) -> None:
    """The others go on, and records that they save don't count for it."""
    for number in range(5):
        other = take(api_world, job_id, 0)
        progress = Progress(records_generated=number % 3)
        api_world.own.jobs.set_progress(job_id, other.fence, progress, shard=0)
        api_world.own.queue.release(other)
        claim = take(api_world, job_id, 1)
        event = {"detail": {"startedBy": claim.owner, "lastStatus": "STOPPED"}}
        api_world.handle(TASK_STOPPED, event)
    assert api_world.job(job_id).status is JobStatus.QUEUED
    assert statuses(api_world, job_id) == ["WAITING", "QUEUED", "FAILED", "QUEUED"]
    lost = api_world.own.queue.shards_of(job_id, SHARDS)[1]
    assert lost.error is not None
    assert "5 times in a row" in lost.error.message
    assert lost.run == 1
    for shard in (0, 2):
        end(api_world, take(api_world, job_id, shard), DONE)
    assert sweep(api_world)["released"] == 1


def test_the_last_shard_that_is_given_up_releases_the_end(api_world: ApiWorld, job_id: str) -> None:
    for shard in (0, 2):
        end(api_world, take(api_world, job_id, shard), DONE)
    for _ in range(5):
        claim = take(api_world, job_id, 1)
        event = {"detail": {"startedBy": claim.owner, "lastStatus": "STOPPED"}}
        api_world.handle(TASK_STOPPED, event)
    assert statuses(api_world, job_id) == ["QUEUED", "COMPLETED", "FAILED", "COMPLETED"]


def test_a_cancelled_job_has_no_work_left(api_world: ApiWorld, job_id: str) -> None:
    claim = take(api_world, job_id, 2)
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, reply.body["status"]) == (202, "CANCELLED")
    assert statuses(api_world, job_id) == ["CANCELLED", "CANCELLED", "CANCELLED", "RUNNING"]
    assert api_world.delete(f"/jobs/{job_id}").status == 409
    api_world.own.queue.finish(claim, JobStatus.CANCELLED)
    assert api_world.delete(f"/jobs/{job_id}").status == 204
    assert not api_world.items("Queue")


def test_waiting_work_of_an_ended_job_is_withdrawn(api_world: ApiWorld, job_id: str) -> None:
    api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
    assert sweep(api_world)["withdrawn"] == 1 + SHARDS
    assert statuses(api_world, job_id) == ["CANCELLED"] * (1 + SHARDS)


def test_only_shards_with_work_go_on(api_world: ApiWorld, job_id: str) -> None:
    end(api_world, take(api_world, job_id, 0), Progress(records_generated=3))
    api_world.delete(f"/jobs/{job_id}")
    reply = api_world.post(f"/jobs/{job_id}/resume", {})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert statuses(api_world, job_id) == ["WAITING", "COMPLETED", "QUEUED", "QUEUED"]


def test_a_complete_job_grows_in_all_shards(api_world: ApiWorld, job_id: str) -> None:
    for shard, count in enumerate((3, 3, 4)):
        end(api_world, take(api_world, job_id, shard), Progress(records_generated=count))
    api_world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=1)
    api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=1)
    api_world.own.work.withdraw(job_id, JobStatus.COMPLETED)
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 409
    assert api_world.post(f"/jobs/{job_id}/resume", {"num_records": 13}).status == 200
    assert statuses(api_world, job_id) == ["WAITING", *["QUEUED"] * SHARDS]
    job = api_world.job(job_id)
    assert job.config.sharding is not None
    assert (job.config.sharding.ends, job.run) == ((10, 13), 3)


def test_a_resumption_that_was_cut_off_is_swept_on(api_world: ApiWorld, job_id: str) -> None:
    """The job is queued, its own work waits, and no shard was queued yet."""
    end(api_world, take(api_world, job_id, 0), Progress(records_generated=3))
    for shard in (1, 2):
        end(api_world, take(api_world, job_id, shard), Progress(records_generated=1))
    api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
    api_world.own.jobs.set_status(job_id, JobStatus.QUEUED, fence=None)
    assert sweep(api_world) == {"waiting": 1}
    assert statuses(api_world, job_id) == ["WAITING", "COMPLETED", "QUEUED", "QUEUED"]


def test_failures_are_given_back_shard_by_shard(api_world: ApiWorld, job_id: str) -> None:
    for shard in range(SHARDS):
        failed = Progress(records_generated=2, failed_records=1, failures_by_kind={"refused": 1})
        end(api_world, take(api_world, job_id, shard), failed)
    api_world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=1)
    api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=1)
    api_world.own.work.withdraw(job_id, JobStatus.COMPLETED)
    for shard, number in ((0, 4), (2, 1), (2, 11)):
        api_world.put_object(keys.failure_part_key(job_id, number, shard), b"{}\n")
    reply = api_world.post(f"/jobs/{job_id}/resume", {"retry_failed": True})
    assert reply.status == 200, reply.message
    marks = [keys.RETRIES.key(job_id, 4, 0), keys.RETRIES.key(job_id, 11, 2)]
    assert api_world.object_keys(keys.RETRIES.prefix(job_id)) == marks


def test_a_silent_shard_is_recovered(api_world: ApiWorld, job_id: str, clock: ManualClock) -> None:
    take(api_world, job_id, 1)
    sweep(api_world)
    clock.advance(timedelta(minutes=2).total_seconds())
    assert sweep(api_world)["recovered"] == 1
    (own,) = api_world.own.work.list_work(WaitingStatus.WAITING)
    assert own.job_id == job_id

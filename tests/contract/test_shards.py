"""What both families promise about jobs in shards: work items, counters, rounds and runs."""

from datetime import timedelta

import pytest

from runtime.contract.statuses import WaitingStatus
from runtime.domain.errors import ConflictError, InputError, LeaseLostError, NotFoundError
from runtime.domain.jobs.job import ENDED, JobError, JobStatus, Progress
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.jobs.shards import ShardState
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.ports import Claim
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import race
from tests.fixtures.storage import ApiStorage, OpenPorts, Storage, new_job

FIRST = Progress(
    records_generated=30,
    failed_records=2,
    tokens_used=500,
    cost_nano=70,
    failures_by_kind={"refused": 1, "throttled": 1},
    cost_by_model={"m": 60, 'a "model"': 9},
    service_failures=1,
    steps={"review": StepTotals(model="m", calls=32, cost_nano=69)},
)
SECOND = Progress(
    records_generated=1,
    failed_records=2,
    tokens_used=2**53,
    cost_nano=2**53,
    failures_by_kind={"refused": 2},
    cost_by_model={"m": 2**53},
    service_failures=2,
    steps={"review": StepTotals(model="m", calls=1), "answer": StepTotals(model="m", calls=2)},
)
BOTH = Progress(
    records_generated=31,
    failed_records=4,
    tokens_used=2**53 + 500,
    cost_nano=2**53 + 70,
    failures_by_kind={"refused": 3, "throttled": 1},
    cost_by_model={"m": 2**53 + 60, 'a "model"': 9},
    service_failures=3,
    steps={
        "review": StepTotals(model="m", calls=33, cost_nano=69),
        "answer": StepTotals(model="m", calls=2),
    },
)


@pytest.fixture
def sharded(ports: Storage, clock: ManualClock) -> Storage:
    """With job `a` of two shards."""
    ports.jobs.create_job(new_job("a", clock, budget_limit="10", shards=2))
    return ports


def take(ports: Storage, work_id: str, owner: str = "me") -> Claim:
    claim = ports.queue.claim(work_id, owner)
    assert claim is not None
    return claim


def successor(ports: Storage, claim: Claim) -> Claim:
    """Another claim of the same work, as after the owner's death."""
    ports.queue.release(claim)
    return take(ports, claim.work_id, "other")


def states(ports: Storage) -> dict[int, ShardState]:
    return {each.shard: each for each in ports.queue.shards_of("a", 2)}


def end_shards(ports: Storage, *, run: int = 1) -> None:
    for shard in range(2):
        ports.queue.finish(take(ports, f"a#{shard}"), JobStatus.COMPLETED, run=run)


# ── work items ─────────────────────────────────────────────────────────────────────────────────


def test_a_job_is_stored_with_its_shards(sharded: Storage, clock: ManualClock) -> None:
    assert sharded.jobs.get_job("a") == new_job("a", clock, budget_limit="10", shards=2)
    assert sharded.queue.shards_of("a", 2) == [
        ShardState(shard=0, status=JobStatus.QUEUED),
        ShardState(shard=1, status=JobStatus.QUEUED),
    ]


def test_the_jobs_own_work_waits(sharded: Storage) -> None:
    taken = [sharded.queue.get_next_job("me") for _ in range(3)]
    assert [claim and claim.work_id for claim in taken] == ["a#0", "a#1", None]
    assert sharded.queue.claim("a", "me") is None


def test_the_jobs_own_work_is_released_once(sharded: Storage) -> None:
    end_shards(sharded)
    assert sharded.queue.release_own("a")
    assert not sharded.queue.release_own("a")
    own = take(sharded, "a")
    assert not sharded.queue.release_own("a")
    sharded.queue.finish(own, JobStatus.COMPLETED)
    assert not sharded.queue.release_own("a")
    assert sharded.queue.claim("a", "me") is None


def test_one_of_two_releases_the_own_work(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    one.jobs.create_job(new_job("a", clock, shards=2))
    outcomes = race([lambda: one.queue.release_own("a"), lambda: two.queue.release_own("a")])
    assert sorted(map(bool, outcomes)) == [False, True]


@pytest.mark.parametrize("status", sorted(ENDED))
def test_ended_own_work_waits_again(sharded: Storage, status: JobStatus) -> None:
    sharded.queue.release_own("a")
    sharded.queue.finish(take(sharded, "a"), status)
    sharded.queue.await_shards("a")
    assert sharded.queue.claim("a", "me") is None
    assert sharded.queue.release_own("a")


def test_only_ended_own_work_waits_again(sharded: Storage) -> None:
    with pytest.raises(ConflictError):
        sharded.queue.await_shards("a")
    sharded.queue.release_own("a")
    with pytest.raises(ConflictError):
        sharded.queue.await_shards("a")
    take(sharded, "a")
    with pytest.raises(ConflictError):
        sharded.queue.await_shards("a")


def test_waiting_work_is_not_queued_as_if_it_had_ended(sharded: Storage) -> None:
    with pytest.raises(ConflictError):
        sharded.queue.enqueue("a")


def test_claimed_own_work_is_put_off(sharded: Storage) -> None:
    sharded.queue.release_own("a")
    claim = take(sharded, "a")
    sharded.queue.put_off(claim)
    assert sharded.queue.claim("a", "me") is None
    assert sharded.queue.release_own("a")
    later = take(sharded, "a")
    assert later.fence > claim.fence
    with pytest.raises(LeaseLostError):
        sharded.queue.put_off(claim)


def test_work_of_no_job_is_neither_released_nor_awaited(ports: Storage) -> None:
    with pytest.raises(NotFoundError):
        ports.queue.release_own("nothing")
    with pytest.raises(NotFoundError):
        ports.queue.await_shards("nothing")
    assert ports.queue.shards_of("nothing", 3) == []


def test_waiting_work_is_listed_and_withdrawn(api_ports: ApiStorage, clock: ManualClock) -> None:
    api_ports.jobs.create_job(new_job("a", clock, shards=2))
    (own,) = api_ports.work.list_work(WaitingStatus.WAITING)
    assert (own.work_id, own.status, own.shard) == ("a", WaitingStatus.WAITING, None)
    assert api_ports.work.withdraw("a", JobStatus.CANCELLED)
    assert not api_ports.work.withdraw("a", JobStatus.CANCELLED)
    assert api_ports.work.get_work("a").status is JobStatus.CANCELLED
    assert not list(api_ports.work.list_work(WaitingStatus.WAITING))


def test_waiting_work_can_be_deleted(api_ports: ApiStorage, clock: ManualClock) -> None:
    api_ports.jobs.create_job(new_job("a", clock, shards=2))
    assert api_ports.work.begin_deletion("a")
    assert api_ports.work.get_work("a").status is JobStatus.DELETING


def test_an_execution_is_numbered_on_the_own_item_while_it_waits(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    api_ports.jobs.create_job(new_job("a", clock, shards=2))
    own = api_ports.work.get_work("a")
    assert own.status is WaitingStatus.WAITING
    assert api_ports.work.begin_launch(own) == 1
    assert api_ports.work.begin_launch(own) is None  # somebody else was quicker
    assert api_ports.work.begin_launch(api_ports.work.get_work("a")) == 2


# ── how a shard ends ───────────────────────────────────────────────────────────────────────────

ERROR = JobError(
    message="the models fail", code="models_failing", retry_after=START + timedelta(minutes=5)
)


@pytest.mark.parametrize("error", [None, JobError(message="why"), ERROR])
def test_the_end_of_a_shard_is_known(sharded: Storage, error: JobError | None) -> None:
    sharded.queue.finish(take(sharded, "a#1"), JobStatus.FAILED, error=error, run=7)
    ended = ShardState(shard=1, status=JobStatus.FAILED, run=7, error=error, attempt=1)
    assert states(sharded)[1] == ended
    assert states(sharded)[0] == ShardState(shard=0, status=JobStatus.QUEUED)


def test_a_later_end_leaves_nothing_of_the_earlier_one(sharded: Storage) -> None:
    sharded.queue.finish(take(sharded, "a#1"), JobStatus.FAILED, error=ERROR, run=1)
    sharded.queue.enqueue("a#1")
    assert states(sharded)[1].run == 1
    sharded.queue.finish(take(sharded, "a#1"), JobStatus.COMPLETED, run=2)
    assert states(sharded)[1] == ShardState(shard=1, status=JobStatus.COMPLETED, run=2, attempt=2)


def test_a_late_owner_does_not_end_a_shard(sharded: Storage) -> None:
    late = take(sharded, "a#0")
    successor(sharded, late)
    with pytest.raises(LeaseLostError):
        sharded.queue.finish(late, JobStatus.FAILED, error=ERROR, run=1)
    assert states(sharded)[0] == ShardState(shard=0, status=JobStatus.RUNNING, attempt=2)


def test_a_shard_that_is_given_up_says_why(api_ports: ApiStorage, clock: ManualClock) -> None:
    api_ports.jobs.create_job(new_job("a", clock, shards=2))
    assert api_ports.work.withdraw("a#0", JobStatus.FAILED, error=ERROR, run=3)
    assert states(api_ports)[0] == ShardState(shard=0, status=JobStatus.FAILED, run=3, error=ERROR)


# ── counters ───────────────────────────────────────────────────────────────────────────────────


def test_a_jobs_counters_are_sums(sharded: Storage) -> None:
    for shard, progress in enumerate((FIRST, SECOND)):
        claim = take(sharded, f"a#{shard}")
        sharded.jobs.set_progress("a", claim.fence, progress, shard=shard)
        assert states(sharded)[shard].progress == progress
    assert sharded.jobs.get_job("a").progress == BOTH


def test_counters_of_a_shard_are_replaced(sharded: Storage) -> None:
    claim = take(sharded, "a#0")
    for progress in (SECOND, FIRST, Progress()):
        sharded.jobs.set_progress("a", claim.fence, progress, shard=0)
        assert sharded.jobs.get_job("a").progress == progress
    sharded.jobs.set_progress("a", claim.fence, FIRST, shard=0)
    sharded.queue.finish(claim, JobStatus.COMPLETED, run=1)
    assert sharded.jobs.get_job("a").progress == FIRST


def test_a_late_owner_does_not_count(sharded: Storage) -> None:
    late = take(sharded, "a#0")
    now = successor(sharded, late)
    sharded.jobs.set_progress("a", now.fence, FIRST, shard=0)
    with pytest.raises(LeaseLostError):
        sharded.jobs.set_progress("a", late.fence, SECOND, shard=0)
    sharded.queue.finish(now, JobStatus.COMPLETED, run=1)
    with pytest.raises(LeaseLostError):
        sharded.jobs.set_progress("a", now.fence, SECOND, shard=0)
    assert sharded.jobs.get_job("a").progress == FIRST


def test_a_fence_counts_for_its_shard_alone(sharded: Storage) -> None:
    successor(sharded, take(sharded, "a#0"))
    claim = take(sharded, "a#1")
    sharded.jobs.set_progress("a", claim.fence, FIRST, shard=1)
    assert sharded.jobs.get_job("a").progress == FIRST


def test_counters_of_no_shard(sharded: Storage) -> None:
    with pytest.raises(NotFoundError):
        sharded.jobs.set_progress("a", 1, FIRST, shard=2)


def test_lists_show_the_sums_that_were_stored(api_ports: ApiStorage, clock: ManualClock) -> None:
    api_ports.jobs.create_job(new_job("a", clock, shards=2))

    def listed() -> Progress:
        (job,) = api_ports.job_catalog.list_jobs("ada", limit=9).items
        return job.progress

    for shard, progress in enumerate((FIRST, SECOND)):
        claim = take(api_ports, f"a#{shard}")
        api_ports.jobs.set_progress("a", claim.fence, progress, shard=shard)
    assert listed() == Progress()
    clock.advance(60)
    api_ports.jobs.refresh_progress("a")
    assert listed() == BOTH
    assert api_ports.jobs.get_job("a").updated_at == clock.now()
    api_ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    api_ports.jobs.set_progress("a", 1, FIRST)
    assert listed() == FIRST


def test_nothing_else_is_refreshed(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.refresh_progress("nothing")
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("nothing")
    ports.jobs.create_job(new_job("b", clock))
    ports.jobs.set_status("b", JobStatus.RUNNING, fence=1)
    ports.jobs.set_progress("b", 1, FIRST)
    ports.jobs.refresh_progress("b")
    assert ports.jobs.get_job("b").progress == FIRST


def test_the_status_alone(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock, shards=2))
    assert ports.jobs.get_status("a") is JobStatus.QUEUED
    ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    assert ports.jobs.get_status("a") is JobStatus.CANCELLED
    with pytest.raises(NotFoundError):
        ports.jobs.get_status("nothing")


# ── rounds and runs ────────────────────────────────────────────────────────────────────────────


def test_growth_is_a_round_and_a_run(sharded: Storage) -> None:
    for number, run in ((100, 1), (150, 2), (150, 2), (151, 3)):
        sharded.jobs.set_num_records("a", number)
        job = sharded.jobs.get_job("a")
        assert (job.config.num_records, job.run) == (number, run)
        assert job.config.sharding is not None
        assert job.config.sharding.ends[-1] == number
    assert job.config.sharding == Sharding(count=2, ends=(100, 150, 151))
    with pytest.raises(InputError):
        sharded.jobs.set_num_records("a", 150)


def test_a_job_counts_how_often_it_was_queued(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock, shards=2))
    assert ports.jobs.get_job("a").run == 1
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=1)  # handed back by its worker
    assert ports.jobs.get_job("a").run == 1
    for run in (2, 3):
        ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
        ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
        assert ports.jobs.get_job("a").run == run

"""What every `WorkCatalog` promises."""

from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import ENDED, JobStatus
from runtime.domain.ports import Claim
from runtime.domain.service_ports import WorkItem
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import race
from tests.fixtures.storage import ApiStorage, OpenApi, new_job

ROUNDS: Final = 8


@pytest.fixture
def ports(api_ports: ApiStorage, clock: ManualClock) -> ApiStorage:
    """With the work of job "a", queued."""
    api_ports.jobs.create_job(new_job("a", clock))
    return api_ports


def claimed(ports: ApiStorage, work_id: str = "a") -> Claim:
    claim = ports.queue.claim(work_id, "worker")
    assert claim is not None
    return claim


def launch(ports: ApiStorage, work_id: str = "a") -> int | None:
    return ports.work.begin_launch(ports.work.get_work(work_id))


# ── looking ────────────────────────────────────────────────────────────────────────────────────


def test_new_work(ports: ApiStorage) -> None:
    assert ports.work.get_work("a") == WorkItem(
        work_id="a",
        job_id="a",
        status=JobStatus.QUEUED,
        owner=None,
        fence=0,
        beat=0,
        attempt=0,
        launches=0,
        launched_at=None,
    )


def test_claimed_work(ports: ApiStorage) -> None:
    claim = claimed(ports)
    before = ports.work.get_work("a")
    assert (before.status, before.owner) == (JobStatus.RUNNING, "worker")
    assert (before.fence, before.attempt) == (claim.fence, claim.attempt)
    ports.queue.heartbeat(claim)
    assert ports.work.get_work("a").beat != before.beat
    ports.queue.release(claim)
    released = ports.work.get_work("a")
    assert (released.status, released.owner) == (JobStatus.QUEUED, None)
    assert (released.fence, released.attempt) == (claim.fence, claim.attempt)


def test_work_of_a_shard(ports: ApiStorage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("b", clock, shards=2))
    item = ports.work.get_work("b#1")
    assert (item.job_id, item.shard) == ("b", 1)


def test_e12_all_work_of_a_job(ports: ApiStorage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("b", clock, shards=12))
    assert ports.work.work_of("a") == [ports.work.get_work("a")]
    assert [item.shard for item in ports.work.work_of("b")] == [None, *range(12)]
    assert not ports.work.work_of("nothing")


def test_work_that_is_not_there(ports: ApiStorage) -> None:
    with pytest.raises(NotFoundError):
        ports.work.get_work("nothing")
    with pytest.raises(NotFoundError):
        ports.work.withdraw("nothing", JobStatus.CANCELLED)
    with pytest.raises(NotFoundError):
        ports.work.get_work("nothing")


def test_work_is_listed_by_status_oldest_first(ports: ApiStorage, clock: ManualClock) -> None:
    for number in range(1, 61):
        clock.advance(1)
        ports.jobs.create_job(new_job(f"job-{number:02d}", clock))
    claimed(ports, "job-07")
    claimed(ports, "job-03")
    queued = list(ports.work.list_work(JobStatus.QUEUED))
    expected = [f"job-{number:02d}" for number in range(1, 61) if number not in {3, 7}]
    assert [item.work_id for item in queued] == ["a", *expected]
    assert queued == [ports.work.get_work(item.work_id) for item in queued]
    running = [item.work_id for item in ports.work.list_work(JobStatus.RUNNING)]
    assert running == ["job-03", "job-07"]
    assert list(ports.work.list_work(JobStatus.FAILED)) == []


# ── launches ───────────────────────────────────────────────────────────────────────────────────


def test_launches_are_numbered_and_dated(ports: ApiStorage, clock: ManualClock) -> None:
    for number in (1, 2, 3):
        clock.advance(10)
        assert launch(ports) == number
        item = ports.work.get_work("a")
        assert item.launches == number
        assert item.launched_at == START + timedelta(seconds=10 * number)


def test_who_has_seen_an_older_state_may_not_launch(ports: ApiStorage, clock: ManualClock) -> None:
    new = ports.work.get_work("a")
    assert ports.work.begin_launch(new) == 1
    clock.advance(1)
    assert ports.work.begin_launch(new) is None
    old = ports.work.get_work("a")
    assert ports.work.begin_launch(old) == 2
    assert ports.work.begin_launch(old) is None
    assert ports.work.get_work("a").launches == 2


def test_only_queued_work_is_launched(ports: ApiStorage) -> None:
    item = ports.work.get_work("a")
    claim = claimed(ports)
    assert ports.work.begin_launch(item) is None
    assert launch(ports) is None
    ports.queue.finish(claim, JobStatus.FAILED)
    assert launch(ports) is None
    assert ports.work.get_work("a").launches == 0


def test_work_that_is_gone_is_not_launched(ports: ApiStorage) -> None:
    item = ports.work.get_work("a")
    ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    ports.job_catalog.delete_job("a")
    assert ports.work.begin_launch(item) is None
    ports.work.end_failed_launch("a", 1)
    ports.work.note_seen(item)
    with pytest.raises(NotFoundError):
        ports.work.get_work("a")


def test_one_of_many_may_launch(open_api_ports: OpenApi, clock: ManualClock) -> None:
    observers = [open_api_ports() for _ in range(4)]
    observers[0].jobs.create_job(new_job("a", clock))
    for number in range(1, ROUNDS + 1):
        item = observers[0].work.get_work("a")
        outcomes = race([partial(each.work.begin_launch, item) for each in observers])
        assert sorted(outcomes, key=str) == [number, None, None, None]


def test_launches_go_on_counting(ports: ApiStorage) -> None:
    """A number is never used again: it makes a launch recognisable."""
    assert launch(ports) == 1
    claim = claimed(ports)
    ports.queue.release(claim)
    assert launch(ports) == 2
    ports.queue.finish(claimed(ports), JobStatus.FAILED)
    ports.queue.enqueue("a")
    assert launch(ports) == 3


def test_a_launch_that_failed_may_be_tried_again_at_once(ports: ApiStorage) -> None:
    assert launch(ports) == 1
    ports.work.end_failed_launch("a", 1)
    item = ports.work.get_work("a")
    assert (item.launches, item.launched_at) == (1, None)
    assert launch(ports) == 2


def test_launches_that_the_quota_refused_are_counted(ports: ApiStorage) -> None:
    for number, at_quota, refused in ((1, True, 1), (2, False, 1), (3, True, 2)):
        assert launch(ports) == number
        for _ in range(2):  # whoever did not get the reply says it again
            ports.work.end_failed_launch("a", number, at_quota=at_quota)
        item = ports.work.get_work("a")
        assert (item.quota_refusals, item.launched_at) == (refused, None)
    assert launch(ports) == 4
    ports.work.end_failed_launch("a", 3, at_quota=True)
    assert ports.work.get_work("a").quota_refusals == 2


def test_a_failed_launch_does_not_forget_the_one_after_it(
    ports: ApiStorage, clock: ManualClock
) -> None:
    assert launch(ports) == 1
    clock.advance(1)
    assert launch(ports) == 2
    before = ports.work.get_work("a")
    ports.work.end_failed_launch("a", 1)
    ports.work.end_failed_launch("a", 3)
    assert ports.work.get_work("a") == before
    ports.work.end_failed_launch("a", 2)
    assert ports.work.get_work("a").launched_at is None


# ── watching ───────────────────────────────────────────────────────────────────────────────────


def test_what_was_seen_is_kept_for_the_next_observer(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    ports = open_api_ports()
    ports.jobs.create_job(new_job("a", clock))
    claim = claimed(ports)
    clock.advance(10)
    item = ports.work.get_work("a")
    assert (item.seen_fence, item.seen_beat, item.seen_at) == (None, None, None)
    ports.work.note_seen(item)
    (seen,) = open_api_ports().work.list_work(JobStatus.RUNNING)
    assert (seen.seen_fence, seen.seen_beat) == (seen.fence, seen.beat)
    assert seen.seen_at == START + timedelta(seconds=10)
    ports.queue.heartbeat(claim)
    later = open_api_ports().work.get_work("a")
    assert (later.seen_fence, later.seen_beat) == (seen.fence, seen.beat)
    assert later.beat != later.seen_beat


def test_a_state_that_is_past_is_not_noted(ports: ApiStorage, clock: ManualClock) -> None:
    claim = claimed(ports)
    ports.work.note_seen(ports.work.get_work("a"))
    noted = ports.work.get_work("a")
    clock.advance(10)
    ports.queue.heartbeat(claim)
    ports.work.note_seen(noted)
    now = ports.work.get_work("a")
    assert (now.seen_beat, now.seen_at) == (noted.beat, noted.seen_at)
    ports.queue.release(claim)
    ports.work.note_seen(now)
    assert ports.work.get_work("a").seen_at == noted.seen_at


def test_seen_work_is_recovered_by_what_was_seen(ports: ApiStorage) -> None:
    """The observer's way: note, wait, recover what has not moved."""
    claim = claimed(ports)
    ports.work.note_seen(ports.work.get_work("a"))
    (lease,) = ports.queue.leases()
    seen = ports.work.get_work("a")
    assert (lease.fence, lease.beat) == (seen.seen_fence, seen.seen_beat)
    ports.queue.heartbeat(claim)
    assert not ports.queue.recover(lease)


# ── losses ─────────────────────────────────────────────────────────────────────────────────────


def test_workers_that_die_in_a_row_without_progress_are_counted(ports: ApiStorage) -> None:
    item = ports.work.get_work("a")
    counts = [ports.work.note_loss(item, finished=finished) for finished in (0, 0, 50, 50, 50, 51)]
    assert counts == [1, 2, 1, 2, 3, 1]
    assert ports.work.get_work("a") == item


def test_a_loss_of_work_that_is_gone(ports: ApiStorage) -> None:
    item = ports.work.get_work("a")
    for status in (JobStatus.CANCELLED, JobStatus.DELETING):
        ports.jobs.set_status("a", status, fence=None)
    ports.job_catalog.delete_job("a")
    with pytest.raises(NotFoundError):
        ports.work.note_loss(item, finished=1)
    with pytest.raises(NotFoundError):
        ports.work.get_work("a")


# ── withdrawing ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", sorted(ENDED - {JobStatus.DELETING}))
def test_withdrawn_work_is_claimed_by_nobody(ports: ApiStorage, status: JobStatus) -> None:
    assert ports.work.withdraw("a", status)
    assert ports.queue.claim("a", "worker") is None
    assert ports.queue.get_next_job("worker") is None
    assert ports.work.get_work("a").status is status
    assert not ports.work.withdraw("a", JobStatus.CANCELLED)
    assert ports.work.get_work("a").status is status


def test_work_in_hand_is_not_withdrawn(ports: ApiStorage) -> None:
    claim = claimed(ports)
    assert not ports.work.withdraw("a", JobStatus.CANCELLED)
    ports.queue.heartbeat(claim)


def test_withdrawn_work_can_be_queued_again(ports: ApiStorage) -> None:
    assert launch(ports) == 1
    assert ports.work.withdraw("a", JobStatus.CANCELLED)
    ports.queue.enqueue("a")
    assert launch(ports) == 2
    assert claimed(ports).attempt == 1


def test_a_withdrawal_and_a_claim_exclude_each_other(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    user, worker = open_api_ports(), open_api_ports()
    for number in range(ROUNDS):
        job_id = f"job-{number}"
        user.jobs.create_job(new_job(job_id, clock))
        withdrawn, claim = race(
            [
                lambda: user.work.withdraw(job_id, JobStatus.CANCELLED),  # noqa: B023
                lambda: worker.queue.claim(job_id, "worker"),  # noqa: B023
            ]
        )
        assert withdrawn is (claim is None)


# ── deleting ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.CANCELLED, JobStatus.COMPLETED])
def test_g5_work_that_is_deleted_is_listed_and_claimed_by_nobody(
    ports: ApiStorage, status: JobStatus
) -> None:
    if status is JobStatus.COMPLETED:
        ports.queue.finish(claimed(ports), status)
    elif status is not JobStatus.QUEUED:
        assert ports.work.withdraw("a", status)
    for _ in range(2):  # it may be asked for again
        assert ports.work.begin_deletion("a")
    assert [item.job_id for item in ports.work.list_work(JobStatus.DELETING)] == ["a"]
    assert ports.queue.claim("a", "worker") is None


def test_g5_work_in_hand_and_work_that_is_gone_are_not_deleted(ports: ApiStorage) -> None:
    claim = claimed(ports)
    assert not ports.work.begin_deletion("a")
    ports.queue.heartbeat(claim)
    with pytest.raises(NotFoundError):
        ports.work.begin_deletion("nothing")
    with pytest.raises(NotFoundError):
        ports.work.get_work("nothing")

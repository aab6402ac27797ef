"""What every `WorkQueue` promises. Requirement S7.1: a lost claim race is no error."""

from dataclasses import replace

import pytest

from runtime.domain.errors import ConflictError, LeaseLostError, NotFoundError
from runtime.domain.jobs.job import ENDED, JobStatus
from runtime.domain.ports import Claim, Lease
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage, new_job

ROUNDS = 10


def queue_jobs(ports: Storage, clock: ManualClock, *job_ids: str) -> None:
    for job_id in job_ids:
        ports.jobs.create_job(new_job(job_id, clock))
        clock.advance(1)


def claimed(ports: Storage, owner: str = "first") -> Claim:
    claim = ports.queue.get_next_job(owner)
    assert claim is not None
    return claim


def only_lease(ports: Storage) -> Lease:
    (lease,) = ports.queue.leases()
    return lease


def test_first_in_first_out(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "b", "c", "a")
    order = [claimed(ports).job_id for _ in range(3)]
    assert order == ["b", "c", "a"]
    assert ports.queue.get_next_job("first") is None


def test_many_jobs_come_in_order(ports: Storage, clock: ManualClock) -> None:
    ids = [f"job-{number:02d}" for number in range(30)]
    queue_jobs(ports, clock, *ids)
    assert [claimed(ports).job_id for _ in ids] == ids


def test_a_claim_says_what_was_claimed(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a")
    assert claimed(ports, "task-1") == Claim(
        work_id="a", job_id="a", owner="task-1", fence=1, attempt=1, shard=None
    )


def test_each_shard_is_work_of_its_own(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock, shards=2))
    claims = [claimed(ports), claimed(ports)]
    assert sorted((claim.work_id, claim.job_id, claim.shard) for claim in claims) == [
        ("a#0", "a", 0),
        ("a#1", "a", 1),
    ]


def test_claim_by_id(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a", "b")
    claim = ports.queue.claim("b", "first")
    assert claim is not None
    assert claim.work_id == "b"
    assert ports.queue.claim("b", "second") is None
    with pytest.raises(NotFoundError):
        ports.queue.claim("nothing", "first")


def test_one_of_two_claimers_wins_every_time(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    for number in range(ROUNDS):
        queue_jobs(one, clock, f"job-{number}")
        outcomes = race([lambda: one.queue.get_next_job("1"), lambda: two.queue.get_next_job("2")])
        assert of_type(outcomes, Claim) == 1, outcomes
        assert outcomes.count(None) == 1, outcomes


def test_many_claimers_share_many_jobs(open_ports: OpenPorts, clock: ManualClock) -> None:
    ids = [f"job-{number:02d}" for number in range(20)]
    queue_jobs(open_ports(), clock, *ids)

    def take_all(storage: Storage, owner: str) -> list[str]:
        taken = []
        while claim := storage.queue.get_next_job(owner):
            taken.append(claim.job_id)
        return taken

    workers = [open_ports() for _ in range(4)]
    shares = race(
        [
            lambda storage=storage, owner=str(number): take_all(storage, owner)  # type: ignore[misc]
            for number, storage in enumerate(workers)
        ]
    )
    assert sorted(job_id for share in shares if isinstance(share, list) for job_id in share) == ids


def test_a_heartbeat_changes_the_beat(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a")
    claim = claimed(ports)
    before = only_lease(ports)
    ports.queue.heartbeat(claim)
    after = only_lease(ports)
    assert (before.work_id, before.job_id, before.fence) == ("a", "a", claim.fence)
    assert after.fence == before.fence
    assert after.beat != before.beat
    assert not after.abandoned


def test_only_running_work_has_a_lease(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a", "b", "c")
    ports.queue.finish(claimed(ports), JobStatus.COMPLETED)
    claimed(ports)
    assert only_lease(ports).work_id == "b"


def test_released_work_is_claimable_under_a_higher_fence(
    ports: Storage, clock: ManualClock
) -> None:
    queue_jobs(ports, clock, "a")
    claim = claimed(ports)
    ports.queue.release(claim)
    assert not ports.queue.leases()
    again = claimed(ports, "second")
    assert again.work_id == "a"
    assert again.owner == "second"
    assert again.fence > claim.fence
    assert again.attempt == claim.attempt + 1


def test_released_work_keeps_its_place(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a", "b")
    ports.queue.release(claimed(ports))
    assert claimed(ports).job_id == "a"


def test_recovered_work_is_claimable_and_keeps_its_place(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    dead, observer = open_ports(), open_ports()
    queue_jobs(observer, clock, "a", "b")
    claim = claimed(dead)
    dead.close()
    assert observer.queue.recover(only_lease(observer))
    assert not observer.queue.leases()
    again = claimed(observer, "second")
    assert again.work_id == claim.work_id
    assert again.fence > claim.fence


def test_a_living_owner_is_not_recovered(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a")
    claim = claimed(ports)
    seen = only_lease(ports)
    ports.queue.heartbeat(claim)
    assert not ports.queue.recover(seen)
    ports.queue.heartbeat(claim)


@pytest.mark.parametrize(("fence", "beat"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_only_what_was_seen_is_recovered(
    ports: Storage, clock: ManualClock, fence: int, beat: int
) -> None:
    queue_jobs(ports, clock, "a")
    claim = claimed(ports)
    seen = only_lease(ports)
    assert not ports.queue.recover(
        replace(seen, fence=seen.fence + fence, beat=seen.beat + beat, abandoned=False)
    )
    ports.queue.heartbeat(claim)


def test_a_lease_of_an_earlier_owner_recovers_nothing(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    first, second = open_ports(), open_ports()
    queue_jobs(first, clock, "a")
    claim = claimed(first)
    seen = only_lease(first)
    first.queue.release(claim)
    successor = claimed(second, "second")
    assert not first.queue.recover(seen)
    second.queue.heartbeat(successor)


def test_finished_work_is_not_recovered(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a")
    claim = claimed(ports)
    seen = only_lease(ports)
    ports.queue.finish(claim, JobStatus.FAILED)
    assert not ports.queue.recover(seen)
    assert ports.queue.get_next_job("second") is None


def test_one_observer_recovers(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    queue_jobs(one, clock, "a")
    for _ in range(ROUNDS):
        owner = open_ports()
        claimed(owner)
        owner.close()
        seen = only_lease(one)
        outcomes = race([lambda: one.queue.recover(seen), lambda: two.queue.recover(seen)])  # noqa: B023
        assert sorted(outcomes, key=repr) == [False, True]


def test_a_beat_and_a_recovery_never_both_win(open_ports: OpenPorts, clock: ManualClock) -> None:
    owner, observer = open_ports(), open_ports()
    queue_jobs(owner, clock, "a")
    for _ in range(ROUNDS):
        claim = claimed(owner)
        seen = only_lease(observer)
        beat, recovered = race(
            [lambda: owner.queue.heartbeat(claim), lambda: observer.queue.recover(seen)]  # noqa: B023
        )
        if recovered is True:
            assert isinstance(beat, LeaseLostError)
        else:
            assert (beat, recovered) == (None, False)
            owner.queue.release(claim)


def test_a_stale_owner_can_do_nothing(open_ports: OpenPorts, clock: ManualClock) -> None:
    late, observer = open_ports(), open_ports()
    queue_jobs(observer, clock, "a")
    stale = claimed(late)
    assert observer.queue.recover(only_lease(observer))
    for successor_runs in (False, True):
        if successor_runs:
            claimed(observer, "second")
        before = observer.queue.leases()
        with pytest.raises(LeaseLostError):
            late.queue.heartbeat(stale)
        with pytest.raises(LeaseLostError):
            late.queue.release(stale)
        with pytest.raises(LeaseLostError):
            late.queue.finish(stale, JobStatus.COMPLETED)
        assert observer.queue.leases() == before


@pytest.mark.parametrize("status", sorted(ENDED))
def test_ended_work_is_queued_again_at_the_end_of_the_line(
    ports: Storage, clock: ManualClock, status: JobStatus
) -> None:
    queue_jobs(ports, clock, "a", "b")
    claim = claimed(ports)
    ports.queue.finish(claim, status)
    assert ports.queue.claim("a", "second") is None
    with pytest.raises(LeaseLostError):
        ports.queue.heartbeat(claim)
    ports.queue.enqueue("a")
    assert claimed(ports).work_id == "b"
    again = claimed(ports)
    assert again.work_id == "a"
    assert again.fence > claim.fence


def test_only_ended_work_is_queued_again(ports: Storage, clock: ManualClock) -> None:
    queue_jobs(ports, clock, "a")
    with pytest.raises(ConflictError):
        ports.queue.enqueue("a")
    claim = claimed(ports)
    with pytest.raises(ConflictError):
        ports.queue.enqueue("a")
    ports.queue.heartbeat(claim)
    with pytest.raises(NotFoundError):
        ports.queue.enqueue("nothing")


def test_one_of_two_retries_queues_the_work(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    queue_jobs(one, clock, "a")
    for _ in range(ROUNDS):
        one.queue.finish(claimed(one), JobStatus.FAILED)
        outcomes = race([lambda: one.queue.enqueue("a"), lambda: two.queue.enqueue("a")])
        assert of_type(outcomes, ConflictError) == 1, outcomes
        assert outcomes.count(None) == 1, outcomes

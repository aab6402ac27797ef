"""Recovery: dead owners at once, silent ones after a lease, living ones never."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from runtime.domain.jobs.job import JobStatus
from runtime.domain.ports import Claim
from runtime.worker.leases import recover_abandoned
from runtime.worker.settings import WorkerSettings
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_ports import MemoryQueue

SETTINGS = WorkerSettings(heartbeat_seconds=15.0, lease_seconds=60.0)


@dataclass
class Observer:
    """Looks on; `meanwhile` is what the world does during each of its pauses."""

    meanwhile: Callable[[], None] = lambda: None
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    clock: ManualClock = field(default_factory=ManualClock)
    pauses: list[float] = field(default_factory=list)
    gives_up: bool = False
    jitter: float = 0.0

    def owner_of(self, work_id: str) -> Claim:
        self.queue.add(work_id)
        claim = self.queue.claim(work_id, f"owner of {work_id}")
        assert claim is not None
        return claim

    def kill(self, work_id: str) -> None:
        """In the way that the store can prove."""
        self.queue.dead.add(f"owner of {work_id}")

    def pause(self, seconds: float) -> bool:
        assert seconds > 0
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        self.meanwhile()
        return self.gives_up

    def recover(self, work_id: str | None = None) -> bool:
        rng = random.Random()  # noqa: S311 - jitter
        rng.random = lambda: self.jitter  # type: ignore[method-assign]
        return recover_abandoned(
            self.queue, self.clock, SETTINGS, work_id=work_id, rng=rng, pause=self.pause
        )

    def is_claimable(self, work_id: str) -> bool:
        return self.queue.status(work_id) is JobStatus.QUEUED


def test_without_running_work_there_is_nothing_to_wait_for() -> None:
    observer = Observer()
    observer.queue.add("queued")
    assert not observer.recover()
    assert not observer.pauses


def test_work_of_a_dead_owner_is_recovered_at_once() -> None:
    observer = Observer()
    for name in ("a", "b", "c"):
        observer.owner_of(name)
    observer.kill("a")
    observer.kill("c")
    assert observer.recover()
    assert not observer.pauses
    assert [observer.is_claimable(name) for name in ("a", "b", "c")] == [True, False, True]


def test_an_owner_that_is_found_dead_while_it_is_watched_is_not_taken_for_a_living_one() -> None:
    observer = Observer()
    observer.owner_of("a")
    observer.meanwhile = lambda: observer.kill("a")
    assert observer.recover()
    assert len(observer.pauses) == 1
    assert observer.is_claimable("a")


@pytest.mark.parametrize(("jitter", "patience"), [(0.0, 60.0), (0.5, 67.5)])
def test_a_beat_that_stands_still_for_a_lease_is_abandoned(jitter: float, patience: float) -> None:
    """Observers that start together come at different times."""
    observer = Observer(jitter=jitter)
    observer.owner_of("a")
    observer.meanwhile = lambda: unclaimable(observer)
    assert observer.recover()
    assert sum(observer.pauses) == pytest.approx(patience)
    assert max(observer.pauses) == SETTINGS.lease_seconds / 12
    assert observer.is_claimable("a")


def unclaimable(observer: Observer) -> None:
    assert not observer.is_claimable("a")


def test_a_sign_of_life_ends_the_wait() -> None:
    observer = Observer()
    owner = observer.owner_of("a")
    observer.meanwhile = lambda: observer.queue.heartbeat(owner)
    assert not observer.recover()
    assert len(observer.pauses) == 1
    assert not observer.is_claimable("a")


def test_a_late_sign_of_life_is_enough() -> None:
    observer = Observer()
    owner = observer.owner_of("a")

    def beat_late() -> None:
        if sum(observer.pauses) > 55:
            observer.queue.heartbeat(owner)

    observer.meanwhile = beat_late
    assert not observer.recover()
    assert not observer.is_claimable("a")


def test_a_living_owner_does_not_save_a_silent_one() -> None:
    observer = Observer()
    living = observer.owner_of("a")
    observer.owner_of("b")
    observer.meanwhile = lambda: observer.queue.heartbeat(living)
    assert observer.recover()
    assert (observer.is_claimable("a"), observer.is_claimable("b")) == (False, True)


def test_a_beat_between_the_last_look_and_the_recovery_excludes_it() -> None:
    """The write is conditional on what was seen."""
    observer = Observer()
    owner = observer.owner_of("a")

    class BeatingQueue(MemoryQueue):
        def recover(self, lease: object) -> bool:
            assert lease
            observer.queue.heartbeat(owner)
            [seen] = observer.queue.leases()
            assert seen != lease
            return MemoryQueue.recover(observer.queue, lease)  # type: ignore[arg-type]

    queue = BeatingQueue()
    queue._items = observer.queue._items
    assert not recover_abandoned(
        queue,
        observer.clock,
        SETTINGS,
        work_id=None,
        rng=random.Random(1),  # noqa: S311 - jitter
        pause=observer.pause,
    )
    assert not observer.is_claimable("a")


def test_work_that_a_successor_took_meanwhile_is_left_to_it() -> None:
    """Its beat may be the same number again; its fence is not."""
    observer = Observer()
    owner = observer.owner_of("a")

    def change_owners() -> None:
        if len(observer.pauses) == 1:
            observer.queue.release(owner)
            observer.queue.claim("a", "successor")

    observer.meanwhile = change_owners
    assert not observer.recover()
    assert not observer.is_claimable("a")


def test_finished_work_ends_the_wait() -> None:
    observer = Observer()
    owner = observer.owner_of("a")
    observer.meanwhile = lambda: observer.queue.finish(owner, JobStatus.COMPLETED)
    assert not observer.recover()
    assert len(observer.pauses) == 1


def test_with_a_work_id_only_that_item_counts() -> None:
    observer = Observer()
    for name in ("a", "b"):
        observer.owner_of(name)
        observer.kill(name)
    assert observer.recover("b")
    assert (observer.is_claimable("a"), observer.is_claimable("b")) == (False, True)
    assert not observer.recover("b")


def test_a_caller_that_gives_up_recovers_nothing() -> None:
    """S4.2: a worker that was told to stop waits for nobody."""
    observer = Observer(gives_up=True)
    observer.owner_of("a")
    assert not observer.recover()
    assert len(observer.pauses) == 1
    assert not observer.is_claimable("a")

"""The heartbeat renews, sees a cancellation, and stops a worker that may have lost its lease."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.ports import Claim, Clock
from runtime.worker.control import Control, StopReason
from runtime.worker.heartbeat import Heartbeat
from runtime.worker.settings import WorkerSettings
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_ports import MemoryJobs, MemoryQueue, Script, captured_logs
from tests.fixtures.storage import new_job

DEADLINE = 20.0
DOWN = StorageUnavailableError("the table is down")


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class World:
    """A claimed, running job. Heartbeats every 15 s on a lease of 60 s, unless a test says else."""

    clock: Clock = field(default_factory=ManualClock)
    settings: WorkerSettings = field(default_factory=WorkerSettings)

    def __post_init__(self) -> None:
        self.script = Script()
        self.queue = MemoryQueue(self.script)
        self.jobs = MemoryJobs(self.queue, self.clock, self.script)
        self.jobs.create_job(new_job("j", self.clock))
        claim = self.queue.claim("j", "me")
        assert claim is not None
        self.claim: Claim = claim
        self.jobs.set_status("j", JobStatus.RUNNING, fence=claim.fence)
        self.control = Control()
        self.heartbeat = Heartbeat(
            self.claim,
            queue=self.queue,
            jobs=self.jobs,
            clock=self.clock,
            control=self.control,
            settings=self.settings,
        )

    def take_away(self) -> None:
        """Another worker recovers the work and claims it."""
        [lease] = self.queue.leases()
        assert self.queue.recover(lease)
        assert self.queue.claim("j", "other")

    @property
    def beats(self) -> int:
        return self.script.calls.count("queue.heartbeat")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def advance(world: World, seconds: float) -> None:
    assert isinstance(world.clock, ManualClock)
    world.clock.advance(seconds)


def test_a_beat_renews_and_stops_nothing() -> None:
    world = World()
    [before] = world.queue.leases()
    world.heartbeat.beat()
    [after] = world.queue.leases()
    assert after.beat != before.beat
    assert world.control.reason is None


def test_a_cancelled_job_is_seen_by_the_next_beat() -> None:
    """N9."""
    world = World()
    world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
    world.heartbeat.beat()
    assert world.control.reason is StopReason.CANCELLED


def test_a_lost_lease_is_told_at_once() -> None:
    world = World()
    world.take_away()
    with captured_logs() as logs:
        world.heartbeat.beat()
    assert world.control.reason is StopReason.LEASE_LOST
    assert logs == [("ERROR", "lease lost")]


def test_a_store_that_is_down_is_borne_until_the_lease_can_not_be_trusted() -> None:
    """60 s of lease less one heartbeat of margin: 45 s after the last renewal it is over."""
    world = World()
    world.script.fail("queue.heartbeat", DOWN, times=3)
    for expected in (None, None, StopReason.LEASE_LOST):
        advance(world, 15)
        with captured_logs() as logs:
            world.heartbeat.beat()
        assert ("WARNING", "heartbeat failed") in logs
        assert world.control.reason is expected


def test_a_renewal_between_failures_begins_the_lease_anew() -> None:
    world = World()
    for _ in range(10):
        advance(world, 30)
        world.script.fail("queue.heartbeat", DOWN)
        world.heartbeat.beat()
        world.heartbeat.beat()
    assert world.control.reason is None


def test_the_lease_runs_from_before_the_request() -> None:
    """A reply that took 40 s leaves 5 s of trust, not 45."""
    world = World()

    class SlowQueue(MemoryQueue):
        def heartbeat(self, claim: Claim) -> None:
            advance(world, 40)
            world.queue.heartbeat(claim)

    world.heartbeat._queue = SlowQueue()
    world.heartbeat.beat()
    assert world.control.reason is None
    advance(world, 4.9)
    world.heartbeat._queue = world.queue
    world.script.fail("queue.heartbeat", DOWN, times=2)
    world.heartbeat.beat()
    assert world.control.reason is None
    advance(world, 0.1)
    world.heartbeat.beat()
    assert world.control.reason is StopReason.LEASE_LOST


def test_a_job_that_can_not_be_read_costs_no_lease() -> None:
    world = World()
    for _ in range(10):
        advance(world, 15)
        world.script.fail("jobs.get_status", DOWN)
        world.heartbeat.beat()
    assert world.control.reason is None


def test_the_thread_beats_until_the_block_ends() -> None:
    world = World(settings=WorkerSettings(heartbeat_seconds=0.002))
    with world.heartbeat:
        until(lambda: world.beats >= 3)
    beats = world.beats
    assert not [each for each in threading.enumerate() if each.name.startswith("heartbeat")]
    assert world.beats == beats
    assert world.control.reason is None


def test_the_thread_sees_a_cancellation() -> None:
    """N9: within one interval."""
    world = World(settings=WorkerSettings(heartbeat_seconds=0.002))
    woken = threading.Event()
    world.control.on_stop(woken.set)
    with world.heartbeat:
        world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
        assert woken.wait(DEADLINE)
    assert world.control.reason is StopReason.CANCELLED


def test_a_heartbeat_that_dies_stops_the_worker() -> None:
    world = World(settings=WorkerSettings(heartbeat_seconds=0.002))
    world.script.fail("queue.heartbeat", ZeroDivisionError("a defect"))
    with captured_logs() as logs, world.heartbeat:
        until(lambda: world.control.reason is not None)
    assert world.control.reason is StopReason.LEASE_LOST
    assert logs == [("ERROR", "heartbeat died")]


def test_a_renewal_that_hangs_does_not_hide_the_end_of_the_lease() -> None:
    """By the monotonic clock, while the request has still not come back."""
    hanging, released = threading.Event(), threading.Event()

    class HangingQueue(MemoryQueue):
        def heartbeat(self, _claim: Claim) -> None:
            hanging.set()
            assert released.wait(DEADLINE)

    world = World(
        clock=RealClock(), settings=WorkerSettings(heartbeat_seconds=0.02, lease_seconds=0.2)
    )
    world.heartbeat._queue = HangingQueue()
    with captured_logs() as logs, world.heartbeat:
        assert hanging.wait(DEADLINE)
        until(lambda: world.control.reason is not None)
        assert world.control.reason is StopReason.LEASE_LOST
        released.set()
    assert logs[0] == ("ERROR", "lease not renewed in time")


def test_a_lease_that_is_renewed_lasts() -> None:
    lease = 1.5
    world = World(
        clock=RealClock(), settings=WorkerSettings(heartbeat_seconds=0.05, lease_seconds=lease)
    )
    with world.heartbeat:
        since = time.monotonic()
        until(lambda: time.monotonic() - since > 1.2 * lease)
        assert world.control.reason is None

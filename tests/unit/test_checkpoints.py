"""Loading and saving checkpoints: order of writes, conflicts, crashes (S7.6, S7.7, S9)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
import pytest

from runtime.contract.keys import checkpoint_key
from runtime.domain.errors import (
    ConflictError,
    LeaseLostError,
    SeedwrightError,
    StorageFullError,
    StorageUnavailableError,
)
from runtime.domain.jobs.checkpoint import Checkpoint, decode, encode
from runtime.domain.ports import CheckpointVersion, Claim
from runtime.worker.checkpoints import MAX_ATTEMPTS, Checkpoints
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.memory_ports import FaultyObjects, MemoryVersions, captured_logs
from tests.fixtures.script import Script

CLAIM = Claim(work_id="j", job_id="j", owner="me", fence=2, attempt=1)
SHARD = Claim(work_id="j#3", job_id="j", owner="me", fence=2, attempt=1, shard=3)
KEY = checkpoint_key("j")


class CrashError(Exception):
    """The process is gone."""


@dataclass
class World:
    def __post_init__(self) -> None:
        self.script = Script()
        self.versions = MemoryVersions(self.script)
        self.objects = FaultyObjects(self.script)
        self.clock = ManualClock()
        self.crashes = False
        self.checkpoints = Checkpoints(self.versions, self.objects, self.clock, self.crash_point)

    def crash_point(self, name: str) -> None:
        assert name == "between_checkpoint_writes"
        self.script.calls.append(name)
        if self.crashes:
            raise CrashError

    def store(self, checkpoint: Checkpoint, *, version: int, fence: int = 1) -> None:
        """What an earlier worker left."""
        self.objects.bodies[KEY] = encode(replace(checkpoint, version=version))
        self.versions.stored["j"] = CheckpointVersion(
            version=version, records_generated=checkpoint.records_generated, fence=fence
        )

    def stored(self, key: str = KEY) -> Checkpoint:
        return decode(self.objects.bodies[key])


def checkpoint(done: Sequence[int], *, batch: int = 1) -> Checkpoint:
    """A job of which exactly the indices `done` are finished."""
    next_index = max(done, default=-1) + 1
    return Checkpoint(
        job_id="j",
        records_generated=len(done),
        next_index=next_index,
        pending=tuple(sorted(set(range(next_index)) - set(done))),
        current_batch=batch,
    )


def finished(checkpoint: Checkpoint) -> set[int]:
    return set(range(checkpoint.next_index)) - set(checkpoint.pending)


def test_the_blob_is_loaded_with_the_version_of_the_table() -> None:
    """S9.1."""
    world = World()
    world.store(checkpoint([0, 1, 4]), version=5)
    world.versions.stored["j"] = replace(world.versions.stored["j"], version=6)
    loaded = world.checkpoints.load_checkpoint(CLAIM)
    assert loaded == replace(checkpoint([0, 1, 4]), version=5, stored_version=6)


def test_without_one_there_is_the_default() -> None:
    """S9.2."""
    loaded = World().checkpoints.load_checkpoint(CLAIM)
    assert loaded == Checkpoint(job_id="j")
    assert loaded.records_generated == 0


def test_version_5_is_saved_as_version_6() -> None:
    """S9.4."""
    world = World()
    world.store(checkpoint([0]), version=5)
    loaded = world.checkpoints.load_checkpoint(CLAIM)
    world.clock.advance(10)
    saved = world.checkpoints.save_checkpoint(CLAIM, loaded)
    assert (saved.version, saved.stored_version) == (6, 6)
    assert saved.updated_at == world.clock.now() != START
    assert world.checkpoints.save_checkpoint(CLAIM, saved).version == 7


def test_the_table_is_written_first_and_both_say_the_same() -> None:
    """S9.5."""
    world = World()
    saved = world.checkpoints.save_checkpoint(CLAIM, checkpoint([0, 1]))
    assert world.script.calls == ["versions.put", "between_checkpoint_writes", "objects.put"]
    assert world.versions.stored["j"] == CheckpointVersion(
        version=1, records_generated=2, fence=CLAIM.fence
    )
    assert world.stored() == replace(saved, stored_version=0)
    assert orjson.loads(world.objects.bodies[KEY])["version"] == 1
    assert world.objects.content_types[KEY] == "application/json"
    assert world.checkpoints.load_checkpoint(CLAIM) == saved


def test_a_crash_between_the_writes_is_recovered() -> None:
    """S9.5: the older blob is still true, and the next save goes on from the table's version."""
    world = World()
    first = world.checkpoints.save_checkpoint(CLAIM, checkpoint([0]))
    world.crashes = True
    with pytest.raises(CrashError):
        world.checkpoints.save_checkpoint(CLAIM, replace(first, next_index=9))
    assert world.stored() == replace(first, stored_version=0)
    world.crashes = False

    loaded = world.checkpoints.load_checkpoint(CLAIM)
    assert (loaded.version, loaded.stored_version) == (1, 2)
    saved = world.checkpoints.save_checkpoint(CLAIM, loaded)
    assert world.versions.stored["j"].version == world.stored().version == saved.version == 3


@pytest.mark.parametrize("blob", [b"", b"{", b"[]", b"\x00" * 100, b'{"schema":99}'])
def test_a_corrupt_blob_gives_the_default(blob: bytes) -> None:
    """S9.7. The version tells that something was lost; the batches tell what."""
    world = World()
    world.store(checkpoint([0]), version=5)
    world.objects.bodies[KEY] = blob
    with captured_logs() as logs:
        loaded = world.checkpoints.load_checkpoint(CLAIM)
    assert loaded == Checkpoint(job_id="j", stored_version=5)
    assert logs == [("ERROR", "checkpoint corrupt")]
    assert world.checkpoints.save_checkpoint(CLAIM, loaded).version == 6
    assert world.stored().version == 6


def test_a_lost_blob_gives_the_default() -> None:
    world = World()
    world.store(checkpoint([0]), version=5)
    del world.objects.bodies[KEY]
    assert world.checkpoints.load_checkpoint(CLAIM) == Checkpoint(job_id="j", stored_version=5)


def test_a_conflict_is_merged_and_saved() -> None:
    """S7.6."""
    world = World()
    world.store(checkpoint([0, 1, 2], batch=2), version=5)
    loaded = world.checkpoints.load_checkpoint(CLAIM)
    world.store(checkpoint([0, 1, 2, 3, 6], batch=4), version=6)
    ours = replace(checkpoint([0, 1, 2, 4], batch=3), stored_version=loaded.stored_version)
    with captured_logs() as logs:
        saved = world.checkpoints.save_checkpoint(CLAIM, ours)
    assert logs == [("WARNING", "checkpoint version conflict")]
    assert saved.version == 7
    assert world.versions.stored["j"] == CheckpointVersion(
        version=7, records_generated=5, fence=CLAIM.fence
    )
    assert finished(saved) == {0, 1, 2, 3, 4, 6}
    assert saved.records_generated == 5
    assert saved.current_batch == 4
    assert world.stored() == replace(saved, stored_version=0)


def test_our_higher_count_stays_in_a_merge() -> None:
    """S7.6."""
    world = World()
    world.store(checkpoint([0]), version=1)
    saved = world.checkpoints.save_checkpoint(CLAIM, checkpoint([0, 1]))
    assert (saved.records_generated, saved.version) == (2, 2)


@pytest.mark.parametrize("conflicts", range(MAX_ATTEMPTS))
def test_fewer_conflicts_than_attempts_are_borne(conflicts: int) -> None:
    world = World()
    world.script.fail("versions.put", ConflictError("busy"), times=conflicts)
    assert world.checkpoints.save_checkpoint(CLAIM, checkpoint([0])).version == 1


def test_a_conflict_that_persists_is_raised_after_three_attempts() -> None:
    """S7.7."""
    world = World()
    world.script.fail("versions.put", ConflictError("busy"), times=100)
    with pytest.raises(ConflictError):
        world.checkpoints.save_checkpoint(CLAIM, checkpoint([0]))
    assert world.script.calls.count("versions.put") == 3
    assert KEY not in world.objects.bodies


def test_a_late_owner_saves_nothing() -> None:
    world = World()
    world.store(checkpoint([0, 1]), version=3, fence=CLAIM.fence + 1)
    before = dict(world.objects.bodies)
    with pytest.raises(LeaseLostError):
        world.checkpoints.save_checkpoint(CLAIM, checkpoint([0]))
    assert world.script.calls == ["versions.put"]
    assert world.objects.bodies == before


@pytest.mark.parametrize("error", [StorageUnavailableError("down"), StorageFullError("full")])
@pytest.mark.parametrize("name", ["versions.put", "objects.put"])
def test_a_storage_error_is_raised(name: str, error: SeedwrightError) -> None:
    """S6.3: a job that can't be saved stops paying."""
    world = World()
    world.script.fail(name, error)
    with pytest.raises(type(error)):
        world.checkpoints.save_checkpoint(CLAIM, checkpoint([0]))
    assert KEY not in world.objects.bodies


@pytest.mark.parametrize("name", ["versions.get", "objects.get"])
def test_a_store_that_is_down_is_not_an_empty_one(name: str) -> None:
    """Else everything would be generated, and paid for, again."""
    world = World()
    world.store(checkpoint([0]), version=1)
    world.script.fail(name, StorageUnavailableError("down"))
    with pytest.raises(StorageUnavailableError):
        world.checkpoints.load_checkpoint(CLAIM)


def test_each_shard_has_its_own() -> None:
    world = World()
    world.checkpoints.save_checkpoint(CLAIM, checkpoint([0]))
    world.checkpoints.save_checkpoint(SHARD, checkpoint([0, 1]))
    assert set(world.versions.stored) == {"j", "j#3"}
    assert world.stored("jobs/j/checkpoints/shard-0003.json").records_generated == 2
    assert world.checkpoints.load_checkpoint(CLAIM).records_generated == 1
    assert world.checkpoints.load_checkpoint(SHARD).records_generated == 2

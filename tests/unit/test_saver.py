"""When a worker saves, how often it tries, and how much it may pay for meanwhile (S6.4)."""

import orjson
import pytest

from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.checkpoint import Partial
from runtime.domain.jobs.record import UNKNOWN_KIND, kind_of
from runtime.worker.flush_times import MAX_FLUSH_ATTEMPTS
from tests.fixtures.clock import START
from tests.fixtures.saver_world import (
    DOWN,
    FLUSH_SECONDS,
    INTERVAL,
    RECORDS,
    World,
    failure,
)


def test_nothing_is_due_before_a_record_is_finished() -> None:
    world = World()

    assert world.saver.seconds_to_flush() is None
    world.flush()

    assert not world.objects.bodies


def test_a_batch_is_due_when_it_is_full_or_old() -> None:
    world = World()
    world.finish(0)
    world.clock.advance(10)

    assert world.saver.seconds_to_flush() == FLUSH_SECONDS - 10
    world.finish(*range(1, INTERVAL - 1))
    assert world.saver.seconds_to_flush() == FLUSH_SECONDS - 10
    world.finish(INTERVAL - 1)
    assert world.saver.seconds_to_flush() == 0

    world.flush()
    world.finish(INTERVAL)
    assert world.saver.seconds_to_flush() == FLUSH_SECONDS


def test_a_store_that_is_down_is_asked_again_after_1_2_4_and_8_seconds() -> None:
    world = World()
    world.finish(*range(INTERVAL))

    for pause in (1, 2, 4, 8):
        world.fail_to_flush()
        assert world.saver.seconds_to_flush() == pause
        world.clock.advance(pause)
        assert world.saver.seconds_to_flush() == 0
    with pytest.raises(StorageUnavailableError):
        world.fail_to_flush()

    assert MAX_FLUSH_ATTEMPTS == 5
    assert world.script.calls.count("objects.put") == MAX_FLUSH_ATTEMPTS


def test_the_last_time_the_error_is_told_at_once() -> None:
    world = World()
    world.finish(0)
    world.script.fail("objects.put", DOWN)

    with pytest.raises(StorageUnavailableError):
        world.flush(last=True)


def test_while_a_batch_can_not_be_saved_one_more_may_be_paid_for() -> None:
    """S6.4."""
    world = World()
    world.finish(*range(INTERVAL))
    assert world.saver.room == RECORDS

    world.fail_to_flush()

    assert world.saver.room == INTERVAL
    world.finish(*range(INTERVAL, 2 * INTERVAL - 1))
    assert world.saver.room == 1
    world.finish(2 * INTERVAL - 1)
    assert world.saver.room == 0
    world.finish(2 * INTERVAL)  # was in flight
    assert world.saver.room == 0
    world.flush()
    assert world.saver.room == RECORDS
    world.finish(2 * INTERVAL + 1)
    world.fail_to_flush()
    assert world.saver.seconds_to_flush() == 1, "the pauses begin anew"


def test_each_cost_is_recorded_once() -> None:
    world = World()
    for index in range(2):
        world.guard.reserve(index, 100)
        world.guard.settle(index, 40)
        world.finish(index)
        world.flush()
    world.flush(last=True)

    assert sorted(world.costs.entries.values()) == [(40, 2), (40, 2)]


def test_what_a_killed_process_had_in_its_journal_is_taken_over() -> None:
    world = World()
    world.finish(0)
    world.saver.failure(failure(3), tokens=7)
    partial = Partial(steps={"review": {"output": "Fine."}}, invalid=None)
    world.saver.paid(4, partial, tokens=5)

    saver = world.successor()
    saver.recover()

    assert [index for index in range(RECORDS) if index in saver.finished] == [0, 3]
    assert saver.partials == {4: partial}
    progress = saver.progress
    assert (progress.records_generated, progress.failed_records) == (1, 1)
    assert (progress.failures_by_kind, progress.tokens_used) == ({"rejected": 1}, 14)


def test_what_a_batch_holds_or_the_job_has_not_is_not_taken_from_a_journal_again() -> None:
    """A process that was killed between the batch and the reset of the journal."""
    world = World()
    world.finish(0)
    assert world.journal is not None
    lines = world.journal.lines
    world.flush()
    world.journal.lines = [*lines, orjson.dumps({**orjson.loads(lines[0]), "index": RECORDS})]

    saver = world.successor()
    saver.recover()

    progress = saver.progress
    assert (progress.records_generated, progress.tokens_used) == (1, 2)
    assert saver.seconds_to_flush() is None


def test_a_journal_is_emptied_once_a_checkpoint_is_behind_it() -> None:
    world = World()
    assert world.journal is not None
    world.finish(*range(INTERVAL))
    world.fail_to_flush()
    assert len(world.journal.lines) == INTERVAL

    world.flush()

    assert world.journal.lines == []


def test_a_failure_counts_once_and_with_its_kind() -> None:
    world = World()

    world.saver.failure(failure(3), tokens=7)
    world.saver.failure(failure(3), tokens=0)

    progress = world.saver.progress
    assert (progress.failed_records, progress.records_generated) == (1, 0)
    assert (progress.failures_by_kind, progress.tokens_used) == ({"rejected": 1}, 7)


def test_a_job_began_when_its_first_worker_did() -> None:
    world = World()
    assert world.saver.recover().started_at == START
    world.finish(0)
    world.flush()
    world.clock.advance(3600)

    assert world.successor().recover().started_at == START


@pytest.mark.parametrize("kind", [None, "", 5, ["rejected"]])
def test_a_failure_of_no_kind_counts_all_the_same(kind: object) -> None:
    assert kind_of(orjson.dumps({"index": 1, "kind": kind})) == UNKNOWN_KIND

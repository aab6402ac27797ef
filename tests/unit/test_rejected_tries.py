"""Tries that a check has rejected: each is kept and counts once, whatever dies in between, and its
index goes on with the next one (N22).
"""

from dataclasses import replace

import orjson
import pytest

from runtime.contract.keys import REJECTED_PARTS, RETRIES
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.checks.totals import CheckTotals
from runtime.domain.jobs.checkpoint import Checkpoint, Partial, merge
from runtime.domain.jobs.record import Failure, failed_try_of
from runtime.export.batches import Batches
from runtime.worker.saver import Saver
from tests.fixtures.saver_world import World, failure, record

CANDIDATES = 100


def world(*, journal: bool = False) -> World:
    made = World(acceptance=Acceptance(attempts=2, max_candidates=CANDIDATES))
    if not journal:
        made.journal = None
        made.saver = made.successor()
    made.saver.recover()
    return made


def reject(saver: Saver, index: int, attempt: int, by: str = "short") -> None:
    tried = replace(record(index), attempt=attempt, verdicts={by: {"passed": False}})
    saver.reject(replace(tried, rejected_by=by), tokens=3)


def flush(saver: Saver, end: int, *, last: bool = True) -> None:
    """With what is unfinished below `end`, as the loop says."""

    def unfinished() -> tuple[int, dict[int, Partial | None]]:
        return end, {
            index: saver.partials.get(index) for index in range(end) if index not in saver.finished
        }

    saver.flush(unfinished, last=last)


def go_on(world: World) -> Saver:
    world.saver = world.successor()
    world.saver.recover()
    return world.saver


def tries_in(world: World) -> list[tuple[int, int]]:
    """Index and try of every stored line of rejected tries."""
    parts = Batches(world.objects, REJECTED_PARTS).load_all_batches("j")
    lines = [orjson.loads(line) for part in parts for line in part.lines]
    return [(line["index"], line["try"]) for line in lines]


def finished(saver: Saver) -> list[int]:
    return [index for index in range(CANDIDATES) if index in saver.finished]


def test_an_index_ends_once_as_record_rejected_or_failed() -> None:
    saver = world().saver
    reject(saver, 0, 0)
    saver.record(record(0), tokens=2)
    reject(saver, 1, 0)
    assert 1 not in saver.finished
    reject(saver, 1, 1, by="good")
    reject(saver, 2, 0)
    saver.failure(failure(2), tokens=2)

    assert finished(saver) == [0, 1, 2]
    progress = saver.progress
    assert (progress.records_generated, progress.failed_records) == (1, 1)
    assert progress.checks == CheckTotals(tries=6, rejected=1, rejected_by={"short": 3, "good": 1})
    # However often it is said.
    reject(saver, 1, 1)
    saver.record(record(1), tokens=0)
    assert replace(saver.progress, tokens_used=0) == replace(progress, tokens_used=0)


def test_a_job_without_checks_counts_none() -> None:
    made = World()
    made.saver.recover()
    made.finish(0)
    assert made.saver.progress.checks == CheckTotals()


POINTS = (
    "after_failures_put",
    "after_rejected_put",
    "before_batch_put",
    "after_batch_put",
    "after_checkpoint",
)


class DiedError(BaseException):
    """A machine without power."""


@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_whoever_goes_on_knows_every_try_that_is_stored(point: str, *, journal: bool) -> None:
    """With a journal every one there was."""
    made = world(journal=journal)
    reject(made.saver, 0, 0)
    flush(made.saver, 4)
    saver = made.saver
    reject(saver, 0, 1)  # the last of its index
    reject(saver, 1, 0)  # its next try follows
    reject(saver, 2, 0)
    saver.record(record(2), tokens=2)  # which passes
    saver.failure(failure(3), tokens=2)
    before = saver.progress

    def die(name: str) -> None:
        if name == point:
            raise DiedError

    made.crash_point = die
    with pytest.raises(DiedError):
        flush(saver, 4)
    made.crash_point = lambda _name: None
    saver = go_on(made)

    stored = tries_in(made)
    assert len(set(stored)) == len(stored)
    if journal:
        # Tokens of what is stored beyond the checkpoint were never counted again.
        assert replace(saver.progress, tokens_used=0) == replace(before, tokens_used=0)
        assert finished(saver) == [0, 2, 3]
        assert saver.partials == {1: Partial(steps={}, attempt=1)}
    else:
        assert saver.progress.checks.rejected_by == {"short": len(stored)}
        known = {index: attempt + 1 for index, attempt in sorted(stored)}
        assert {index: each.attempt for index, each in saver.partials.items()} == {
            index: attempt for index, attempt in known.items() if index not in saver.finished
        }
        assert (0 in saver.finished) == (known[0] == 2)
    # Whatever was lost is done again, and nothing counts twice.
    for index, attempt in ((0, 1), (1, 0), (2, 0)):
        reject(saver, index, attempt)
    saver.record(record(2), tokens=0)
    saver.failure(failure(3), tokens=0)
    flush(saver, 4)
    again = go_on(made)
    assert replace(again.progress, tokens_used=0) == replace(before, tokens_used=0)
    assert sorted(tries_in(made)) == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert again.partials == {1: Partial(steps={}, attempt=1)}


def test_a_try_that_was_rejected_is_remembered_by_the_checkpoint_alone() -> None:
    """The next one has nothing paid yet."""
    made = world()
    reject(made.saver, 5, 0)
    flush(made.saver, 6)
    saver = go_on(made)
    assert saver.partials == {5: Partial(steps={}, attempt=1)}
    reject(saver, 5, 0)
    assert saver.progress.checks.tries == 1
    reject(saver, 5, 1)
    assert 5 in saver.finished


def test_what_was_paid_for_a_rejected_try_is_not_gone_on_from() -> None:
    made = world(journal=True)
    made.saver.paid(4, Partial(steps={"one": {"output": "x"}}), tokens=5)
    reject(made.saver, 4, 0)
    saver = go_on(made)
    assert saver.partials == {4: Partial(steps={}, attempt=1)}
    later = Partial(steps={"one": {"output": "y"}}, attempt=1)
    saver.paid(4, later, tokens=5)
    saver = go_on(made)
    assert saver.partials == {4: later}
    assert saver.progress.tokens_used == 13


def test_a_journal_that_outlived_its_checkpoint_counts_nothing_again() -> None:
    made = world(journal=True)
    reject(made.saver, 0, 0)
    reject(made.saver, 1, 0)
    reject(made.saver, 1, 1)
    assert made.journal is not None
    lines, before = list(made.journal.lines), made.saver.progress
    flush(made.saver, 2)
    made.journal.lines = lines
    saver = go_on(made)
    assert saver.progress == before
    assert saver.seconds_to_flush() is None


def test_a_part_of_an_earlier_owner_under_our_number_is_adopted() -> None:
    """It had paid for the last try of index 1, and for one of 2 that we have made, too."""
    made = world()
    late = made.saver
    reject(late, 1, 0)
    reject(late, 1, 1)
    reject(late, 2, 0)
    saver = go_on(made)
    late._rejected.save()
    reject(saver, 2, 0)
    reject(saver, 3, 0)
    flush(saver, 4)

    assert saver.progress.checks == CheckTotals(tries=4, rejected=1, rejected_by={"short": 4})
    assert finished(saver) == [1]
    again = go_on(made)
    assert again.progress.checks == saver.progress.checks
    assert {index: each.attempt for index, each in again.partials.items()} == {2: 1, 3: 1}


def test_a_record_beats_that_all_tries_were_rejected() -> None:
    """Two owners, of whom one had another answer: what is stored is a record."""
    made = world()
    late = made.saver
    late.record(record(1), tokens=2)
    saver = go_on(made)
    reject(saver, 1, 0)
    reject(saver, 1, 1)
    saver._rejected.save()
    late._records.save()
    again = go_on(made)
    assert (again.progress.records_generated, again.progress.checks.rejected) == (1, 0)
    assert again.progress.checks.tries == 3


def test_a_lost_checkpoint_is_rebuilt_from_lines() -> None:
    made = world()
    for index in range(4):
        reject(made.saver, index, 0)
    reject(made.saver, 0, 1)
    made.saver.record(record(1), tokens=2)
    made.saver.failure(failure(2), tokens=2)
    flush(made.saver, 4)
    before = made.saver.progress
    key = next(key for key in made.objects.bodies if "checkpoint" in key)
    made.objects.bodies[key] = b"{"
    saver = go_on(made)
    assert saver.progress.checks == before.checks
    assert finished(saver) == [0, 1, 2]
    assert saver.partials == {3: Partial(steps={}, attempt=1)}


@pytest.mark.parametrize(
    "line", [b"{}", b'{"index": 1}', b'{"index": 1, "try": -1}', b'{"index": 1, "try": true}']
)
def test_a_damaged_line_says_nothing(line: bytes) -> None:
    made = world()
    reject(made.saver, 0, 0)
    flush(made.saver, 2)
    parts = Batches(made.objects, REJECTED_PARTS)
    assert parts.save_batch("j", 2, [line, b'{"index": 7, "try": 0}']) is None
    saver = go_on(made)
    assert saver.progress.checks.rejected_by == {"short": 1, "unknown": 1}


def test_a_failure_that_is_tried_again_goes_on_behind_its_rejected_try() -> None:
    made = world()
    reject(made.saver, 3, 0)
    made.saver.failure(failure(3), tokens=2)
    flush(made.saver, 4)
    Batches(made.objects, RETRIES).save_batch("j", 1, [b'{"index": 0}'])
    saver = go_on(made)
    assert saver.postponed == {3}
    assert saver.partials == {3: Partial(steps={}, attempt=1)}
    assert saver.progress.checks.tries == 2
    saver.record(record(3), tokens=2)
    assert saver.progress.checks.tries == 2


def test_a_failure_of_the_service_keeps_the_try_it_was_at() -> None:
    made = world()
    reject(made.saver, 3, 0)
    unavailable: Failure = replace(failure(3), kind="unavailable")
    made.saver.failure(unavailable, tokens=2)
    flush(made.saver, 4)
    saver = go_on(made)
    assert saver.postponed == {3}
    assert saver.partials == {3: Partial(steps={}, attempt=1)}


def test_rejected_tries_are_due_as_records_are() -> None:
    made = world()
    assert made.saver.seconds_to_flush() is None
    for index in range(5):
        reject(made.saver, index, 0)
    assert made.saver.seconds_to_flush() == 0


def test_the_counters_of_two_checkpoints_are_those_of_the_one_that_is_ahead() -> None:
    """With as many records, the one that has tried more."""
    less = Checkpoint(job_id="j", records_generated=3, checks=CheckTotals(tries=5), next_index=4)
    more = replace(less, checks=CheckTotals(tries=9), current_rejected=4, next_index=8)
    for merged in (merge(less, more), merge(more, less)):
        assert merged.checks.tries == 9
        assert merged.current_rejected == 4
    early, late = Partial(steps={"one": {}}), Partial(steps={}, attempt=1)
    for ours, stored in ((early, late), (late, early)):
        merged = merge(replace(less, partials={2: ours}), replace(more, partials={2: stored}))
        assert merged.partials == {2: late}


def test_what_was_rejected_since_it_failed_is_not_given_back() -> None:
    made = world()
    made.saver.failure(replace(failure(3), kind="unavailable"), tokens=2)
    flush(made.saver, 4)
    for attempt in (0, 1):
        reject(made.saver, 3, attempt)
    flush(made.saver, 4)
    Batches(made.objects, RETRIES).save_batch("j", 1, [b'{"index": 0}'])
    saver = go_on(made)
    assert (saver.progress.failed_records, saver.progress.checks.rejected) == (0, 1)
    assert saver.postponed == set()


def test_of_what_is_finished_no_tries_are_kept() -> None:
    saver = world().saver
    for index in range(3):
        reject(saver, index, 0)
    saver.record(record(0), tokens=2)
    reject(saver, 1, 1)
    assert saver.outcomes.tried() == [2]


def unavailable(index: int, attempt: int) -> Failure:
    return replace(failure(index), kind="unavailable", attempt=attempt)


def test_a_line_says_which_try_has_failed_where_there_are_several() -> None:
    assert b'"try"' not in failure(3).line()
    assert orjson.loads(unavailable(3, 1).line())["try"] == 1
    assert failed_try_of(unavailable(3, 1).line()) == ("unavailable", 1)
    for line in (b'{"kind": "x"}', b'{"kind": "x", "try": true}', b'{"kind": "x", "try": -1}'):
        assert failed_try_of(line) == ("x", None)


@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("flushed", [False, True])
def test_a_try_that_was_rejected_since_it_failed_is_one_try(
    *, journal: bool, flushed: bool
) -> None:
    made = world(journal=journal)
    reject(made.saver, 3, 0)
    made.saver.failure(unavailable(3, 1), tokens=2)
    made.saver.failure(unavailable(4, 0), tokens=2)
    assert made.saver.progress.checks.tries == 3
    if flushed:
        flush(made.saver, 5)
        go_on(made)
    saver = made.saver
    assert saver.postponed == {3, 4}
    reject(saver, 4, 0)
    assert saver.postponed == {3}
    assert (saver.progress.failed_records, saver.progress.checks.tries) == (1, 3)
    if flushed or not journal:
        flush(saver, 5)
    again = go_on(made)
    assert again.postponed == {3}
    assert again.progress.failures_by_kind == {"unavailable": 1}
    assert again.progress.checks.tries == 3
    assert {index: each.attempt for index, each in again.partials.items()} == {3: 1, 4: 1}


def test_of_a_failed_try_that_is_stored_those_before_it_are() -> None:
    made = world()
    reject(made.saver, 3, 0)
    made.saver.failure(unavailable(3, 1), tokens=2)

    def die(_name: str) -> None:
        raise DiedError

    made.crash_point = die
    with pytest.raises(DiedError):
        flush(made.saver, 4)
    made.crash_point = lambda _name: None
    saver = go_on(made)
    assert saver.partials == {3: Partial(steps={}, attempt=1)}
    assert saver.postponed == set()


def test_a_failure_of_a_try_that_an_earlier_owner_had_rejected_does_not_count() -> None:
    made = world()
    late = made.saver
    reject(late, 1, 0)
    saver = go_on(made)
    late._rejected.save()
    reject(saver, 2, 0)
    flush(saver, 3)  # adopts that part
    assert not saver.failure(replace(failure(1), attempt=0), tokens=2)
    assert 1 not in saver.finished
    assert saver.partials[1] == Partial(steps={}, attempt=1)
    assert saver.progress.failed_records == 0


def test_a_failure_that_does_not_say_its_try_is_of_the_present_one() -> None:
    """As lines were before they said it."""
    made = world()
    reject(made.saver, 3, 0)
    made.saver.failure(replace(failure(3), kind="unavailable"), tokens=2)
    assert made.saver.progress.checks.tries == 2
    reject(made.saver, 3, 1)
    assert made.saver.progress.checks == CheckTotals(tries=2, rejected=1, rejected_by={"short": 2})

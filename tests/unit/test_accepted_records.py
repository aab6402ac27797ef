"""N means N good ones: how many indices a worker opens, and when it has enough or gives up
(N21).
"""

from collections import Counter

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.checks.acceptance import OnExhausted
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.retry import RULES
from tests.fixtures.checked_world import (
    CheckedWorld,
    DiedError,
    checked_template,
    first_passing,
)


def test_n_means_n_good_ones() -> None:
    world = CheckedWorld(200)
    assert world.work() is ExitCode.DONE

    job = world.job
    assert job.status is JobStatus.COMPLETED
    assert world.dataset() == first_passing(world, 200)
    progress = job.progress
    assert job.accepted == 200
    assert progress.records_generated == len(set(world.records()))
    assert progress.checks.tries == sum(world.calls.values())
    assert progress.checks.rejected_by == {"kept": len(world.rejected())}
    both = [index for index, attempt in world.rejected() if attempt == 1]
    assert progress.checks.rejected == len(both)
    assert set(world.calls.values()) == {1}


def test_not_many_more_are_tried_than_it_takes() -> None:
    world = CheckedWorld(200)
    world.work(concurrency=32)
    needed = first_passing(world, 200)[-1] + 1
    tried = {index for index, _ in world.calls}
    assert len(tried) <= needed + 12


def test_every_index_that_was_opened_is_brought_to_its_end() -> None:
    """Also by another worker: else the lowest ones would depend on which ended first."""
    world = CheckedWorld(50)
    worker = world.worker(concurrency=16)
    calls = 0

    def stop(_index: int) -> str:
        nonlocal calls
        calls += 1
        if calls == 90:
            worker.request_shutdown()
        return ""

    world.said = stop
    assert worker.run() is ExitCode.INTERRUPTED
    world.said = str
    assert world.work() is ExitCode.DONE
    assert world.dataset() == first_passing(world, 50)
    assert set(world.calls.values()) == {1}


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_the_records_are_the_lowest_that_pass(rate: float, attempts: int) -> None:
    world = CheckedWorld(30, rate=rate, attempts=attempts, max_candidates=2000)
    assert world.work() is ExitCode.DONE
    assert world.dataset() == first_passing(world, 30, attempts=attempts)
    assert all(count == 1 for count in world.calls.values())


@pytest.mark.parametrize("candidates", [10, 11, 25, 40])
@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_tries_are_used_up_exactly(candidates: int, attempts: int) -> None:
    world = CheckedWorld(10, rate=0.15, attempts=attempts, max_candidates=candidates)
    assert world.work() is ExitCode.DONE
    tries = sum(world.calls.values())
    job = world.job
    assert job.progress.checks.tries == tries
    if job.accepted < 10:
        assert tries == candidates
    else:
        assert tries <= candidates
    assert job.status is JobStatus.COMPLETED


def test_as_many_tries_as_records_are_enough_where_all_pass() -> None:
    world = CheckedWorld(10, rate=1.0, max_candidates=10, attempts=3)
    assert world.work() is ExitCode.DONE
    assert (world.dataset(), world.job.status) == (list(range(10)), JobStatus.COMPLETED)


def test_an_index_without_tries_waits_until_others_leave_it_one() -> None:
    """Of four tries the first index may take three, so that one is left for the second."""
    world = CheckedWorld(2, max_candidates=4, attempts=3)
    world.passes = lambda index, attempt: (index, attempt) in {(0, 0), (1, 1), (2, 0)}
    assert world.work() is ExitCode.DONE
    assert world.dataset() == [0, 1]


def test_used_up_tries_fail_the_job_where_that_was_asked_for() -> None:
    world = CheckedWorld(10, rate=0.15, max_candidates=25, on_exhausted=OnExhausted.FAIL)
    assert world.work() is ExitCode.JOB_FAILED
    job = world.job
    assert (job.status, job.error_code) == (JobStatus.FAILED, "candidates_exhausted")
    assert sum(world.calls.values()) == 25


def test_two_hundred_tries_without_a_record_end_the_job() -> None:
    world = CheckedWorld(100, rate=0.0)
    assert world.work() is ExitCode.JOB_FAILED
    job = world.job
    assert (job.status, job.error_code) == (JobStatus.FAILED, "none_accepted")
    assert "kept 100 %" in (job.error_message or "")
    assert 200 <= sum(world.calls.values()) <= 216
    # Counted anew by whoever goes on.
    world.go_on()
    assert world.work() is ExitCode.JOB_FAILED
    assert 400 <= sum(world.calls.values()) <= 432
    assert set(world.calls.values()) == {1}


def test_one_record_is_enough_not_to_give_up() -> None:
    world = CheckedWorld(2, rate=0.0, max_candidates=600)
    world.passes = lambda index, _attempt: index in {3, 290}
    assert world.work() is ExitCode.DONE
    assert world.dataset() == [3, 290]


def test_a_shard_gives_up_as_well() -> None:
    world = CheckedWorld(400, rate=0.0, shards=2)
    world.work()
    job = world.job
    assert (job.status, job.error_code) == (JobStatus.FAILED, "none_accepted")


def test_a_failure_ends_its_index_and_another_makes_up_for_it() -> None:
    world = CheckedWorld(20, rate=0.5)
    rejected = ModelError(ModelErrorKind.REJECTED, "no")
    world.fate = lambda index, attempt: rejected if index % 5 == 0 and attempt == 0 else None
    assert world.work() is ExitCode.DONE
    assert len(world.dataset()) == 20
    assert all(index % 5 for index in world.dataset())
    assert world.job.progress.failed_records == len(set(world.failures()))
    assert all(attempt == 0 for index, attempt in world.calls if index % 5 == 0)


def test_what_the_service_failed_is_tried_once_more_before_others_make_up_for_it() -> None:
    world = CheckedWorld(20, rate=1.0, max_candidates=200)
    failing, seen = ModelError(ModelErrorKind.MODEL_FAILED, "down"), Counter[int]()
    attempts = RULES[ModelErrorKind.MODEL_FAILED].max_attempts or 0

    def fate(index: int, _attempt: int) -> ModelError | None:
        seen[index] += 1
        return failing if index in set(range(4, 10)) and seen[index] <= attempts else None

    world.fate = fate
    assert world.work(concurrency=4) is ExitCode.DONE
    assert world.dataset() == list(range(20))
    assert world.job.progress.failed_records == 0
    assert {index for index, _ in world.calls} == set(range(20))


def test_what_the_service_failed_is_tried_once_more_though_others_have_made_up_for_it() -> None:
    """Half of the tries pass, so that more were opened than it took."""
    world = CheckedWorld(20, attempts=1, max_candidates=200)
    failing, seen = ModelError(ModelErrorKind.MODEL_FAILED, "down"), Counter[int]()
    attempts = RULES[ModelErrorKind.MODEL_FAILED].max_attempts or 0

    def fate(index: int, _attempt: int) -> ModelError | None:
        seen[index] += 1
        return failing if index < 2 and seen[index] <= attempts else None

    world.fate = fate
    assert world.work(concurrency=32) is ExitCode.DONE
    assert world.dataset() == first_passing(world, 20, attempts=1)
    assert world.job.progress.failed_records == 0


def test_a_try_that_the_service_failed_counts_once() -> None:
    """With as many tries as records each has one, made twice where the service failed it."""
    world = CheckedWorld(20, rate=1.0, max_candidates=20)
    failing = ModelError(ModelErrorKind.MODEL_FAILED, "down")
    world.fate = lambda index, _: failing if index == 4 and len(world.calls) < 19 else None
    assert world.work() is ExitCode.DONE
    assert world.dataset() == list(range(20))


def test_others_make_up_for_what_the_service_fails_for_good() -> None:
    world = CheckedWorld(20, rate=1.0, max_candidates=200)
    failing = ModelError(ModelErrorKind.MODEL_FAILED, "down")
    world.fate = lambda index, _attempt: failing if index in {4, 5, 6, 7} else None
    assert world.work() is ExitCode.DONE
    assert world.dataset() == [0, 1, 2, 3, *range(8, 24)]
    assert world.job.progress.service_failures == 4


def test_a_job_of_before_grows_without_a_call_for_what_it_has() -> None:
    world = CheckedWorld(100, rate=1.0, max_candidates=1000)
    world.work()
    assert sum(world.calls.values()) == 100
    world.jobs.set_num_records("j", 120)
    world.go_on()
    assert world.work() is ExitCode.DONE
    assert world.dataset() == list(range(120))
    assert sum(world.calls.values()) == 120


REPEATS = checked_template({"id": "fresh", "unique": {"by": "steps.one.output"}})


def test_repeats_are_made_up_for() -> None:
    """Every other record says what one before it said."""
    world = CheckedWorld(60, rate=0.7, template=REPEATS)
    world.said = lambda index: str(index - index % 2)
    assert world.work() is ExitCode.DONE
    job, dataset = world.job, world.dataset()
    assert len(dataset) == 60
    assert len({index // 2 for index in dataset}) == 60
    passing = [index for index in range(400) if any(world.passes(index, k) for k in (0, 1))]
    expected = [i for n, i in enumerate(passing) if n == 0 or passing[n - 1] // 2 != i // 2]
    assert dataset == expected[:60]
    assert job.selection is not None
    assert job.progress.checks.left_out == dict(job.selection.left_out)


def test_a_forecast_that_was_too_good_is_mended() -> None:
    """The first of two repeats to end decides the forecast; in the order of indices one more falls
    out: 1 repeats 0 by the first check, 2 repeats 1 by the second.
    """
    world = CheckedWorld(20, rate=1.0, template=REPEATS)
    world.said = lambda index: str(max(index, 12))
    assert world.work() is ExitCode.DONE
    assert world.dataset() == [0, *range(13, 32)]


BALANCED = checked_template(
    {"id": "even", "balance": {"by": "steps.one.output", "values": ["good a", "good b"]}}
)


def test_a_model_that_only_repeats_itself_uses_up_its_tries() -> None:
    world = CheckedWorld(20, rate=1.0, template=REPEATS, max_candidates=70)
    world.said = lambda index: str(index % 7)
    assert world.work() is ExitCode.DONE
    job = world.job
    assert (job.status, job.accepted, sum(world.calls.values())) == (JobStatus.COMPLETED, 7, 70)
    assert job.progress.checks.left_out == {"fresh": 63}


@pytest.mark.parametrize("journal", [False, True])
def test_four_kills_lose_little_and_repeat_nothing_that_is_kept(*, journal: bool) -> None:
    world = CheckedWorld(200, journal=journal)
    for nth, point in enumerate(
        ("after_rejected_put", "before_batch_put", "after_call", "between_checkpoint_writes")
    ):
        seen = 0

        def die(name: str, point: str = point, last: int = 3 + 20 * nth) -> None:
            nonlocal seen
            seen += name == point
            if seen == (last if point == "after_call" else 3):
                raise DiedError

        with pytest.raises(DiedError):
            world.work(die)
    assert world.work() is ExitCode.DONE
    assert world.dataset() == first_passing(world, 200)
    assert len(set(world.rejected())) == len(world.rejected())
    progress = world.job.progress
    assert progress.checks.rejected_by == {"kept": len(world.rejected())}
    assert progress.checks.tries <= 2000
    repeated = sum(world.calls.values()) - len(world.calls)
    # Answers that nobody had taken in; without a journal also what waited for its batch.
    assert repeated <= 4 * (8 if journal else 10 + 8)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_try_that_is_counted_is_made_again_though_an_index_before_it_has_none_left(
    concurrency: int,
) -> None:
    """The service failed 0 and 1, and others have used up what 0 would take after its first."""
    world = CheckedWorld(3, attempts=2, max_candidates=3)
    world.passes = lambda index, _: index == 1
    failing, down = ModelError(ModelErrorKind.MODEL_FAILED, "down"), True
    world.fate = lambda index, _: failing if index < 2 and down else None
    world.work(concurrency=1)
    assert world.failures() == [0, 0, 1, 1]
    assert world.job.progress.service_failures == 2
    assert world.job.progress.checks.tries == 3
    calls, down, world.most_open = world.calls.copy(), False, 0
    world.go_on()
    world.work(concurrency=concurrency)
    assert world.calls - calls == {(0, 0): 1, (1, 0): 1}
    assert world.most_open == concurrency
    assert (world.job.progress.failed_records, world.job.accepted) == (0, 1)
    assert world.job.progress.checks.tries == 3


def test_a_try_that_was_rejected_since_the_service_failed_it_counts_once() -> None:
    """It is the last of all tries, so that its index stays open: it has not failed any more."""
    world = CheckedWorld(3, attempts=2, max_candidates=3)
    world.passes = lambda index, _: index == 2
    failing, down = ModelError(ModelErrorKind.MODEL_FAILED, "down"), True
    world.fate = lambda index, attempt: failing if (index, attempt) == (0, 1) and down else None
    world.work(concurrency=1)
    assert world.job.progress.service_failures == 1
    assert world.failed_tries() == {(0, 1)}
    assert world.failure_list() == [0]
    down = False
    world.go_on()
    world.work(concurrency=1)
    progress = world.job.progress
    assert world.rejected().count((0, 1)) == 1
    assert (progress.failed_records, progress.failures_by_kind) == (0, {})
    assert progress.checks.tries == 3
    assert world.failure_list() == []

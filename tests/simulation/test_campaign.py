"""The quick setting of the fault campaign, and proof that it would see a broken promise."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from runtime.domain.jobs import shards
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.outage import MAX_PROBE_SECONDS
from runtime.domain.money import ledger as budget
from runtime.domain.money.accounts import Hold, Share
from runtime.engine import preparation
from runtime.worker import budget_guard, outcomes, prompts, recovery
from tests.fixtures import memory_ports
from tests.simulation.campaign import JOB_ID, SCHEMA_MODEL, Outcome, Schedule, run_schedule
from tests.simulation.checked import run_checked
from tests.simulation.process import Rates
from tests.simulation.truth import InvariantError

QUICK = range(150)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


MANY = range(3000)
"""More than a broken promise has ever taken to show."""


def violations() -> Iterator[str]:
    return (each for each in map(run_schedule, MANY) if isinstance(each, str))


def test_no_schedule_breaks_a_promise() -> None:
    """N1, N2, N3: nothing lost, nothing twice, the ledger between true spend and limit."""
    outcomes = [run_schedule(seed) for seed in QUICK]
    assert [each for each in outcomes if isinstance(each, str)] == []
    done = [each for each in outcomes if isinstance(each, Outcome)]
    assert sum(each.records for each in done) > 1000
    assert sum(each.processes for each in done) > 2 * len(done)


SHARDED = (*range(40), 344, 1515)
"""The last ones have an outage while a lease or the account is in doubt: to spin would not end."""


def test_no_schedule_of_a_sharded_job_breaks_a_promise() -> None:
    """N1, N2, N3 with several workers on one account; no shard is run again after it was done."""
    outcomes = [run_schedule(seed, shards=4) for seed in SHARDED]
    assert [each for each in outcomes if isinstance(each, str)] == []
    done = [each for each in outcomes if isinstance(each, Outcome)]
    assert sum(each.processes for each in done) > 5 * len(done)
    assert sum(each.status is JobStatus.COMPLETED for each in done) > len(done) // 2


def sharded_violations() -> Iterator[str]:
    found = (run_schedule(seed, shards=4) for seed in MANY)
    return (each for each in found if isinstance(each, str))


def test_a_shard_that_is_asked_again_for_ever_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the run that it has answered, a shard that failed would be queued for ever."""
    is_asked = shards._is_asked_again
    monkeypatch.setattr(
        shards,
        "_is_asked_again",
        lambda job, sharding, state: is_asked(job, sharding, replace(state, run=0)),
    )
    assert any("run again after it was done" in each for each in sharded_violations())


def test_a_job_that_ends_before_its_shards_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards.Verdict, "ended", True)
    assert next(sharded_violations(), None) is not None


def test_f12_the_first_call_of_a_schema_is_alone_whatever_fails() -> None:
    """N1, N2, N3 hold with it; every call of the simulated provider looks who else is out."""
    ends: Counter[JobStatus] = Counter()
    refused = 0
    for seed in range(24):
        schedule = Schedule(seed, model=SCHEMA_MODEL)
        schedule.rates = replace(schedule.rates, uncompiled=(seed % 3) * 0.2)
        ends[schedule.run().status] += 1
        steps = schedule.jobs.get_job(JOB_ID).progress.steps
        refused += any(each.schema_in_prompt for each in steps.values())
    assert ends[JobStatus.COMPLETED] > 10
    assert refused > 0


def skipping(seeds: range) -> Iterator[str]:
    """What goes wrong where records skip steps."""
    for seed in seeds:
        try:
            Schedule(seed, skips=True).run()
        except InvariantError as error:
            yield f"seed {seed}: {error}"


def test_no_schedule_breaks_a_promise_where_records_skip_steps() -> None:
    """N1, N2, N3 hold where a step, or a whole record, is not called, and with batches of seeds."""
    assert list(skipping(range(40))) == []


def test_a_step_that_counts_as_taken_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "truth_of", lambda _text, _part: True)
    assert any("was called" in each for each in skipping(range(40)))


@pytest.mark.parametrize("seconds", [12.0, 300.0])
def test_b1_an_outage_costs_the_calls_in_flight_and_one_call_a_probe(seconds: float) -> None:
    """N13: and no record, however long it lasts."""
    schedule = Schedule(1)
    schedule.rates, schedule.records, concurrency = Rates(), 400, 32
    schedule.settings = replace(schedule.settings, concurrency=concurrency)
    schedule.jobs.set_num_records(JOB_ID, schedule.records)
    schedule.jobs.set_status(JOB_ID, JobStatus.CANCELLED, fence=None)
    schedule.jobs.queue_again(JOB_ID, schedule.admission(), budget_limit="100")
    begin = schedule.scheduler.clock.monotonic() + 5
    schedule.truth.outages = [(begin, begin + seconds)]

    outcome = schedule.run()

    assert (outcome.status, outcome.failures) == (JobStatus.COMPLETED, 0)
    assert outcome.records >= 400
    growing = 6  # probes until the pause has its full length, of which it takes half at least
    probes = growing + seconds / (MAX_PROBE_SECONDS / 2)
    assert 5 < schedule.truth.refused_while_out <= concurrency + probes


def test_a_schedule_repeats_itself() -> None:
    assert run_schedule(7) == run_schedule(7)


def test_releasing_what_a_dead_worker_held_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8.6, N3: a hold whose calls may have been paid must be presumed spent."""

    def release(left_behind: Hold | None, *, fence: int) -> budget.HoldChange:
        return replace(budget.take_over(left_behind, fence=fence), spent_nano=0)

    monkeypatch.setattr(budget_guard, "take_over", release)
    assert any("above the ledger" in each for each in violations())


def test_ignoring_what_was_saved_after_the_checkpoint_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """N1: batches written after the last checkpoint have to be adopted."""
    monkeypatch.setattr(recovery.Recovery, "_adopt_records", lambda _self, _batch: None)
    assert next(violations(), None) is not None


def test_a_rest_that_is_returned_while_a_worker_holds_it_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """N16: an ended job's account goes on growing, and others have the money already."""

    def ended(share: Share, *, committed_nano: int) -> Share:
        del committed_nano
        return replace(share, reserved_nano=0)

    monkeypatch.setattr(memory_ports, "ended_share", ended)
    assert any("more than it has reserved" in each for each in violations())


def test_failures_of_the_service_that_are_final_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """N13: what an outage failed is given up, and the job is complete all the same."""
    monkeypatch.setattr(outcomes, "is_service_failure", lambda _kind: False)
    assert any("fault of the service" in each for each in violations())


def test_a_retry_that_forgets_its_mark_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.Recovery, "_give_back", lambda _self, _final: None)
    assert any("not tried again" in each for each in violations())


CHECKED = range(30)


def checked_violations(seeds: range = MANY, shards: int = 1) -> Iterator[str]:
    found = (run_checked(seed, shards=shards) for seed in seeds)
    return (each for each in found if isinstance(each, str))


def test_no_schedule_of_a_job_with_checks_breaks_a_promise() -> None:
    """N good records or a true reason, no try paid for twice, none beyond the most there may be."""
    assert list(checked_violations(CHECKED)) == []
    assert list(checked_violations(range(8), shards=4)) == []


def test_a_rejected_try_that_is_made_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "begin_next_try", lambda *_: None)
    assert next(checked_violations(), None) is not None


def test_rejected_tries_that_are_not_adopted_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.Recovery, "_adopt_rejected", lambda _self, _part: None)
    assert next(checked_violations(), None) is not None


def test_a_goal_that_leaves_what_it_opened_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset would depend on which records ended first."""
    monkeypatch.setattr(prompts.Prompts, "_end", 0)
    assert next(checked_violations(), None) is not None

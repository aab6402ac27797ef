"""The quick setting of the fault campaign, and proof that it would see a broken promise."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from runtime.domain.money import ledger as budget
from runtime.domain.ports import Hold
from runtime.worker import budget_guard, saver
from tests.simulation.campaign import Outcome, run_schedule

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
    monkeypatch.setattr(saver.Saver, "_adopt", lambda _self, _batch: [])
    assert next(violations(), None) is not None

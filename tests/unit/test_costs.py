"""The cost table: a second opinion beside the ledger, which never stands in its way."""

from dataclasses import replace
from decimal import Decimal

import pytest

from runtime.domain.errors import NotFoundError, SeedwrightError, StorageUnavailableError
from runtime.domain.ports import Claim
from runtime.worker.costs import Costs
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_ports import MemoryCosts, captured_logs

CLAIM = Claim(work_id="j", job_id="j", owner="me", fence=2, attempt=1)
DOWN = StorageUnavailableError("the table is down")


def costs_of(store: MemoryCosts, clock: ManualClock | None = None) -> Costs:
    return Costs(store, clock or ManualClock(), refresh_seconds=15)


def book(costs: Costs, claim: Claim = CLAIM, *, serial: int = 1, nano: int = 5) -> int:
    return costs.update_cost_tracking(claim, serial=serial, cost_nano=nano, tokens=3)


def test_cost_is_the_exact_sum_in_usd() -> None:
    store = MemoryCosts()
    costs = costs_of(store)
    book(costs, serial=1, nano=1_000_000_000)
    book(costs, serial=2, nano=1)
    book(costs, replace(CLAIM, job_id="another"), serial=3, nano=999)
    assert costs.calculate_current_cost("j") == Decimal("1.000000001")


@pytest.mark.parametrize("error", [DOWN, NotFoundError("no table")])
def test_a_table_that_can_not_be_read_counts_as_nothing(error: SeedwrightError) -> None:
    """S8.6: generation goes on, and the ledger enforces the limit."""
    store = MemoryCosts()
    costs = costs_of(store)
    book(costs)
    store.script.fail("costs.total", error)
    with captured_logs() as logs:
        cost = costs.calculate_current_cost("j")
    assert cost == 0.0
    assert logs == [("WARNING", "cost not read")]


def test_a_table_that_comes_back_is_read_again() -> None:
    store, clock = MemoryCosts(), ManualClock()
    costs = costs_of(store, clock)
    book(costs)
    store.script.fail("costs.total", DOWN)
    assert costs.calculate_current_cost("j") == 0
    clock.advance(15)
    assert costs.calculate_current_cost("j") == Decimal("0.000000005")


def test_the_table_is_asked_once_a_while_and_not_for_every_record() -> None:
    """S8.1: the check is made before each record."""
    store, clock = MemoryCosts(), ManualClock()
    costs = costs_of(store, clock)
    for _ in range(100):
        costs.calculate_current_cost("j")
    assert store.script.calls.count("costs.total") == 1
    store.entries["j", "somebody else's"] = (7, 1)
    clock.advance(14.9)
    assert costs.calculate_current_cost("j") == 0
    clock.advance(0.1)
    assert costs.calculate_current_cost("j") == Decimal("0.000000007")


def test_another_job_has_its_own_cost() -> None:
    store = MemoryCosts()
    costs = costs_of(store)
    book(costs)
    assert costs.calculate_current_cost("j") > 0
    assert costs.calculate_current_cost("another") == 0
    assert costs.calculate_current_cost("j") > 0


@pytest.mark.parametrize("reply_lost", [False, True])
def test_a_write_that_fails_is_logged_and_the_cost_returned(*, reply_lost: bool) -> None:
    """S7.5."""
    store = MemoryCosts()
    store.script.fail("costs.add", DOWN, reply_lost=reply_lost)
    with captured_logs() as logs:
        assert book(costs_of(store), nano=12) == 12
    assert logs == [("WARNING", "cost not recorded")]


def test_the_same_entry_counts_once() -> None:
    store = MemoryCosts()
    costs = costs_of(store)
    assert book(costs) == book(costs) == 5
    assert list(store.entries.values()) == [(5, 3)]


def test_entries_of_flushes_claims_and_shards_are_apart() -> None:
    """Fences are counted per work item, so two shards have the same ones."""
    store = MemoryCosts()
    costs = costs_of(store)
    claims = [CLAIM, replace(CLAIM, fence=3)]
    claims += [replace(CLAIM, work_id=f"j#{shard}", shard=shard) for shard in (0, 1)]
    for claim in claims:
        for serial in (1, 2):
            book(costs, claim, serial=serial)
    assert len(store.entries) == 8
    assert costs.calculate_current_cost("j") == Decimal(8 * 5).scaleb(-9)

"""The guard between a worker's calls and the account of its job."""

from collections.abc import Callable

import pytest

from runtime.contract.log_lines import COST_ABOVE_WORST_CASE
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.money.accounts import Account
from runtime.domain.ports import Claim
from runtime.worker.budget_guard import RETRY_SECONDS, BudgetGuard, Reservation
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_budgets import MemoryBudgets
from tests.fixtures.memory_ports import captured_logs

CLAIM = Claim(work_id="j", job_id="j", owner="me", fence=2, attempt=1)
LIMIT = 10_000
DOWN = StorageUnavailableError("the table is down")


class World:
    def __init__(self, *, limit: int = LIMIT, concurrency: int = 4) -> None:
        self.store, self.clock = MemoryBudgets(), ManualClock()
        self.guard = BudgetGuard(
            self.store, CLAIM, self.clock, limit_nano=limit, concurrency=concurrency
        )

    @property
    def account(self) -> Account:
        return self.store.get_account("j")

    @property
    def held(self) -> int:
        return self.account.holds["j"].nano


def test_the_first_call_is_covered_at_once() -> None:
    world = World()

    assert world.guard.reserve(1, 100) is Reservation.GRANTED

    assert world.held >= 100


@pytest.mark.parametrize(("concurrency", "slice_nano"), [(4, 400), (32, 400), (64, 800)])
def test_the_hold_grows_by_a_slice_that_many_calls_fit_into(
    concurrency: int, slice_nano: int
) -> None:
    """Four calls, or an eighth of what may be in flight."""
    world = World(concurrency=concurrency)

    world.guard.reserve(1, 100)

    assert world.held == slice_nano
    changes = len(world.store.script.calls)
    for call in range(2, slice_nano // 100 + 1):
        assert world.guard.reserve(call, 100) is Reservation.GRANTED
    assert len(world.store.script.calls) == changes, "nothing was written"


def test_near_the_limit_the_slice_shrinks_to_the_call() -> None:
    world = World(limit=250)

    assert world.guard.reserve(1, 100) is Reservation.GRANTED
    assert world.guard.reserve(2, 100) is Reservation.GRANTED
    assert world.guard.reserve(3, 100) is Reservation.EXHAUSTED

    assert world.held == 200
    world.guard.settle(1, 10)  # cheaper than at worst: there is room again
    assert world.guard.reserve(3, 100) is Reservation.GRANTED


def test_an_account_that_can_not_be_reached_is_asked_once_a_second() -> None:
    world = World()
    world.store.script.fail("budgets.change_hold", DOWN)

    with captured_logs() as logs:
        assert world.guard.reserve(1, 100) is Reservation.UNREACHABLE
    assert logs == [("WARNING", "budget not reachable")]
    asked = len(world.store.script.calls)
    world.clock.advance(RETRY_SECONDS - 0.001)
    assert world.guard.reserve(1, 100) is Reservation.UNREACHABLE
    assert len(world.store.script.calls) == asked
    world.clock.advance(0.001)

    assert RETRY_SECONDS == 1
    assert world.guard.reserve(1, 100) is Reservation.GRANTED


def settle_nothing(guard: BudgetGuard) -> None:
    guard.release(1)


def settle_in_part(guard: BudgetGuard) -> None:
    guard.settle(1, 30)


def presume(guard: BudgetGuard) -> None:
    assert guard.presume_spent(1) == 100


@pytest.mark.parametrize(
    ("end", "spent"), [(settle_nothing, 0), (settle_in_part, 30), (presume, 100)]
)
def test_what_a_call_came_to_is_booked_and_the_rest_kept(
    end: Callable[[BudgetGuard], object], spent: int
) -> None:
    world = World()
    world.guard.reserve(1, 100)
    world.guard.reserve(2, 100)
    end(world.guard)
    assert world.guard.spent_nano == spent
    assert world.account.spent_nano == 0

    world.guard.book()

    assert world.account.spent_nano == world.guard.spent_nano == spent
    assert world.held == 400 - spent


def test_a_close_gives_back_what_no_call_needs() -> None:
    """A call in flight counts at its worst case."""
    world = World()
    world.guard.reserve(1, 100)
    world.guard.reserve(2, 100)
    world.guard.settle(1, 30)

    world.guard.close()

    assert (world.account.spent_nano, world.held) == (130, 0)


class WatchedBudgets(MemoryBudgets):
    """Remembers which limits an account has had."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []

    def open_account(self, job_id: str, limit_nano: int) -> Account:
        self.limits.append(limit_nano)
        return super().open_account(job_id, limit_nano)


def test_a_bill_above_everything_is_booked_with_the_room_that_it_needs() -> None:
    store = WatchedBudgets()
    guard = BudgetGuard(store, CLAIM, ManualClock(), limit_nano=250, concurrency=4)
    guard.reserve(1, 100)
    guard.reserve(2, 100)
    with captured_logs() as logs:
        guard.settle(1, 400)
    assert logs == [("ERROR", COST_ABOVE_WORST_CASE)]

    guard.book()

    account = store.get_account("j")
    assert account.spent_nano == 400
    assert account.limit_nano == 250
    # The second call is covered still: 400 are owed besides its 100.
    assert store.limits == [250, 500, 250]
    assert guard.reserve(3, 1) is Reservation.EXHAUSTED

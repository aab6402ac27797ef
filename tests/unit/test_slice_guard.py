"""N3: the guard of a shard between its worker's calls, its slice and the account of its job."""

from collections.abc import Iterable, Mapping

import pytest

from runtime.domain.errors import LeaseLostError, StorageUnavailableError
from runtime.domain.jobs.job import work_id_of
from runtime.domain.money.accounts import Account, Hold, Slice
from runtime.domain.money.slices import next_growth, take_back, takings
from runtime.domain.ports import Claim
from runtime.worker.budget_guard import (
    RETRY_SECONDS,
    RETURN_SECONDS,
    SCARCE_SECONDS,
    BudgetGuard,
    Reservation,
)
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_budgets import MemoryBudgets

LIMIT = 80_000
SHARDS = 4
DOWN = StorageUnavailableError("the table is down")


class World:
    def __init__(self, *, limit: int = LIMIT) -> None:
        self.store, self.clock, self.limit = MemoryBudgets(), ManualClock(), limit

    def guard(self, shard: int, *, fence: int = 1, limit: int | None = None) -> BudgetGuard:
        claim = Claim(
            work_id=work_id_of("j", shard),
            job_id="j",
            owner="me",
            fence=fence,
            attempt=1,
            shard=shard,
        )
        return BudgetGuard(
            self.store,
            claim,
            self.clock,
            limit_nano=self.limit if limit is None else limit,
            concurrency=8,
            shards=SHARDS,
        )

    @property
    def account(self) -> Account:
        return self.store.get_account("j")

    def slice(self, shard: int) -> Slice:
        return self.store.get_slices("j", [shard])[work_id_of("j", shard)]

    def writes(self) -> int:
        return len([name for name in self.store.script.calls if name == "budgets.resize_slice"])


def test_the_first_slice_is_half_of_an_even_share() -> None:
    world = World()
    guard = world.guard(0)

    assert guard.reserve(1, 100) is Reservation.GRANTED

    assert world.slice(0).limit_nano == world.account.committed_nano == LIMIT // (2 * SHARDS)
    asked = world.writes()
    for call in range(2, 100):
        assert guard.reserve(call, 100) is Reservation.GRANTED
    assert world.writes() == asked, "the job's account was not written to"


@pytest.mark.parametrize(
    ("left", "growth"), [(80_000, 10_000), (8_000, 1_000), (7_999, 999), (800, 800), (500, 500)]
)
def test_slices_shrink_near_the_end_to_what_calls_in_flight_need(left: int, growth: int) -> None:
    assert next_growth(needed_nano=100, wanted_nano=800, left_nano=left, shards=4) == growth


def test_what_is_needed_is_taken_from_the_fullest() -> None:
    slices = {
        "a": Slice(limit_nano=30),
        "b": Slice(limit_nano=90, spent_nano=10, hold=Hold(fence=1, sequence=1, nano=30)),
        "c": Slice(limit_nano=9, spent_nano=9),
    }
    assert takings(slices, 20) == [("b", 20)]
    assert takings(slices, 60) == [("b", 50), ("a", 10)]
    assert takings(slices, None) == takings(slices, 1_000) == [("b", 50), ("a", 30)]


def test_what_others_have_free_is_taken_when_the_account_is_empty() -> None:
    world = World(limit=1_600)
    one, two = world.guard(0), world.guard(1)
    assert one.reserve(1, 100) is Reservation.GRANTED
    assert two.reserve(1, 100) is Reservation.GRANTED
    assert world.account.left_nano == 0

    third = world.guard(2)
    assert third.reserve(1, 100) is Reservation.GRANTED

    assert world.account.committed_nano == 1_600
    assert world.slice(2).hold is not None
    for shard in (0, 1):
        found = world.slice(shard)
        assert found.limit_nano >= found.committed_nano >= 100
    # Who was robbed finds it out, and goes on with what there is.
    world.clock.advance(SCARCE_SECONDS)
    for call in range(2, 6):
        assert one.reserve(call, 100) is Reservation.GRANTED


def exhausted(world: World) -> BudgetGuard:
    """A shard without a call, while another one holds all there is for its calls."""
    other = world.guard(0)
    for call in range(world.limit // 100):
        world.clock.advance(SCARCE_SECONDS)
        assert other.reserve(call, 100) is Reservation.GRANTED
    return other


def test_a_shard_waits_for_what_others_hold_and_then_stops() -> None:
    world = World(limit=800)
    exhausted(world)
    guard = world.guard(1)

    for seconds in RETURN_SECONDS:
        assert guard.reserve(1, 100) is Reservation.AWAITED
        asked = len(world.store.script.calls)
        world.clock.advance(seconds - 0.001)
        assert guard.reserve(1, 100) is Reservation.AWAITED
        assert len(world.store.script.calls) == asked
        world.clock.advance(0.001)
    assert guard.reserve(1, 100) is Reservation.EXHAUSTED
    assert sum(RETURN_SECONDS) == 60


def test_what_comes_back_meanwhile_ends_the_wait() -> None:
    world = World(limit=800)
    other = exhausted(world)
    guard = world.guard(1)
    assert guard.reserve(1, 100) is Reservation.AWAITED
    for call in range(8):
        other.settle(call, 10)
    other.close()

    world.clock.advance(RETURN_SECONDS[0])
    assert guard.reserve(1, 100) is Reservation.GRANTED

    assert world.slice(0).limit_nano == world.slice(0).spent_nano == 80


def test_a_shard_that_waits_gives_its_own_rest_to_the_others() -> None:
    world = World(limit=850)
    guard, other = world.guard(1), world.guard(0)
    assert guard.reserve(1, 50) is Reservation.GRANTED
    guard.release(1)
    for call in range(6):
        assert other.reserve(call, 100) is Reservation.GRANTED
        world.clock.advance(SCARCE_SECONDS)

    assert guard.reserve(2, 300) is Reservation.AWAITED

    assert world.slice(1).limit_nano == 0
    assert world.account.left_nano >= 200


def test_nobody_waits_where_nobody_holds_anything() -> None:
    world = World(limit=99)
    world.guard(0)
    assert world.guard(1).reserve(1, 100) is Reservation.EXHAUSTED


def test_own_calls_in_flight_make_room_before_anybody_is_asked_again() -> None:
    world = World(limit=300)
    guard = world.guard(0)
    for call in (1, 2, 3):
        assert guard.reserve(call, 100) is Reservation.GRANTED
        world.clock.advance(SCARCE_SECONDS)
    assert guard.reserve(4, 100) is Reservation.AWAITED
    asked = len(world.store.script.calls)
    assert guard.reserve(4, 100) is Reservation.AWAITED
    assert len(world.store.script.calls) == asked
    guard.settle(1, 0)
    assert guard.reserve(4, 100) is Reservation.GRANTED
    assert len(world.store.script.calls) == asked


def test_a_successor_goes_on_with_the_slice_and_books_the_hold() -> None:
    world = World()
    world.guard(0).reserve(1, 100)
    before = world.slice(0)
    assert before.hold is not None

    guard = world.guard(0, fence=2)

    assert guard.presumed_nano == guard.spent_nano == before.hold.nano == 400
    assert world.slice(0).limit_nano == before.limit_nano
    assert world.account.committed_nano == before.limit_nano


def test_a_late_owner_neither_spends_nor_takes() -> None:
    world = World()
    late = world.guard(0)
    world.guard(0, fence=2)
    before = world.slice(0)
    for nano in (100, LIMIT // 2):
        with pytest.raises(LeaseLostError):
            late.reserve(1, nano)
    assert world.slice(0) == before


def test_under_a_lowered_limit_a_successor_gives_back_what_is_free() -> None:
    world = World()
    world.guard(0).reserve(1, 100)

    guard = world.guard(0, fence=2, limit=300)

    assert world.slice(0).free_nano == 0
    assert world.account.committed_nano == 400
    assert guard.reserve(1, 100) is Reservation.EXHAUSTED


def test_the_error_names_what_the_whole_job_has_spent() -> None:
    world = World(limit=40 * 10**9)
    for shard in range(2):
        guard = world.guard(shard)
        guard.reserve(1, 10**9)
        guard.settle(1, 10**9)
        guard.book()
    assert "$2.00 spent" in str(guard.exceeded(next_nano=0))


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("name", ["budgets.resize_slice", "budgets.change_slice_hold"])
def test_a_store_that_can_not_be_reached_costs_nothing(name: str, *, reply_lost: bool) -> None:
    world = World()
    guard = world.guard(0)
    world.store.script.fail(name, DOWN, reply_lost=reply_lost)

    assert guard.reserve(1, 100) is Reservation.UNREACHABLE
    world.clock.advance(RETRY_SECONDS)
    assert guard.reserve(1, 100) is Reservation.GRANTED
    guard.settle(1, 70)
    guard.close()

    assert world.slice(0).spent_nano == world.account.committed_nano == 70


def test_a_bill_beyond_the_job_is_booked_and_nothing_more_begun() -> None:
    world = World(limit=100)
    guard = world.guard(0)
    guard.reserve(1, 100)
    guard.settle(1, 250)
    guard.close()
    assert world.slice(0).spent_nano == world.account.committed_nano == 250
    assert world.account.limit_nano == 100
    assert world.guard(1).reserve(1, 1) is Reservation.EXHAUSTED


class Slow(MemoryBudgets):
    """Another shard changes its slice between a look at it and what is done then."""

    def get_slices(self, job_id: str, shards: Iterable[int]) -> Mapping[str, Slice]:
        found = super().get_slices(job_id, shards)
        for work_id, each in found.items():
            self.resize_slice(job_id, work_id, expected=each, limit_nano=9_000)
        return found


def test_a_slice_that_changes_while_it_is_taken_back_is_left() -> None:
    store = Slow()
    store.open_account("j", LIMIT)
    store.resize_slice("j", "j#0", expected=None, limit_nano=10_000)
    assert take_back(store, "j", [0]).nano == 0
    assert store.get_account("j").committed_nano == 9_000

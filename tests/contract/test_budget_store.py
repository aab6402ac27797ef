"""What every `BudgetStore` promises: `spent + all holds <= limit` (requirement N3)."""

import random
from collections.abc import Callable

import pytest

from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    SeedwrightError,
    StorageBusyError,
)
from runtime.domain.money.accounts import Account, Hold
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage, new_job

LIMIT = 1_000
SHARDS = ("a#0", "a#1", "a#2")


def hold(nano: int, *, fence: int = 1, sequence: int = 1) -> Hold:
    return Hold(fence=fence, sequence=sequence, nano=nano)


def open_account(ports: Storage, clock: ManualClock, limit: int = LIMIT, job_id: str = "a") -> None:
    ports.jobs.create_job(new_job(job_id, clock, budget_limit="10"))
    ports.budgets.open_account(job_id, limit)


def change(
    ports: Storage, expected: Hold | None, new: Hold, *, spent: int = 0, work_id: str = "a#0"
) -> Account:
    return ports.budgets.change_hold("a", work_id, expected=expected, new=new, spent_nano=spent)


def test_a_new_account_is_empty(open_ports: OpenPorts, clock: ManualClock) -> None:
    open_account(open_ports(), clock)
    account = open_ports().budgets.get_account("a")
    assert account == Account(limit_nano=LIMIT, spent_nano=0, holds={})


def test_an_account_that_is_not_there(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock))
    with pytest.raises(NotFoundError):
        ports.budgets.get_account("a")
    with pytest.raises(NotFoundError):
        change(ports, None, hold(1))
    with pytest.raises(NotFoundError):
        change(ports, None, hold(0))


def test_the_account_leaves_the_job_alone(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    change(ports, None, hold(400), spent=100)
    assert ports.jobs.get_job("a") == new_job("a", clock, budget_limit="10")


def test_a_change_books_and_holds_at_once(open_ports: OpenPorts, clock: ManualClock) -> None:
    ports = open_ports()
    open_account(ports, clock)
    change(ports, None, hold(400))
    after = change(ports, hold(400), hold(250, sequence=2), spent=300)
    assert after == Account(limit_nano=LIMIT, spent_nano=300, holds={"a#0": hold(250, sequence=2)})
    assert after.committed_nano == 550
    assert open_ports().budgets.get_account("a") == after


def test_opening_again_sets_only_the_limit(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    change(ports, None, hold(400), spent=100)
    account = ports.budgets.open_account("a", 2_000)
    assert account == Account(limit_nano=2_000, spent_nano=100, holds={"a#0": hold(400)})
    assert ports.budgets.get_account("a") == account


def test_the_last_nano_dollar_may_be_held_and_not_one_more(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    change(ports, None, hold(600), spent=100)
    with pytest.raises(BudgetExceededError):
        change(ports, None, hold(301), work_id="a#1")
    assert ports.budgets.get_account("a").holds == {"a#0": hold(600)}
    change(ports, None, hold(300), work_id="a#1")
    with pytest.raises(BudgetExceededError):
        change(ports, hold(300), hold(301, sequence=2), work_id="a#1")
    with pytest.raises(BudgetExceededError):
        change(ports, hold(300), hold(300, sequence=2), spent=1, work_id="a#1")
    assert ports.budgets.get_account("a").committed_nano == LIMIT


def test_a_lower_limit_stops_growth_and_nothing_else(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    change(ports, None, hold(600), spent=100)
    ports.budgets.open_account("a", 50)
    with pytest.raises(BudgetExceededError):
        change(ports, hold(600), hold(601, sequence=2))
    with pytest.raises(BudgetExceededError):
        change(ports, None, hold(1), work_id="a#1")
    change(ports, None, hold(0), work_id="a#1")
    change(ports, hold(600), hold(200, sequence=2), spent=400)
    change(ports, hold(200, sequence=2), hold(0, sequence=3))
    assert ports.budgets.get_account("a").committed_nano == 500


def test_a_higher_limit_gives_room(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock, limit=0)
    with pytest.raises(BudgetExceededError):
        change(ports, None, hold(1))
    ports.budgets.open_account("a", 1)
    change(ports, None, hold(1))


@pytest.mark.parametrize(("nano", "spent"), [(500, 0), (0, 400), (0, 0), (300, 50)])
def test_a_write_whose_reply_was_lost_counts_once(
    ports: Storage, clock: ManualClock, nano: int, spent: int
) -> None:
    open_account(ports, clock)
    first = change(ports, None, hold(400))
    assert change(ports, None, hold(400)) == first
    new = hold(nano, sequence=2)
    second = change(ports, hold(400), new, spent=spent)
    assert change(ports, hold(400), new, spent=spent) == second
    assert ports.budgets.get_account("a") == second
    assert second.spent_nano == spent


@pytest.mark.parametrize(
    "expected",
    [None, hold(399), hold(400, sequence=2), hold(400, fence=2)],
    ids=["none", "amount", "sequence", "fence"],
)
def test_another_hold_than_expected_is_a_conflict(
    ports: Storage, clock: ManualClock, expected: Hold | None
) -> None:
    open_account(ports, clock)
    before = change(ports, None, hold(400))
    for nano in (10, 500):
        with pytest.raises(ConflictError):
            change(ports, expected, hold(nano, fence=3, sequence=9), spent=1)
    assert ports.budgets.get_account("a") == before


def test_a_hold_that_is_not_there_is_a_conflict(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    for nano in (10, 500):
        with pytest.raises(ConflictError):
            change(ports, hold(400), hold(nano, sequence=2))


def test_a_successor_books_what_it_finds_and_fences_the_old_owner_off(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    change(ports, None, hold(400))
    after = change(ports, hold(400), hold(0, fence=2), spent=400)
    assert (after.spent_nano, after.committed_nano) == (400, 400)
    for expected in (None, hold(400), hold(0, fence=2)):
        for nano in (0, 10):
            with pytest.raises(LeaseLostError):
                change(ports, expected, hold(nano, sequence=2), spent=1)
    assert ports.budgets.get_account("a") == after


def test_the_last_dollar_goes_to_one_worker(open_ports: OpenPorts, clock: ManualClock) -> None:
    workers = [open_ports() for _ in SHARDS]
    open_account(workers[0], clock, limit=0)
    account = workers[0].budgets.get_account("a")

    def take(worker: Storage, work_id: str, sequence: int) -> Callable[[], Account]:
        old = account.holds.get(work_id)
        new = hold((old.nano if old else 0) + 100, sequence=sequence)
        return lambda: change(worker, old, new, work_id=work_id)

    for round_ in range(1, 11):
        workers[0].budgets.open_account("a", 100 * round_)
        outcomes = race(
            [take(worker, work_id, round_) for worker, work_id in zip(workers, SHARDS, strict=True)]
        )
        assert of_type(outcomes, Account) == 1, outcomes
        assert of_type(outcomes, BudgetExceededError) == len(SHARDS) - 1, outcomes
        account = workers[0].budgets.get_account("a")
        assert account.committed_nano == account.limit_nano


def test_one_of_two_changes_of_a_hold_wins(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    open_account(one, clock, limit=10**9)
    stored: Hold | None = None
    for sequence in range(1, 11):
        mine, theirs = hold(100, sequence=sequence), hold(200, sequence=sequence)
        outcomes = race(
            [
                lambda: change(one, stored, mine, spent=1),  # noqa: B023
                lambda: change(two, stored, theirs, spent=1),  # noqa: B023
            ]
        )
        assert of_type(outcomes, Account) == 1, outcomes
        assert of_type(outcomes, ConflictError) == 1, outcomes
        stored = mine if isinstance(outcomes[0], Account) else theirs
        account = one.budgets.get_account("a")
        assert (account.holds, account.spent_nano) == ({"a#0": stored}, sequence)


def test_the_limit_holds_while_workers_and_limit_change_at_random(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    owner = open_ports()
    open_account(owner, clock)

    def work(storage: Storage, work_id: str, seed: int) -> int:
        draw = random.Random(seed)  # noqa: S311
        mine: Hold | None = None
        booked = 0
        for sequence in range(1, 16):
            held = mine.nano if mine else 0
            spent = draw.randint(0, held)
            new = hold(draw.randint(0, 400), sequence=sequence)
            try:
                account = change(storage, mine, new, spent=spent, work_id=work_id)
            except (BudgetExceededError, StorageBusyError):
                continue  # no room, or no turn among so many changes
            assert account.committed_nano <= LIMIT
            mine, booked = new, booked + spent
        return booked

    def move_limit() -> int:
        for limit in (900, 500, LIMIT, 700, LIMIT):
            owner.budgets.open_account("a", limit)
        return 0

    calls = [
        lambda number=number, work_id=work_id: work(open_ports(), work_id, number)
        for number, work_id in enumerate(SHARDS)
    ]
    outcomes = race([*calls, move_limit])
    assert not of_type(outcomes, SeedwrightError), outcomes
    account = owner.budgets.get_account("a")
    assert account.spent_nano == sum(each for each in outcomes if isinstance(each, int))
    assert account.committed_nano <= LIMIT

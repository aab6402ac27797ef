"""What every `BudgetStore` promises of slices: `spent + hold <= limit` in each, and all limits of
slices are committed by the job's account (requirement N3).
"""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    SeedwrightError,
    StorageBusyError,
)
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.accounts import Account, Admission, Hold, Limits, Slice, month_of
from runtime.domain.money.slices import spent_of, take_back
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import ApiStorage, OpenPorts, Storage, new_job

LIMIT = 1_000
SHARDS = range(3)


def hold(nano: int, *, fence: int = 1, sequence: int = 1) -> Hold:
    return Hold(fence=fence, sequence=sequence, nano=nano)


def open_account(ports: Storage, clock: ManualClock, limit: int = LIMIT) -> None:
    ports.jobs.create_job(new_job("a", clock, budget_limit="10"))
    ports.budgets.open_account("a", limit)


def resize(
    ports: Storage, expected: Slice | None, limit: int, *, work_id: str = "a#0", fence: int = 1
) -> Slice:
    return ports.budgets.resize_slice(
        "a", work_id, expected=expected, limit_nano=limit, fence=fence
    )


def change(
    ports: Storage, expected: Hold | None, new: Hold, *, spent: int = 0, work_id: str = "a#0"
) -> Slice:
    return ports.budgets.change_slice_hold(
        "a", work_id, expected=expected, new=new, spent_nano=spent
    )


def account(ports: Storage) -> Account:
    return ports.budgets.get_account("a")


def test_a_slice_is_part_of_what_its_job_has_committed(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    ports = open_ports()
    open_account(ports, clock)
    assert ports.budgets.get_slices("a", SHARDS) == {}

    first = resize(ports, None, 300)
    second = resize(ports, None, 0, work_id="a#2")

    assert first == Slice(limit_nano=300)
    assert open_ports().budgets.get_slices("a", SHARDS) == {"a#0": first, "a#2": second}
    assert ports.budgets.get_slices("a", [0]) == {"a#0": first}
    assert account(open_ports()) == Account(
        limit_nano=LIMIT, spent_nano=0, holds={}, slices_nano=300
    )
    assert account(ports).committed_nano == 300


def test_a_hold_inside_a_slice_leaves_the_job_alone(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 300)
    before = account(ports)

    change(ports, None, hold(200))
    after = change(ports, hold(200), hold(120, sequence=2), spent=150)

    assert after == replace(opened, spent_nano=150, hold=hold(120, sequence=2))
    assert (after.committed_nano, after.free_nano) == (270, 30)
    assert ports.budgets.get_slices("a", SHARDS) == {"a#0": after}
    assert account(ports) == before
    assert spent_of(before.spent_nano, [after]) == 150


def test_the_last_of_a_slice_may_be_held_and_not_one_more(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    resize(ports, None, 300)
    with pytest.raises(BudgetExceededError):
        change(ports, None, hold(301))
    change(ports, None, hold(200), spent=100)
    for new, spent in ((hold(201, sequence=2), 0), (hold(200, sequence=2), 1)):
        with pytest.raises(BudgetExceededError):
            change(ports, hold(200), new, spent=spent)
    assert ports.budgets.get_slices("a", SHARDS)["a#0"].free_nano == 0


def test_the_last_of_a_job_may_be_in_slices_and_not_one_more(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    first = resize(ports, None, 600)
    with pytest.raises(BudgetExceededError):
        resize(ports, None, 401, work_id="a#1")
    resize(ports, None, 400, work_id="a#1")
    with pytest.raises(BudgetExceededError):
        resize(ports, first, 601)
    assert account(ports).committed_nano == LIMIT
    ports.budgets.open_account("a", LIMIT + 1)
    assert resize(ports, first, 601) == Slice(limit_nano=601, revision=2)


def test_beside_holds_on_the_account_itself(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    ports.budgets.change_hold("a", "a", expected=None, new=hold(500), spent_nano=100)
    with pytest.raises(BudgetExceededError):
        resize(ports, None, 401)
    resize(ports, None, 300)
    with pytest.raises(BudgetExceededError):
        ports.budgets.change_hold(
            "a", "a", expected=hold(500), new=hold(601, sequence=2), spent_nano=0
        )
    assert account(ports).committed_nano == 900


def test_what_is_free_can_be_taken_back_and_what_is_held_can_not(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 600)
    change(ports, None, hold(100), spent=50)

    with pytest.raises(ConflictError):
        ports.budgets.resize_slice("a", "a#0", expected=opened, limit_nano=149)
    smaller = ports.budgets.resize_slice("a", "a#0", expected=opened, limit_nano=150)

    assert smaller.revision == 2
    stored = ports.budgets.get_slices("a", SHARDS)["a#0"]
    assert stored == Slice(limit_nano=150, spent_nano=50, hold=hold(100), revision=2)
    assert account(ports).committed_nano == 150
    with pytest.raises(BudgetExceededError):
        change(ports, hold(100), hold(101, sequence=2))


def test_a_lower_limit_of_the_job_stops_growth_and_nothing_else(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 600)
    ports.budgets.open_account("a", 100)
    with pytest.raises(BudgetExceededError):
        resize(ports, opened, 601)
    with pytest.raises(BudgetExceededError):
        resize(ports, None, 1, work_id="a#1")
    resize(ports, None, 0, work_id="a#1")
    resize(ports, opened, 500)
    assert account(ports).committed_nano == 500


def test_what_is_owed_is_let_in_whatever_the_limit_is(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, LIMIT)
    after = ports.budgets.resize_slice(
        "a", "a#0", expected=opened, limit_nano=LIMIT + 70, fence=1, owed=True
    )
    assert after.limit_nano == account(ports).committed_nano == LIMIT + 70
    with pytest.raises(BudgetExceededError):
        resize(ports, None, 1, work_id="a#1")


@pytest.mark.parametrize("limit", [700, 250])
def test_a_resize_whose_reply_was_lost_counts_once(
    ports: Storage, clock: ManualClock, limit: int
) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 300)
    assert resize(ports, None, 300) == opened
    change(ports, None, hold(200))
    for _ in range(2):
        after = resize(ports, opened, limit)
        assert (after.limit_nano, after.revision) == (limit, 2)
        assert account(ports).committed_nano == limit


def test_a_change_of_a_hold_whose_reply_was_lost_counts_once(
    ports: Storage, clock: ManualClock
) -> None:
    open_account(ports, clock)
    resize(ports, None, 300)
    first = change(ports, None, hold(200))
    assert change(ports, None, hold(200)) == first
    second = change(ports, hold(200), hold(200, sequence=2), spent=90)
    assert change(ports, hold(200), hold(200, sequence=2), spent=90) == second
    assert second.spent_nano == 90


def test_another_slice_than_expected_is_a_conflict(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 300)
    resize(ports, opened, 400)
    for expected in (None, opened, Slice(limit_nano=400, revision=3)):
        for limit in (100, 500, 2_000):
            with pytest.raises(ConflictError):
                resize(ports, expected, limit)
    assert account(ports).committed_nano == 400


def test_another_hold_than_expected_is_a_conflict(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    resize(ports, None, 300)
    with pytest.raises(ConflictError):
        change(ports, hold(1), hold(2, sequence=2))
    before = change(ports, None, hold(100))
    for expected in (None, hold(99), hold(100, sequence=2), hold(100, fence=2)):
        for nano in (10, 500):
            with pytest.raises(ConflictError):
                change(ports, expected, hold(nano, fence=3, sequence=9), spent=1)
    assert ports.budgets.get_slices("a", SHARDS)["a#0"] == before


def test_a_successor_fences_the_old_owner_off(ports: Storage, clock: ManualClock) -> None:
    open_account(ports, clock)
    opened = resize(ports, None, 300)
    change(ports, None, hold(200))
    before = change(ports, hold(200), hold(0, fence=2), spent=200)
    for nano in (0, 10):
        with pytest.raises(LeaseLostError):
            change(ports, hold(200), hold(nano, sequence=2), spent=1)
    for limit in (250, 400, 2_000):
        with pytest.raises(LeaseLostError):
            resize(ports, opened, limit, fence=1)
    assert ports.budgets.get_slices("a", SHARDS)["a#0"] == before
    resize(ports, before, 250, fence=2)


def test_slices_and_accounts_that_are_not_there(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock))
    assert ports.budgets.get_slices("a", SHARDS) == {}
    for limit in (0, 1):
        with pytest.raises(NotFoundError):
            resize(ports, None, limit)
    ports.budgets.open_account("a", LIMIT)
    with pytest.raises(NotFoundError):
        change(ports, None, hold(0))
    with pytest.raises(NotFoundError):
        resize(ports, Slice(limit_nano=10), 5)
    assert account(ports).committed_nano == 0


def admission(clock: ManualClock) -> Admission:
    limits = Limits(month=month_of(clock.now()), stage_nano=None, user_nano=None)
    return Admission(limits=limits, max_active_jobs=9)


def test_a_job_that_has_ended_refuses_growth_and_gets_back_what_slices_return(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    job = new_job("a", clock, budget_limit="0.000001000")
    api_ports.jobs.create_job(job, admission=admission(clock))
    api_ports.budgets.open_account("a", LIMIT)
    opened = resize(api_ports, None, 600)
    change(api_ports, None, hold(100), spent=50)
    api_ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)

    def reserved() -> int:
        return api_ports.monthly_budgets.get_use("ada", month_of(clock.now())).stage_nano

    assert reserved() == 600
    with pytest.raises(BudgetExceededError):
        resize(api_ports, opened, 601)
    with pytest.raises(BudgetExceededError):
        resize(api_ports, None, 1, work_id="a#1")
    # What is in the slice is committed: a worker that is still stopping may hold it.
    change(api_ports, hold(100), hold(150, sequence=2))
    returned = take_back(api_ports.budgets, "a", SHARDS)
    api_ports.jobs.return_rest("a")

    assert returned.nano == 400
    assert reserved() == account(api_ports).committed_nano == 200
    # Even for an ended job: it was billed.
    api_ports.budgets.resize_slice(
        "a", "a#0", expected=returned.slices["a#0"], limit_nano=260, owed=True
    )
    assert account(api_ports).committed_nano == 260


def test_one_of_two_shards_gets_the_last_dollar(open_ports: OpenPorts, clock: ManualClock) -> None:
    workers = [open_ports() for _ in SHARDS]
    open_account(workers[0], clock, limit=0)
    slices = [resize(workers[0], None, 0, work_id=f"a#{shard}") for shard in SHARDS]

    def grow(worker: Storage, shard: int, old: Slice) -> Callable[[], Slice]:
        return lambda: resize(worker, old, old.limit_nano + 100, work_id=f"a#{shard}")

    for round_ in range(1, 6):
        workers[0].budgets.open_account("a", 100 * round_)
        outcomes = race([grow(workers[shard], shard, old) for shard, old in enumerate(slices)])
        assert of_type(outcomes, Slice) == 1, outcomes
        slices = [
            outcome if isinstance(outcome, Slice) else old
            for old, outcome in zip(slices, outcomes, strict=True)
        ]
        assert account(workers[0]).committed_nano == 100 * round_


def test_the_limit_holds_while_shards_take_from_each_other_at_random(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    owner = open_ports()
    open_account(owner, clock)

    def work(storage: Storage, shard: int) -> int:
        draw = random.Random(shard)  # noqa: S311
        work_id, booked = f"a#{shard}", 0
        for sequence in range(1, 12):
            mine = storage.budgets.get_slices("a", [shard]).get(work_id)
            try:
                if draw.random() < 0.3:
                    take_back(storage.budgets, "a", SHARDS, needed_nano=100, sparing=work_id)
                if mine is None or draw.random() < 0.5:
                    resize(storage, mine, draw.randint(0, 500), work_id=work_id)
                    continue
                spent = draw.randint(0, mine.hold.nano if mine.hold else 0)
                new = hold(draw.randint(0, 300), sequence=sequence)
                change(storage, mine.hold, new, spent=spent, work_id=work_id)
                booked += spent
            except (BudgetExceededError, ConflictError, StorageBusyError):
                continue  # no room, robbed, or no turn among so many changes
        return booked

    outcomes = race(
        [lambda shard=shard: work(open_ports(), shard) for shard in SHARDS]
        + [lambda: owner.budgets.open_account("a", 700).limit_nano * 0]
    )
    assert not of_type(outcomes, SeedwrightError), outcomes
    slices = owner.budgets.get_slices("a", SHARDS)
    assert spent_of(0, slices.values()) == sum(each for each in outcomes if isinstance(each, int))
    assert all(each.free_nano >= 0 for each in slices.values())
    found = account(owner)
    assert found.slices_nano == sum(each.limit_nano for each in slices.values())
    assert found.committed_nano <= LIMIT

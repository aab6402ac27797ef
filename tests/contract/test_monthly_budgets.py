"""What the accounts of a month promise (N16): a job's money and its status change together."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LimitError,
    MonthlyBudgetError,
)
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.accounts import Admission, Hold, Limits, month_of
from runtime.domain.money.amounts import NANO_PER_USD, usd_decimal
from runtime.service.requeue import queue_again
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_faults import canceled, meanwhile, no_retry_pauses, reply_lost
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import ApiStorage, OpenApi, new_job, open_aws

USD = NANO_PER_USD
CLAIMER = "worker"


def admission(
    clock: ManualClock, *, stage: int | None = 100, user: int | None = None, most: int = 5
) -> Admission:
    """Limits in USD."""
    limits = Limits(
        month=month_of(clock.now()),
        stage_nano=None if stage is None else stage * USD,
        user_nano=None if user is None else user * USD,
    )
    return Admission(limits=limits, max_active_jobs=most)


def create(
    ports: ApiStorage,
    clock: ManualClock,
    job_id: str = "a",
    *,
    budget: int = 10,
    stage: int = 100,
    most: int = 5,
) -> None:
    job = new_job(job_id, clock, budget_limit=Decimal(budget))
    ports.jobs.create_job(job, admission=admission(clock, stage=stage, most=most))


def used(ports: ApiStorage, clock: ManualClock, user: str = "ada") -> tuple[int, int]:
    """What all users have committed in this month, and one of them."""
    use = ports.monthly_budgets.get_use(user, month_of(clock.now()))
    return use.stage_nano, use.user_nano


def hold(ports: ApiStorage, nano: int, *, spent: int = 0, before: Hold | None = None) -> Hold:
    new = Hold(fence=1, sequence=1 if before is None else before.sequence + 1, nano=nano)
    ports.budgets.change_hold("a", "a", expected=before, new=new, spent_nano=spent)
    return new


def run(ports: ApiStorage, *, budget: int = 10) -> None:
    """Claim job a, as a worker does."""
    assert ports.queue.claim("a", CLAIMER) is not None
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    ports.budgets.open_account("a", budget * USD)


def test_e10_of_forty_requests_at_once_as_many_pass_as_are_allowed(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    """E10, N16: the count is part of the transaction."""
    doors = [open_api_ports() for _ in range(4)]
    outcomes = race(
        [
            lambda n=number: create(doors[n % 4], clock, f"job-{n}", budget=1)  # type: ignore[misc]
            for number in range(40)
        ]
    )
    assert outcomes.count(None) == 5, outcomes
    assert of_type(outcomes, LimitError) == 35
    assert used(doors[0], clock) == (5 * USD, 5 * USD)


def test_of_jobs_at_once_as_many_pass_as_the_month_has_room_for(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    doors = [open_api_ports() for _ in range(2)]
    outcomes = race(
        [
            lambda n=number: create(doors[n % 2], clock, f"job-{n}", most=99, stage=35)  # type: ignore[misc]
            for number in range(12)
        ]
    )
    assert outcomes.count(None) == 3, outcomes
    assert of_type(outcomes, MonthlyBudgetError) == 9
    assert used(doors[0], clock) == (30 * USD, 30 * USD)


def test_what_is_refused_says_what_is_left_and_leaves_nothing(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock)
    with pytest.raises(MonthlyBudgetError, match=r"all users of \$15.*2026-11 has \$5\.00 left"):
        create(api_ports, clock, "b", stage=15)
    with pytest.raises(MonthlyBudgetError, match=r"your budget of \$12.*has \$12\.00 left.*12-01"):
        api_ports.jobs.create_job(
            replace(new_job("b", clock, budget_limit="13"), user_id="bob"),
            admission=admission(clock, user=12),
        )
    assert used(api_ports, clock) == (10 * USD, 10 * USD)
    assert used(api_ports, clock, "bob") == (10 * USD, 0)
    assert api_ports.queue.claim("a", CLAIMER) is not None
    assert api_ports.queue.get_next_job(CLAIMER) is None


def test_the_end_returns_what_was_not_spent_once(api_ports: ApiStorage, clock: ManualClock) -> None:
    create(api_ports, clock)
    run(api_ports)
    first = hold(api_ports, 3 * USD)
    assert used(api_ports, clock) == (10 * USD, 10 * USD)
    hold(api_ports, 0, spent=2 * USD, before=first)
    api_ports.jobs.set_status("a", JobStatus.COMPLETED, fence=1)
    assert used(api_ports, clock) == (2 * USD, 2 * USD)
    for status in (JobStatus.COMPLETED, JobStatus.CANCELLED):
        with pytest.raises(ConflictError):
            api_ports.jobs.set_status("a", status, fence=None)
    api_ports.jobs.return_rest("a")
    api_ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    assert used(api_ports, clock) == (2 * USD, 2 * USD)
    create(api_ports, clock, "b", most=1)


def test_a_worker_that_is_cancelled_keeps_its_hold_and_gets_no_more(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock)
    run(api_ports)
    held = hold(api_ports, 3 * USD)
    api_ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    assert used(api_ports, clock) == (3 * USD, 3 * USD)
    api_ports.budgets.open_account("a", 10 * USD)
    with pytest.raises(BudgetExceededError):
        hold(api_ports, 4 * USD, before=held)
    hold(api_ports, 0, spent=USD, before=held)
    for _ in range(2):
        api_ports.jobs.return_rest("a")
        assert used(api_ports, clock) == (USD, USD)


def test_a_bill_above_its_worst_case_is_owed_after_the_end_too(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock)
    run(api_ports)
    held = hold(api_ports, USD)
    api_ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    api_ports.budgets.change_hold(
        "a",
        "a",
        expected=held,
        new=Hold(fence=1, sequence=2, nano=0),
        spent_nano=2 * USD,
        owed=True,
    )
    api_ports.jobs.return_rest("a")
    assert used(api_ports, clock) == (2 * USD, 2 * USD)


def test_a_resumed_job_reserves_the_difference(api_ports: ApiStorage, clock: ManualClock) -> None:
    create(api_ports, clock)
    run(api_ports)
    hold(api_ports, 0, spent=4 * USD)
    api_ports.jobs.set_status("a", JobStatus.FAILED, fence=1)
    ended = api_ports.jobs.get_job("a")
    with pytest.raises(MonthlyBudgetError, match="may cost"):
        api_ports.jobs.queue_again("a", admission(clock, stage=9))
    assert api_ports.jobs.get_job("a") == ended
    create(api_ports, clock, "b", budget=1)
    with pytest.raises(LimitError):
        api_ports.jobs.queue_again("a", admission(clock, most=1))
    assert api_ports.jobs.get_job("a") == ended

    api_ports.jobs.queue_again("a", admission(clock, stage=13), budget_limit=usd_decimal(12 * USD))
    assert api_ports.jobs.get_job("a").budget_nano == 12 * USD
    assert used(api_ports, clock) == (13 * USD, 13 * USD)
    with pytest.raises(ConflictError):
        api_ports.jobs.queue_again("a", admission(clock))
    with pytest.raises(ConflictError):
        api_ports.jobs.set_budget("a", "20")


def test_a_job_belongs_to_the_month_in_which_it_was_queued_last(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock)
    run(api_ports)
    hold(api_ports, 0, spent=4 * USD)
    api_ports.jobs.set_status("a", JobStatus.FAILED, fence=1)
    clock.advance(timedelta(days=20).total_seconds())
    queue_again(api_ports.jobs, api_ports.queue, "a", admission=admission(clock))
    assert used(api_ports, clock) == (6 * USD, 6 * USD), "4 were paid for in November"
    api_ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    assert used(api_ports, clock) == (0, 0)
    assert api_ports.monthly_budgets.get_use("ada", "2026-11").stage_nano == 4 * USD


def test_a_job_of_before_returns_nothing_and_reserves_when_it_is_resumed(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    api_ports.jobs.create_job(new_job("a", clock, budget_limit="10"))
    run(api_ports)
    hold(api_ports, 0, spent=4 * USD)
    api_ports.jobs.set_status("a", JobStatus.FAILED, fence=1)
    api_ports.jobs.return_rest("a")
    assert used(api_ports, clock) == (0, 0)
    api_ports.jobs.queue_again("a", admission(clock))
    assert used(api_ports, clock) == (6 * USD, 6 * USD)


def test_e11_a_preview_takes_its_worst_case_and_returns_the_rest(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    """E11, N16."""
    accounts, limits = api_ports.monthly_budgets, admission(clock, stage=2, user=1).limits
    accounts.reserve_preview("ada", limits, USD, first=True)
    with pytest.raises(MonthlyBudgetError, match=r"your budget of \$1"):
        accounts.reserve_preview("ada", limits, 1, first=True)
    accounts.settle_preview("ada", limits.month, reserved_nano=USD, nano=USD // 4)
    accounts.reserve_preview("ada", limits, USD // 2, first=False)
    use = accounts.get_use("ada", limits.month)
    assert (use.stage_nano, use.user_nano, use.previews) == (3 * USD // 4, 3 * USD // 4, 1)


# ── below boto3 ────────────────────────────────────────────────────────────────────────────────


def test_a_lost_reply_moves_no_money_twice(
    aws: FakeAws, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_retry_pauses(monkeypatch)
    ports = open_aws(aws, clock)
    write = "TransactWriteItems"
    with reply_lost(aws.dynamodb, write) as sent:
        create(ports, clock, most=1)
    assert len(sent) == 2
    run(ports)
    hold(ports, 0, spent=4 * USD)
    with reply_lost(aws.dynamodb, write):
        ports.jobs.set_status("a", JobStatus.FAILED, fence=1)
    assert used(ports, clock) == (4 * USD, 4 * USD)
    with reply_lost(aws.dynamodb, write):
        ports.jobs.queue_again("a", admission(clock, most=1))
    assert used(ports, clock) == (10 * USD, 10 * USD)
    counter = aws.dynamodb.get_item(TableName="Budgets", Key={"account_id": {"S": "active#ada"}})
    assert counter["Item"]["jobs"] == {"N": "1"}


def test_a_hold_that_grows_while_the_job_is_cancelled_is_not_lent_to_others(
    aws: FakeAws, clock: ManualClock
) -> None:
    ports = open_aws(aws, clock)
    create(ports, clock)
    run(ports)
    with meanwhile(aws.dynamodb, "TransactWriteItems", lambda: hold(ports, 3 * USD)):
        ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    assert used(ports, clock) == (3 * USD, 3 * USD)


def test_a_transaction_that_collides_is_tried_again(
    aws: FakeAws, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.aws.transaction._CONFLICT_PAUSES", (0.0, 0.0, 0.0))
    ports = open_aws(aws, clock)
    conflict = ("None", "None", "TransactionConflict", "None", "None")
    with canceled(aws.dynamodb, *conflict, times=2) as sent:
        create(ports, clock)
    assert (len(sent), used(ports, clock)) == (3, (10 * USD, 10 * USD))

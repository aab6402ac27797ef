"""S8: the budget of a job is hard.

What the model has really cost is what the double has billed, at the prices of the real table. The
job's account has to cover it at every moment, and stays within its limit.
"""

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import COST_TRACKING, QUEUE
from runtime.domain.errors import BudgetExceededError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.aws import read_item
from tests.fixtures.worker_checks import again, billed, kill, logged, price, worst_case
from tests.fixtures.worker_world import MODEL, WorkerWorld, indices, two_steps

USD = 10**9
"""In nano-USD."""
TIGHT = "0.000200000"
"""A budget for some twenty simple records."""


class NoJitter(random.Random):
    def random(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def check_books(world: WorkerWorld, job_id: str) -> None:
    """N3: the account covers what was paid and stays within its limit; N1: no index twice."""
    account = world.account(job_id)
    assert billed(world) <= account.committed_nano <= account.limit_nano
    saved = indices(world.records(job_id)) + indices(world.failure_parts(job_id))
    assert len(saved) == len(set(saved))


def check_exceeded(world: WorkerWorld, job_id: str) -> int:
    """The job has stopped for its budget and its dataset is there; how many records that is."""
    check_books(world, job_id)
    job = world.job(job_id)
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert read_item(world.aws, QUEUE, work_id=job_id)["status"] == "BUDGET_EXCEEDED"
    saved = world.records(job_id)
    if saved:
        assert sorted(indices(world.dataset(job_id))) == sorted(indices(saved))
    assert len(saved) == job.progress.records_generated
    return len(saved)


def check_completed(world: WorkerWorld, job_id: str) -> None:
    check_books(world, job_id)
    job = world.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert sorted(indices(world.dataset(job_id))) == list(range(job.config.num_records))
    assert world.account(job_id).holds[job_id].nano == 0


# ── S8.1, S8.2, S8.7: the check before each record ─────────────────────────────────────────────


@pytest.mark.parametrize("concurrency", [1, 4])
def test_generation_stops_where_the_cost_passes_the_budget(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """S8.1, S8.2: five records pass the check, the sixth doesn't."""
    job_id = world.create_job(num_records=20, budget="10")
    worker = world.worker(concurrency=concurrency)
    costs = iter([5, 5, 5, 5, 5])
    asked: list[str] = []

    def calculate_current_cost(asked_of: str) -> Decimal:
        asked.append(asked_of)
        return Decimal(next(costs, 11))

    monkeypatch.setattr(worker.costs, "calculate_current_cost", calculate_current_cost)

    assert worker.run() is ExitCode.BUDGET_EXCEEDED

    assert check_exceeded(world, job_id) == world.double.calls == 5
    assert set(asked) == {job_id}
    assert "$10.00" in (world.job(job_id).error_message or "")


def test_the_error_names_the_budget(world: WorkerWorld) -> None:
    """S8.2: raised by `generate_data`, with what was paid for saved before."""
    job_id = world.create_job(num_records=40, budget=TIGHT)
    worker = world.worker()
    claim = worker.queue.get_next_job("me")
    assert claim is not None
    worker.jobs.mark_job_running(claim)

    with pytest.raises(BudgetExceededError, match=r"the budget of \$0\.0002 is used up"):
        worker.generate_data(world.job(job_id), claim)

    assert len(world.records(job_id)) == world.double.calls > 0
    check_books(world, job_id)


@pytest.mark.parametrize(("booked", "records"), [(10 * USD, 0), (10 * USD - 1, 5)])
def test_a_cost_equal_to_the_limit_counts_as_exceeded(
    world: WorkerWorld, booked: int, records: int
) -> None:
    """S8.7: read from the cost table, where somebody else has booked it."""
    job_id = world.create_job(num_records=5, budget="10")
    world.ports.costs.add(job_id, entry_id="elsewhere", cost_nano=booked, tokens=0)

    code = world.run()

    assert world.double.calls == records
    if records:
        assert code is ExitCode.DONE
        check_completed(world, job_id)
    else:
        assert code is ExitCode.BUDGET_EXCEEDED
        assert check_exceeded(world, job_id) == 0


# ── S8.3: a budget that ends ─────────────────────────────────────────────────────────


def test_what_the_budget_was_enough_for_is_saved_and_exported(world: WorkerWorld) -> None:
    """S8.3."""
    formats = tuple(OutputFormat)
    job_id = world.create_job(num_records=40, budget=TIGHT, output_formats=formats)

    assert world.run() is ExitCode.BUDGET_EXCEEDED

    assert 0 < check_exceeded(world, job_id) < 40
    exported = world.object_keys(f"{keys.job_prefix(job_id)}exports/")
    assert {key.rpartition(".")[2] for key in exported} == {"jsonl", "parquet", "csv"}


def test_an_export_that_fails_when_the_budget_ends_is_told_too(world: WorkerWorld) -> None:
    """S8.3: the job has failed then; its records are saved, and a larger budget goes on."""
    fault = world.fail(
        "s3", "PutObject", "AccessDenied", status=403, match=lambda call: "/exports/" in call["Key"]
    )
    job_id = world.create_job(num_records=40, budget=TIGHT)

    assert world.run() is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    budget, _, export = (job.error_message or "").partition("; ")
    assert "budget" in budget
    assert "jsonl" in export
    assert len(world.records(job_id)) == job.progress.records_generated > 0
    fault.clear()
    again(world, job_id, budget="10")
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)


def test_no_call_starts_without_cover_and_little_of_the_budget_is_left(world: WorkerWorld) -> None:
    """N3: in the middle of a wave of sixteen calls."""
    world.double.faults([{"delay_ms": 5}])
    job_id = world.create_job(num_records=60, budget="0.000480000")
    uncovered: list[int] = []
    in_flight = 0

    def watch(name: str) -> None:
        nonlocal in_flight
        in_flight += (name == "after_reserve") - (name == "after_call")
        hold = world.account(job_id).holds[job_id] if name == "after_reserve" else None
        if hold is not None and hold.nano < in_flight * worst_case(world):
            uncovered.append(in_flight)

    worker = world.worker(concurrency=16, crash_point=watch)
    assert worker.run() is ExitCode.BUDGET_EXCEEDED

    assert uncovered == []
    assert 0 < check_exceeded(world, job_id) == world.double.stats()["paid"] < 60
    account = world.account(job_id)
    assert account.spent_nano == account.committed_nano == billed(world)
    assert account.limit_nano - account.spent_nano < worst_case(world, "Review product 00.")


def test_a_budget_that_is_raised_goes_on_and_one_that_is_lowered_stops(world: WorkerWorld) -> None:
    """S8.3: what is spent counts under every limit."""
    job_id = world.create_job(num_records=40, budget=TIGHT)
    assert world.run() is ExitCode.BUDGET_EXCEEDED
    first = check_exceeded(world, job_id)

    again(world, job_id, budget="0.000100000")
    assert world.run() is ExitCode.BUDGET_EXCEEDED
    assert world.double.calls == len(world.dataset(job_id)) == first

    again(world, job_id, budget="10")
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)
    assert world.double.calls == 40
    assert world.account(job_id).spent_nano == billed(world)


# ── S8.4, S8.5: what the store holds ───────────────────────────────────────────────────────────


def test_a_budget_is_read_from_a_string_or_a_decimal(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S8.4."""
    budgets = ["100.0", Decimal("100.0"), Decimal(100), "1e2"]
    jobs = [world.create_job(num_records=1, budget=budget) for budget in budgets]

    assert world.run() is ExitCode.DONE

    assert [world.account(job_id).limit_nano for job_id in jobs] == [100 * USD] * 4
    assert logged(caplog, level="WARNING") == []


def test_an_unusable_budget_falls_back_to_100_with_a_warning(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S8.5."""
    jobs = [world.create_job(num_records=1, budget=budget) for budget in (None, "invalid")]

    assert world.run() is ExitCode.DONE

    assert [world.account(job_id).limit_nano for job_id in jobs] == [100 * USD] * 2
    warnings = logged(caplog, level="WARNING")
    assert [line["job_id"] for line in warnings] == jobs
    assert all("$100.00" in line["message"] for line in warnings)


# ── S8.6: the cost table is down ───────────────────────────────────────────────────────────────


def test_without_the_cost_table_the_ledger_still_holds_the_limit(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S8.6."""
    job_id = world.create_job(num_records=40, budget=TIGHT)
    world.ports.costs.add(job_id, entry_id="elsewhere", cost_nano=USD, tokens=0)
    down = world.fail(
        "dynamodb",
        "Query",
        status=500,
        match=lambda call: call["TableName"] == COST_TRACKING.name,
    )
    worker = world.worker()
    assert worker.costs.calculate_current_cost(job_id) == Decimal("0.0")

    assert worker.run() is ExitCode.BUDGET_EXCEEDED

    assert down.hits > 1
    assert "cost not read" in {line["message"] for line in logged(caplog, level="WARNING")}
    assert check_exceeded(world, job_id) > 0
    assert billed(world) <= world.account(job_id).limit_nano


# ── N3: a bill that is missing or too high ──────────────────────────────────────────


def test_a_reply_without_usage_costs_its_worst_case(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """N3. So does one whose tokens the price table has no rate for."""
    packaged = world.ports.prices
    rateless = replace(price(world), cache_write=None)
    prices = replace(packaged, prices={**packaged.prices, MODEL: rateless})
    free = {"inputTokens": 0, "outputTokens": 0}  # so that the sum below is exact
    world.double.faults(
        [
            {"effect": "no_usage", "prompt": "product 1.", "usage": free},
            {"prompt": "product 2.", "usage": {"inputTokens": -1, "outputTokens": 0}},
            {"prompt": "product 3.", "usage": {**free, "cacheWriteInputTokens": 5}},
        ]
    )
    job_id = world.create_job(num_records=6)

    assert world.run(prices=prices) is ExitCode.DONE

    check_completed(world, job_id)
    unknown = -price(world).input  # what the double adds up of the bill that makes no sense
    assert world.account(job_id).spent_nano == billed(world) - unknown + 3 * worst_case(world)
    flagged = logged(caplog, level="WARNING") + logged(caplog, level="ERROR")
    assert sorted(line["record"] for line in flagged) == [1, 2, 3]


def test_a_call_dearer_than_its_worst_case_is_booked_and_flagged(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """N3: the budget has room for the surprise."""
    dear = {"inputTokens": 1_000_000, "outputTokens": 64}
    world.double.faults([{"prompt": "product 3.", "usage": dear}])
    job_id = world.create_job(num_records=8, budget="1")

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id)
    assert world.account(job_id).spent_nano == billed(world) > 1_000_000 * 35
    assert world.ports.costs.total(job_id) == billed(world)
    (line,) = logged(caplog, level="ERROR")
    assert line["message"] == "a call cost more than its worst case"
    assert line["job_id"] == job_id


def test_a_call_dearer_than_the_whole_budget_is_the_last_one(world: WorkerWorld) -> None:
    """N3: the overshoot is that one call's, it is told, and the job pays for nothing more."""
    dear = {"inputTokens": 1_000_000, "outputTokens": 64}
    world.double.faults([{"prompt": "product 3.", "usage": dear}])
    job_id = world.create_job(num_records=60, budget="0.001000000")

    assert world.run() is ExitCode.BUDGET_EXCEEDED

    job, calls = world.job(job_id), world.double.calls
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert len(world.dataset(job_id)) == calls <= 4 + 2 * 4
    account = world.account(job_id)
    assert account.spent_nano == account.committed_nano == billed(world) > account.limit_nano
    assert account.limit_nano == 1_000_000
    assert job.progress.cost_nano == world.ports.costs.total(job_id) == billed(world)
    assert "$0.001" in (job.error_message or "")

    again(world, job_id, budget="0.001000000")
    assert world.run() is ExitCode.BUDGET_EXCEEDED
    assert world.double.calls == calls


# ── N2, N3: a worker that dies ────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["after_reserve", "after_call", "before_batch_put"])
def test_what_a_dead_worker_left_in_doubt_is_presumed_spent(world: WorkerWorld, point: str) -> None:
    """N3: its successor gives nothing back that may have been paid."""
    job_id = world.create_job(two_steps(), num_records=12)

    assert kill(world, point, {"before_batch_put": 1}.get(point, 9)) is None

    check_books(world, job_id)
    left_behind = world.account(job_id)
    assert left_behind.holds[job_id].nano > 0
    lost = world.double.stats()["paid"]
    assert lost > 0

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id)
    assert world.account(job_id).spent_nano > left_behind.committed_nano
    assert world.double.stats()["paid_twice"] <= lost


def test_killed_again_and_again_the_limit_holds(world: WorkerWorld) -> None:
    """N3: every death costs a hold, and none of them a cent too much."""
    job_id = world.create_job(num_records=60, budget="0.000700000")
    deaths = 0

    while (ended := kill(world, "after_call", 7)) is None:
        deaths += 1
        check_books(world, job_id)
        assert deaths < 20, "no hold was ever presumed spent"

    assert deaths >= 2
    assert ended is ExitCode.BUDGET_EXCEEDED
    check_exceeded(world, job_id)
    assert billed(world) <= 700_000

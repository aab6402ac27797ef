"""What the API makes of the accounts of a month (N16): refused with 402, shown, and swept."""

from itertools import count
from typing import Any

import pytest

from runtime.contract import environment
from runtime.contract.routes import SWEEP_QUEUE
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.accounts import Hold
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws_api import API_ENVIRONMENT
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import BOB
from tests.fixtures.worker_world import step

USD = 10**9


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ApiWorld:
    """The handlers of a stage with 10 USD a month for all, and 7 for each."""
    limits = {environment.MONTHLY_BUDGET_USD: "10", environment.USER_MONTHLY_BUDGET_USD: "7"}
    variables = {**API_ENVIRONMENT, **limits}
    monkeypatch.setattr("tests.fixtures.api_world.API_ENVIRONMENT", variables)
    made: ApiWorld = request.getfixturevalue("api_world")
    return made


def month(world: ApiWorld) -> dict[str, Any]:
    found: dict[str, Any] = world.get("/dashboard/summary").body["month"]
    return found


def test_n16_a_job_beyond_the_month_is_refused_and_told_what_is_left(world: ApiWorld) -> None:
    order = world.order(budget_limit=5, allow_partial=True)
    job_id = world.post("/jobs", order).body["job_id"]
    refused = world.post("/jobs", order)
    assert (refused.status, refused.body["error"]["code"]) == (402, "monthly_budget")
    assert "your budget of $7.00 for 2026-11 has $2.00 left" in refused.message
    assert world.post("/jobs", {**order, "budget_limit": 2}).status == 201
    others = world.create_job(user=BOB, budget_limit=4, allow_partial=True)
    assert (others.status, "all users" in others.message) == (402, True)
    assert month(world) == {
        "month": "2026-11",
        "limit_usd": 10.0,
        "reserved_or_spent_usd": 7.0,
        "left_usd": 3.0,
        "yours": {"limit_usd": 7.0, "reserved_or_spent_usd": 7.0, "left_usd": 0.0},
        "previews": 0,
    }

    assert world.delete(f"/jobs/{job_id}").status == 200
    assert month(world)["left_usd"] == 8.0


def test_a_resumption_beyond_the_month_leaves_the_job_as_it_was(world: ApiWorld) -> None:
    job_id = world.job_id(JobStatus.FAILED)
    assert world.create_job(budget_limit=3, allow_partial=True).status == 201
    before = world.job(job_id)
    body = {"budget_limit": 6, "num_records": 50}
    refused = world.post(f"/jobs/{job_id}/resume", body)
    assert (refused.status, refused.body["error"]["code"]) == (402, "monthly_budget")
    assert world.job(job_id) == before


def test_what_a_dead_worker_gave_back_after_the_end_is_swept(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    """It was cancelled, returned its hold, and died before its work item had ended."""
    job_id = api_world.job_id(JobStatus.RUNNING)
    own = api_world.own
    own.budgets.open_account(job_id, 5 * USD)
    held = Hold(fence=1, sequence=1, nano=3 * USD)
    own.budgets.change_hold(job_id, job_id, expected=None, new=held, spent_nano=0)
    api_world.delete(f"/jobs/{job_id}")
    assert month(api_world)["reserved_or_spent_usd"] == 3.0
    back = Hold(fence=1, sequence=2, nano=0)
    own.budgets.change_hold(job_id, job_id, expected=held, new=back, spent_nano=USD)
    for _ in range(3):
        api_world.handle(SWEEP_QUEUE, {})
        clock.advance(90)
    assert month(api_world)["reserved_or_spent_usd"] == 1.0
    assert own.work.get_work(job_id).status is JobStatus.CANCELLED


def test_e11_previews_are_paid_out_of_the_month(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E11, N16: what was billed stays, the rest comes back."""
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        path = f"/templates/{api_world.template(step())}/preview"
        body = {"run_model": True, "data": {"product": "kettle"}}
        paid = api_world.post(path, body)
        assert paid.status == 200, paid
        shown = month(api_world)
        assert shown["previews"] == 1
        assert 0 < shown["reserved_or_spent_usd"] == paid.body["cost_usd"]
        assert api_world.post(path, {"data": body["data"]}).status == 200
        assert month(api_world) == shown, "nothing was called"
        double.faults([{"effect": "AccessDeniedException"}])
        assert api_world.post(path, body).status == 502
        refused = month(api_world)
        assert refused["reserved_or_spent_usd"] == shown["reserved_or_spent_usd"]
        api_world.ports.models.close()


def test_e11_a_preview_whose_second_call_can_not_be_booked_shows_the_first(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paid for."""
    accounts, reserved = api_world.ports.monthly_budgets, count(1)
    reserve = accounts.reserve_preview

    def fails_then(*asked: Any, **options: Any) -> None:
        if next(reserved) > 1:
            raise StorageUnavailableError("the table could not be reached")
        reserve(*asked, **options)

    monkeypatch.setattr(accounts, "reserve_preview", fails_then)
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        steps = (step("one"), step("two", "Answer {{ steps.one.output }}"))
        path = f"/templates/{api_world.template(*steps)}/preview"
        shown = api_world.post(path, {"run_model": True, "data": {"product": "kettle"}})
        api_world.ports.models.close()
    assert (shown.status, len(shown.body["steps"]), double.calls) == (200, 1, 1)
    assert "the table could not be reached" in shown.body["stopped"]


def test_e11_a_preview_that_the_month_has_no_room_for_calls_nothing(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.create_job(budget_limit=7, allow_partial=True).status == 201
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        path = f"/templates/{world.template(step())}/preview"
        refused = world.post(path, {"run_model": True, "data": {"product": "kettle"}})
        assert (refused.status, refused.body["error"]["code"]) == (402, "monthly_budget")
        assert double.calls == 0
        world.ports.models.close()

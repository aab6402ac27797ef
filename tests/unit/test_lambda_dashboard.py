"""A job in figures, and all of a user's jobs added up."""

from typing import Any

import pytest

from runtime.domain.jobs.job import JobStatus
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import BOB

CENT = 10**7


def test_a_running_job(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    clock.advance(40)
    api_world.progress(
        job_id,
        records_generated=3,
        failed_records=1,
        tokens_used=900,
        cost_nano=125 * CENT,
        failures_by_kind={"rejected": 1},
        cost_by_model={"b": 20 * CENT, "a": 100 * CENT},
    )
    body = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert body["status"] == "RUNNING"
    assert (body["num_records"], body["records_generated"], body["failed_records"]) == (10, 3, 1)
    assert body["progress_percent"] == 40.0
    assert body["records_per_second"] == 0.1
    assert body["seconds_left"] == 60.0
    assert (body["tokens_used"], body["cost"]) == (900, 1.25)
    assert body["cost_by_model"] == {"a": 1.0, "b": 0.2}
    assert body["cost_unattributed"] == 0.05
    assert (body["budget_limit"], body["budget_used_percent"]) == (5.0, 25.0)
    assert body["failures_by_kind"] == {"rejected": 1}
    assert body["started_at"] < body["updated_at"]


def test_a_job_that_waits(api_world: ApiWorld) -> None:
    body = api_world.get(f"/dashboard/jobs/{api_world.job_id()}").body
    assert (body["progress_percent"], body["cost"], body["cost_unattributed"]) == (0.0, 0.0, 0.0)
    assert body["records_per_second"] is body["seconds_left"] is body["started_at"] is None


def test_a_job_that_has_just_begun(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    body = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert body["records_per_second"] is body["seconds_left"] is None
    clock.advance(10)
    body = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert (body["records_per_second"], body["seconds_left"]) == (0.0, None)


def end(world: ApiWorld, job_id: str, status: JobStatus) -> None:
    fence = world.own.work.get_work(job_id).fence
    world.own.jobs.set_status(job_id, status, fence=fence)


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.QUEUED])
def test_the_rate_of_a_job_that_does_not_run_stands_still(
    api_world: ApiWorld, clock: ManualClock, status: JobStatus
) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    clock.advance(20)
    api_world.progress(job_id, records_generated=10)
    end(api_world, job_id, status)
    clock.advance(1000)
    body = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert (body["records_per_second"], body["seconds_left"]) == (0.5, None)


def test_a_budget_of_nothing(api_world: ApiWorld) -> None:
    """Stored by other hands: what can't be divided by is no crash."""
    job_id = api_world.job_id(JobStatus.FAILED)
    api_world.own.jobs.set_budget(job_id, "-1")
    body = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert (body["budget_limit"], body["budget_used_percent"]) == (0.0, 0.0)


# ── all jobs ───────────────────────────────────────────────────────────────────────────────────


def test_nothing_to_add_up(api_world: ApiWorld) -> None:
    assert api_world.get("/dashboard/summary").body == {
        "jobs": 0,
        "complete": True,
        "since": None,
        "jobs_by_status": {},
        "records_generated": 0,
        "failed_records": 0,
        "tokens_used": 0,
        "cost": 0.0,
        "month": {
            "month": "2026-11",
            "limit_usd": 1000.0,
            "reserved_or_spent_usd": 0.0,
            "left_usd": 1000.0,
            "yours": {"limit_usd": None, "reserved_or_spent_usd": 0.0, "left_usd": None},
            "previews": 0,
        },
    }


def test_jobs_are_added_up(api_world: ApiWorld, clock: ManualClock) -> None:
    api_world.job_id()
    clock.advance(5)
    for number in (1, 2):
        job_id = api_world.job_id(JobStatus.RUNNING)
        api_world.progress(
            job_id,
            records_generated=number,
            failed_records=1,
            tokens_used=10,
            cost_nano=number * CENT,
        )
    api_world.job_id(user=BOB)
    body = api_world.get("/dashboard/summary").body
    assert (body["jobs"], body["complete"]) == (3, True)
    assert body["jobs_by_status"] == {"QUEUED": 1, "RUNNING": 2}
    assert (body["records_generated"], body["failed_records"]) == (3, 2)
    assert (body["tokens_used"], body["cost"]) == (20, 0.03)
    assert body["since"] == "2026-11-23T12:00:00Z"


def test_a_summary_says_what_it_covers(
    api_world: ApiWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = "runtime.lambdas.dashboard.get_summary"
    monkeypatch.setattr(f"{module}._PAGE", 2)
    monkeypatch.setattr(f"{module}.MAX_JOBS", 4)
    for _ in range(5):
        clock.advance(1)
        api_world.job_id()
    body = api_world.get("/dashboard/summary").body
    assert (body["jobs"], body["complete"]) == (4, False)
    assert body["since"] == "2026-11-23T12:00:02Z"

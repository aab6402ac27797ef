"""What the API says of a job whose template has checks, and the files of what was rejected."""

from dataclasses import replace
from uuid import UUID

from runtime.contract import keys
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.checks.totals import CheckTotals, Selection
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.step_totals import StepTotals
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE
from tests.fixtures.storage import new_job

CENT = 10**7
JOB = str(UUID(int=7))
TOTALS = CheckTotals(
    tries=200, rejected=40, rejected_by={"short": 60, "quality": 30}, left_out={"fresh": 4}
)


def checked_job(world: ApiWorld, *, records: int = 100) -> str:
    """A RUNNING job of 100 records, with so many that have passed."""
    job = replace(new_job(JOB, world.own.clock), user_id=ALICE)
    config = replace(job.config, acceptance=Acceptance(max_candidates=1000))
    world.own.jobs.create_job(replace(job, config=config))
    claim = world.own.queue.claim(JOB, "worker")
    assert claim is not None
    world.own.jobs.set_status(JOB, JobStatus.RUNNING, fence=claim.fence)
    world.progress(JOB, records_generated=records, failed_records=3, checks=TOTALS)
    return JOB


def test_until_records_are_chosen_there_is_a_forecast(api_world: ApiWorld) -> None:
    job_id = checked_job(api_world, records=70)
    body = api_world.get(f"/jobs/{job_id}").body
    assert (body["accepted"], body["records_generated"]) == (66, 70)
    assert body["checks"] == {
        "accepted": 66,
        "surplus": 0,
        "left_out": {"fresh": 4},
        "rejected_by": {"short": 60, "quality": 30},
        "tries": 200,
        "acceptance_rate": 0.33,
        "judging_cost": 0.0,
        "exact": False,
    }
    figures = api_world.get(f"/dashboard/jobs/{job_id}").body
    # What failed is made up for: 66 of 100 are there.
    assert (figures["progress_percent"], figures["accepted"]) == (66.0, 66)
    assert figures["checks"] == body["checks"]


def test_what_was_chosen_is_said_exactly(api_world: ApiWorld) -> None:
    job_id = checked_job(api_world, records=120)
    chosen = Selection(wanted=100, records=120, accepted=98, left_out={"fresh": 9})
    api_world.own.jobs.set_selection(job_id, chosen, fence=1)
    body = api_world.get(f"/jobs/{job_id}").body
    assert (body["accepted"], body["checks"]["exact"]) == (98, True)
    assert (body["checks"]["surplus"], body["checks"]["left_out"]) == (13, {"fresh": 9})
    api_world.progress(job_id, records_generated=121, checks=TOTALS)
    later = api_world.get(f"/jobs/{job_id}").body
    assert (later["accepted"], later["checks"]["exact"]) == (100, False)


def test_rates_and_what_judging_costs_are_said(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = checked_job(api_world)
    clock.advance(40)
    steps = {
        "ask": StepTotals(model="m", calls=80, cost_nano=6 * CENT),
        "good": StepTotals(model="j", calls=40, cost_nano=2 * CENT, judge=True),
    }
    totals = CheckTotals(tries=32, rejected_by={"short": 24})
    budget = api_world.job(job_id).budget_nano
    api_world.progress(
        job_id, records_generated=8, cost_nano=budget // 2, steps=steps, checks=totals
    )
    view = api_world.get(f"/jobs/{job_id}").body
    assert (view["checks"]["acceptance_rate"], view["checks"]["judging_cost"]) == (0.25, 0.02)
    judges = {name: each["judge"] for name, each in view["steps"].items()}
    assert judges == {"ask": False, "good": True}
    dashboard = api_world.get(f"/dashboard/jobs/{job_id}").body
    assert dashboard["checks"] == view["checks"]
    assert (dashboard["records_per_second"], dashboard["seconds_left"]) == (0.2, 460.0)
    assert dashboard["records_in_budget"] == 16
    plain = api_world.get(f"/dashboard/jobs/{api_world.job_id()}").body
    assert plain["records_in_budget"] is None


def test_a_job_without_checks_says_nothing_of_them(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    body = api_world.get(f"/jobs/{job_id}").body
    assert (body["checks"], body["accepted"]) == (None, body["records_generated"])


def test_what_was_rejected_is_downloaded_with_the_dataset(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    api_world.put_object(keys.export_key(job_id, "jsonl"), b"{}\n")
    api_world.put_object(keys.rejected_key(job_id), b"{}\n{}\n")
    body = api_world.get(f"/jobs/{job_id}/download").body
    assert [(each["kind"], each["name"], each["size"]) for each in body["files"]] == [
        ("dataset", "exports/dataset.jsonl", 3),
        ("rejected", "rejected.jsonl", 6),
    ]
    assert f"/jobs/{job_id}/rejected.jsonl?" in body["files"][1]["url"]


def test_what_was_rejected_so_far_comes_last_page_by_page(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    for number in (1, 2):
        api_world.put_object(keys.batch_key(job_id, number), b"{}\n")
        api_world.put_object(keys.REJECTED_PARTS.key(job_id, number, None), b"{}\n")
    api_world.put_object(keys.REJECTED_PARTS.key(job_id, 1, 3), b"{}\n")
    api_world.put_object(keys.failure_part_key(job_id, 1), b"{}\n")
    everything = [
        ("batch", "outputs/batch-0001.jsonl"),
        ("batch", "outputs/batch-0002.jsonl"),
        ("failures", "failures/part-0001.jsonl"),
        ("rejected", "rejected/part-0001.jsonl"),
        ("rejected", "rejected/part-0002.jsonl"),
        ("rejected", "rejected/shard-0003/part-0001.jsonl"),
    ]
    for limit in range(1, 8):
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            body = api_world.get(f"/jobs/{job_id}/download", query=query).body
            found += [(each["kind"], each["name"]) for each in body["files"]]
            cursor, pages = body["next_cursor"], pages + 1
        assert found == everything, limit

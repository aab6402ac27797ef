"""Ends of jobs are announced: each at least once, whatever dies, and nothing of users in it."""

from pathlib import Path
from typing import Any, Final

import pytest

from runtime.contract.routes import SWEEP_QUEUE
from runtime.domain.jobs.job import JobError, JobStatus
from runtime.service.requeue import queue_again
from tests.fixtures.api import Api, HandlerLogs
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE
from tests.fixtures.local_api import open_local_api
from tests.fixtures.storage import new_job

ENDS: Final = (JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED, JobStatus.CANCELLED)


def sweep(world: ApiWorld) -> list[Any]:
    """What a sweep announces."""
    before = len(world.aws.bus.entries)
    world.handle(SWEEP_QUEUE, {})
    return world.aws.bus.details[before:]


def test_e12_every_end_is_announced_once(api_world: ApiWorld, clock: ManualClock) -> None:
    """Requirement N17."""
    jobs = {api_world.job_id(status): status for status in ENDS}
    failed = api_world.job_id()
    error = JobError(message="secret prompt", code="model_error")
    api_world.own.jobs.set_status(failed, JobStatus.FAILED, fence=None, error=error)
    for status in (JobStatus.QUEUED, JobStatus.RUNNING):
        api_world.job_id(status)
    details = sweep(api_world)
    assert {each["job_id"]: each["status"] for each in details} == jobs | {failed: "FAILED"}
    [detail] = [each for each in details if each["job_id"] == failed]
    assert detail == {
        "event_id": f"{failed}/{clock.now().isoformat()}",
        "stage": "test",
        "job_id": failed,
        "user_id": ALICE,
        "status": "FAILED",
        "error_code": "model_error",
        "records_generated": 0,
        "failed_records": 0,
        "cost_usd": 0,
    }
    assert "secret" not in str(api_world.aws.bus.entries)
    assert {(each["Source"], each["DetailType"]) for each in api_world.aws.bus.entries} == {
        ("seedwright", "Job Ended")
    }
    assert sweep(api_world) == []


def test_e12_a_crash_after_the_event_announces_it_again_by_the_same_id(
    api_world: ApiWorld,
) -> None:
    api_world.job_id(JobStatus.COMPLETED)
    fault = api_world.fail(
        "dynamodb", "UpdateItem", match=lambda call: "#completed_at" in str(call)
    )
    [first] = sweep(api_world)
    fault.clear()
    assert sweep(api_world) == [first]
    assert sweep(api_world) == []


def test_e12_what_the_bus_refuses_is_announced_later_and_stops_no_other(
    api_world: ApiWorld, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    jobs = []
    for _ in range(11):
        jobs.append(api_world.job_id(JobStatus.COMPLETED))
        clock.advance(1)
    api_world.aws.bus.refused_jobs = {jobs[0]}
    assert [each["job_id"] for each in sweep(api_world)] == jobs[1:]
    api_world.aws.bus.refused_jobs = set()
    fault = api_world.fail("events", "PutEvents")
    assert sweep(api_world) == []
    assert "secret detail" not in handler_logs.text
    fault.clear()
    assert [each["job_id"] for each in sweep(api_world)] == jobs[:1]


def test_e12_a_job_that_ends_again_while_it_is_announced_is_announced_again(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    own = api_world.own
    job_id = api_world.job_id(JobStatus.BUDGET_EXCEEDED)

    def goes_on_and_ends(_call: Any) -> bool:
        if own.jobs.get_job(job_id).status is JobStatus.BUDGET_EXCEEDED:
            clock.advance(1)
            queue_again(own.jobs, own.queue, job_id)
            own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        return False

    fault = api_world.fail("events", "PutEvents", match=goes_on_and_ends)
    [first] = sweep(api_world)
    fault.clear()
    [second] = sweep(api_world)
    assert (first["status"], second["status"]) == ("BUDGET_EXCEEDED", "CANCELLED")
    assert first["event_id"] != second["event_id"]


@pytest.mark.parametrize("status", ENDS)
def test_e12_jobs_that_go_on_or_go_are_not_announced(
    api_world: ApiWorld, status: JobStatus
) -> None:
    """The next end is; and whoever deletes a job knows of its end."""
    job_id = api_world.job_id(status)
    if status is JobStatus.COMPLETED:
        assert api_world.delete(f"/jobs/{job_id}").status == 204
    else:
        queue_again(api_world.own.jobs, api_world.own.queue, job_id)
    assert sweep(api_world) == []


def test_e12_the_local_server_announces_nothing_and_stops_no_process(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Nobody listens, and a worker that holds its lock is alive. The sweep itself works there."""
    service = open_local_api(tmp_path, clock)
    ports = service.api
    ports.jobs.create_job(new_job("job", clock))
    ports.jobs.set_status("job", JobStatus.CANCELLED, fence=None)
    assert Api(ports).handle(SWEEP_QUEUE, {})["withdrawn"] == 1
    assert ports.announcer.announce(enough=lambda: False) == 0
    assert ports.launcher.stop("job/1") == 0
    service.close()


def test_e12_a_damaged_job_stops_no_announcement(api_world: ApiWorld) -> None:
    damaged, whole = (api_world.job_id(JobStatus.COMPLETED) for _ in range(2))
    api_world.aws.dynamodb.update_item(
        TableName="Jobs", Key={"job_id": {"S": damaged}}, UpdateExpression="REMOVE config"
    )
    assert [each["job_id"] for each in sweep(api_world)] == [whole]

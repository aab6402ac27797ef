"""Jobs whose data is too much for one request: the sweeper goes on with them, on AWS and here."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.aws import objects as aws_objects
from runtime.contract import keys
from runtime.contract.routes import SWEEP_QUEUE
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.local import objects as local_objects
from runtime.server.deletions import Deletions
from runtime.service import deletion
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws_faults import no_retry_pauses, refused
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE
from tests.fixtures.local_api import open_local_api
from tests.fixtures.storage import new_job

VERSIONS = 7


def sweep(world: ApiWorld) -> dict[str, int]:
    """What the sweeper counts, without zeros, within its own rights."""
    counts = world.handle(SWEEP_QUEUE, {})
    return {name: value for name, value in counts.items() if value}


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has two versions, and a sweep has time for one page."""
    monkeypatch.setattr(aws_objects, "_DELETE_KEYS", 2)
    monkeypatch.setattr(local_objects, "_DELETE_KEYS", 2)
    monkeypatch.setattr("runtime.lambdas.events.sweep_queue.SWEEP_SECONDS", 0)


@pytest.mark.usefixtures("_small_steps")
def test_g5_what_a_request_can_not_delete_is_swept(api_world: ApiWorld) -> None:
    job_id, other = api_world.job_id(JobStatus.COMPLETED), api_world.job_id(JobStatus.COMPLETED)
    key = keys.checkpoint_key(job_id)
    for _ in range(VERSIONS):
        api_world.put_object(key, b"{}")
    api_world.put_object(keys.checkpoint_key(other), b"{}")
    for owner in (job_id, other):
        entry = {"job_id": {"S": owner}, "timestamp": {"S": "1"}, "cost": {"N": "0.01"}}
        api_world.aws.dynamodb.put_item(TableName="CostTracking", Item=entry)

    reply = api_world.delete(f"/jobs/{job_id}", query={"action": "delete"})

    assert (reply.status, reply.body["status"]) == (202, "DELETING")
    assert api_world.get(f"/jobs/{job_id}").body["status"] == "DELETING"
    listed = api_world.get("/jobs", query={"status": "DELETING"}).body["jobs"]
    assert [each["job_id"] for each in listed] == [job_id]
    # Nobody goes on with the job itself, and to ask again does no harm.
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 409
    assert api_world.delete(f"/jobs/{job_id}").status == 202
    assert sweep(api_world) == {"deleting": 1}
    assert sweep(api_world) == {"deleted": 1}
    assert sweep(api_world) == {}
    assert api_world.get(f"/jobs/{job_id}").status == 404
    assert not [each for each in api_world.items("Queue") if job_id in str(each)]
    assert [each["job_id"]["S"] for each in api_world.items("CostTracking")] == [other]
    assert api_world.object_keys("jobs/") == [keys.checkpoint_key(other)]


def test_e12_a_deletion_that_a_table_broke_off_is_found_by_the_next_sweep(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_retry_pauses(monkeypatch)
    job_id = api_world.job_id(JobStatus.COMPLETED)
    entry = {"job_id": {"S": job_id}, "timestamp": {"S": "1"}, "cost": {"N": "0.01"}}
    api_world.aws.dynamodb.put_item(TableName="CostTracking", Item=entry)
    client = api_world.ports.job_catalog._client  # type: ignore[attr-defined]
    with refused(client, "BatchWriteItem", "ThrottlingException"):
        assert api_world.delete(f"/jobs/{job_id}", query={"action": "delete"}).status == 503
        assert sweep(api_world) == {"failed": 1}
    assert sweep(api_world) == {"deleted": 1}
    assert api_world.get(f"/jobs/{job_id}").status == 404


@pytest.mark.usefixtures("_small_steps")
def test_e12_a_large_job_is_answered_at_once_and_swept_until_time_is_up(
    api_world: ApiWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request deletes one page. A sweep goes on for its seconds, and the next one after it."""
    monkeypatch.setattr("runtime.lambdas.events.sweep_queue.SWEEP_SECONDS", 35)
    job_id = api_world.job_id(JobStatus.COMPLETED)
    for _ in range(3 * VERSIONS):
        api_world.put_object(keys.checkpoint_key(job_id), b"{}")

    def takes_ten_seconds(_parameters: Any) -> bool:
        clock.advance(10)
        return False

    api_world.fail("s3", "DeleteObjects", match=takes_ten_seconds)
    assert api_world.delete(f"/jobs/{job_id}").status == 202
    pages = [call for call in api_world.calls if call.operation == "DeleteObjects"]
    assert len(pages) == 1
    for left, counts in ((11, {"deleting": 1}), (3, {"deleting": 1}), (0, {"deleted": 1})):
        assert sweep(api_world) == counts
        assert len(api_world.object_keys("jobs/")) == left


def test_e12_every_shard_of_a_job_is_deleted(api_world: ApiWorld, clock: ManualClock) -> None:
    """Its work items are listed as DELETING, wherever the deletion was broken off."""
    own = api_world.own
    job = replace(new_job(SOME_ID, clock, shards=3), user_id=ALICE)
    own.jobs.create_job(job)
    own.jobs.set_status(job.job_id, JobStatus.CANCELLED, fence=None)
    claim = own.queue.claim(work_id_of(job.job_id, 2), "worker")
    assert claim is not None
    assert api_world.delete(f"/jobs/{job.job_id}").status == 409
    own.queue.finish(claim, JobStatus.CANCELLED)
    fault = api_world.fail("s3", "DeleteObjects", "SlowDown", status=503)
    api_world.put_object(keys.checkpoint_key(job.job_id, 2), b"{}")
    assert api_world.delete(f"/jobs/{job.job_id}").status == 503
    fault.clear()
    assert {item.status for item in own.work.work_of(job.job_id)} == {JobStatus.DELETING}
    assert sweep(api_world) == {"deleted": 1}
    assert not api_world.items("Queue")
    assert not api_world.items("Jobs")


def test_g5_work_that_is_taken_is_not_deleted(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    assert not api_world.own.work.begin_deletion(work_id_of(job_id))
    assert api_world.own.work.get_work(work_id_of(job_id)).status is JobStatus.RUNNING


@pytest.mark.usefixtures("_small_steps")
def test_g5_the_local_server_goes_on_by_itself(tmp_path: Path, clock: ManualClock) -> None:
    service = open_local_api(tmp_path, clock)
    ports: Any = service.api
    job_id = "job"
    ports.jobs.create_job(new_job(job_id, clock))
    assert ports.work.withdraw(work_id_of(job_id), JobStatus.CANCELLED)
    ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
    for number in range(VERSIONS):
        ports.objects.put(keys.batch_key(job_id, number + 1), b"{}", content_type="x")
    deletion.begin_deletion(ports, job_id)
    assert not deletion.delete_data(ports, job_id, enough=lambda: True)
    assert len(list(ports.objects.list(keys.job_prefix(job_id)))) == VERSIONS - 2

    deletions = Deletions(ports, poll_seconds=0.01)
    deletions.start()
    deadline = time.monotonic() + 5
    while list(ports.work.list_work(JobStatus.DELETING)):
        assert time.monotonic() < deadline, "it does not go on"
        time.sleep(0.005)
    deletions.stop()
    assert not list(ports.objects.list(keys.job_prefix(job_id)))
    service.close()

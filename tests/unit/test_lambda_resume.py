"""Jobs that are COMPLETED go on: more records, failed ones again; safe to send again."""

import pytest

from runtime.contract import keys
from runtime.domain.jobs.job import JobStatus
from runtime.domain.ports import Claim
from tests.fixtures.api_world import ApiWorld


def completed(world: ApiWorld, **counters: int) -> str:
    """A COMPLETED job of 10 records with these counters."""
    job_id = world.job_id(JobStatus.RUNNING)
    world.progress(job_id, **counters)
    claim = Claim(work_id=job_id, job_id=job_id, owner=f"{job_id}/1", fence=1, attempt=1)
    world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=claim.fence)
    world.own.queue.finish(claim, JobStatus.COMPLETED)
    return job_id


def test_b10_a_complete_job_grows(api_world: ApiWorld) -> None:
    job_id = completed(api_world, records_generated=10)
    for number, refused in ((9, 400), (10, 409)):
        asked = {"num_records": number}
        assert api_world.post(f"/jobs/{job_id}/resume", asked).status == refused
    reply = api_world.post(f"/jobs/{job_id}/resume", {"num_records": 25, "budget_limit": 6})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert (reply.body["config"]["num_records"], reply.body["budget_limit"]) == (25, 6)
    assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED
    assert len(api_world.aws.tasks.launches) == 2
    late = api_world.post(f"/jobs/{job_id}/resume", {"num_records": 30})
    assert (late.status, "when it has ended" in late.message) == (409, True)


def test_failed_records_of_a_complete_job_are_tried_again(api_world: ApiWorld) -> None:
    job_id = completed(api_world, records_generated=7, failed_records=3)
    for number in (1, 12):
        api_world.put_object(keys.failure_part_key(job_id, number), b"{}\n")
    refused = api_world.post(f"/jobs/{job_id}/resume", {})
    assert (refused.status, "retry_failed for its 3" in refused.message) == (409, True)
    assert not api_world.object_keys(keys.RETRIES.prefix(job_id))

    reply = api_world.post(f"/jobs/{job_id}/resume", {"retry_failed": True})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert api_world.object_keys(keys.RETRIES.prefix(job_id)) == [keys.RETRIES.key(job_id, 12)]


def test_there_is_nothing_to_try_again_where_nothing_failed(api_world: ApiWorld) -> None:
    job_id = completed(api_world, records_generated=10)
    reply = api_world.post(f"/jobs/{job_id}/resume", {"retry_failed": True})
    assert (reply.status, "larger num_records" in reply.message) == (409, True)


RETRY_AND_GROWTH = {
    "retry_failed": True,
    "num_records": 20,
    "budget_limit": 9,
    "call_timeout": 600,
}


@pytest.mark.parametrize(
    ("service", "operation", "step"),
    [
        ("s3", "PutObject", ""),
        ("dynamodb", "UpdateItem", "num_records"),
        ("dynamodb", "UpdateItem", "call_timeout"),
        ("dynamodb", "TransactWriteItems", "budget_limit"),
        ("dynamodb", "UpdateItem", "queued_at"),
    ],
)
def test_a_retry_or_growth_that_was_cut_off_is_sent_again(
    api_world: ApiWorld, service: str, operation: str, step: str
) -> None:
    """Before each step and, the answer lost, after it."""
    for lost in (False, True):
        job_id = completed(api_world, records_generated=7, failed_records=3)
        api_world.put_object(keys.failure_part_key(job_id, 2), b"{}\n")
        fault = api_world.fail(
            service, operation, match=lambda call: step in str(call), after_write=lost
        )
        api_world.post(f"/jobs/{job_id}/resume", RETRY_AND_GROWTH)
        assert fault.hits, "the fault was never met"
        fault.clear()

        assert api_world.post(f"/jobs/{job_id}/resume", RETRY_AND_GROWTH).status in {200, 409}
        job = api_world.job(job_id)
        assert (job.status, job.config.num_records) == (JobStatus.QUEUED, 20)
        assert job.budget_nano == 9 * 10**9
        assert job.config.calls.call_timeout == 600
        assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED
        assert len(set(api_world.object_keys(keys.RETRIES.prefix(job_id)))) == 1

"""POST /jobs/{job_id}/export: what is refused, what is stored at once, who starts its worker."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.contract import keys
from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED
from runtime.domain.jobs.job import JobStatus, Progress, work_id_of
from runtime.domain.jobs.row_export import ExportStatus
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import BOB
from tests.fixtures.worker_world import step

OTHER = {"name": "n", "steps": [step()], "output": {"columns": {"text": "steps.review.output"}}}
KEEP = {"keep": ["product"]}


def sweep(world: ApiWorld) -> dict[str, int]:
    counts = world.handle(SWEEP_QUEUE, {})
    return {name: value for name, value in counts.items() if value}


def export(world: ApiWorld, job_id: str, body: Any = KEEP, **more: Any) -> Any:
    return world.post(f"/jobs/{job_id}/export", body, **more)


def die(world: ApiWorld, job_id: str) -> None:
    """The worker of the newest launch claims the work and is lost."""
    launch = world.own.work.get_work(job_id).launches
    owner = f"{job_id}/{launch}"
    assert world.own.queue.claim(job_id, owner) is not None
    stopped = {"lastStatus": "STOPPED", "startedBy": owner, "containers": [{"exitCode": 137}]}
    world.handle(TASK_STOPPED, {"detail": stopped})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"shape": "mesages"}, "messages"),
        ({"shape": "messages"}, "fill in the block"),
        ({"template": {**OTHER, "steps": [step(prompt="Another {{ product }}")]}}, "step review"),
        ({"template": OTHER, "shape": "columns"}, "a template says its shape"),
        ({"template": OTHER, "template_id": "0f1e2d3c-4b5a-4968-8776-655443322110"}, "either"),
        ({"template_version": 1}, "needs a template_id"),
        ({"split": {"test": 1.5}}, "split"),
        ({"split_by": "seed.product"}, "needs a split"),
        ({"formats": ["XML"]}, "formats"),
        ({"licence": "All rights reserved!"}, "licence"),
        ({"review": "form.csv"}, "review"),
    ],
)
def test_what_can_not_be_made_is_refused_before_anything_is_stored(
    api_world: ApiWorld, body: Any, said: str
) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    reply = export(api_world, job_id, body)
    assert (reply.status, said in str(reply.body)) == (400, True), reply
    assert api_world.job(job_id).export is None
    assert not api_world.object_keys(f"jobs/{job_id}/export-requests/")


def test_the_block_to_fill_in_is_the_one_detail(api_world: ApiWorld) -> None:
    """Commands and Python know it by its field and its lines."""
    reply = export(api_world, api_world.job_id(JobStatus.COMPLETED), {"shape": "messages"})
    (detail,) = reply.body["error"]["details"]
    assert detail["field"] == "output"
    assert "\noutput:\n" in detail["message"]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DELETING])
def test_a_job_that_has_not_ended_is_not_exported(api_world: ApiWorld, status: JobStatus) -> None:
    job_id = api_world.job_id(status)
    assert export(api_world, job_id).status == 409
    assert api_world.job(job_id).export is None


def test_a_job_without_records_has_no_rows(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    refused = export(api_world, job_id)
    assert (refused.status, "no records" in refused.message) == (409, True)
    api_world.put_object(keys.batch_key(job_id, 1), b"{}\n")  # its counters are behind
    assert export(api_world, job_id).status == 202


def test_a_template_is_named_by_whoever_may_read_it(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    foreign = api_world.template(step(), user=BOB)
    assert export(api_world, job_id, {"template_id": foreign}).status == 404
    public = api_world.template(step(), user=BOB, public=True)
    asked = {"template_id": public, "template_version": 1}
    reply = export(api_world, job_id, asked)
    assert (reply.status, reply.body["export"]["folder"]) == (202, "data")
    assert reply.body["status"] == "COMPLETED"
    assert len(api_world.aws.tasks.launches) == 2


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "PutObject"), ("dynamodb", "TransactWriteItems")]
)
def test_a_request_that_was_cut_off_is_sent_again(
    api_world: ApiWorld, service: str, operation: str, *, lost: bool
) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    fault = api_world.fail(service, operation, after_write=lost)
    export(api_world, job_id)
    assert fault.hits, "the fault was never met"
    fault.clear()
    assert export(api_world, job_id).status == 202
    job = api_world.job(job_id)
    assert job.asked_export is not None
    assert job.asked_export.number == 1
    assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED


def test_the_sweeper_starts_what_could_not_be_started(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    begun = len(api_world.aws.tasks.launches)
    fault = api_world.fail("ecs", "RunTask")
    reply = export(api_world, job_id)
    assert (reply.status, reply.body["launch_error"] is not None) == (202, True)
    fault.clear()
    assert sweep(api_world)["launched"] == 1
    assert len(api_world.aws.tasks.launches) == begun + 1
    assert "withdrawn" not in sweep(api_world), "it is waited for"
    clock.advance(3600)
    assert sweep(api_world)["launched"] == 1
    assert api_world.job(job_id).launch_error is None


def test_exports_that_kill_their_workers_end(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    export(api_world, job_id)
    for _ in range(5):
        assert api_world.job(job_id).asked_export is not None
        die(api_world, job_id)
    asked = api_world.job(job_id).export
    assert asked is not None
    assert (asked.status, asked.code) == (ExportStatus.FAILED, "workers_lost")
    assert api_world.job(job_id).status is JobStatus.COMPLETED
    assert "5 times in a row while it exported" in str(asked.message)
    assert api_world.own.work.get_work(job_id).status is JobStatus.COMPLETED
    assert export(api_world, job_id).status == 202, "nothing is in the way of another try"


def test_of_a_sharded_job_one_task_is_started_and_no_execution(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    job_id = str(api_world.create_job(num_records=10, shards=2).body["job_id"])
    for shard in (0, 1, None):
        work_id = work_id_of(job_id, shard)
        if shard is None:
            assert api_world.own.queue.release_own(job_id)
        claim = api_world.own.queue.claim(work_id, work_id)
        assert claim is not None
        if shard is None:
            api_world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=claim.fence)
            api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=claim.fence)
        else:
            done = Progress(records_generated=5)
            api_world.own.jobs.set_progress(job_id, claim.fence, done, shard=shard)
        api_world.own.queue.finish(claim, JobStatus.COMPLETED, run=1)
    begun = list(api_world.aws.machine.begun)
    assert export(api_world, job_id).status == 202
    (launch,) = api_world.aws.tasks.launches
    assert launch.variables["JOB_ID"] == job_id
    clock.advance(timedelta(hours=1).total_seconds())
    assert sweep(api_world)["launched"] == 1
    die(api_world, job_id)
    assert len(api_world.aws.tasks.launches) == 3
    assert api_world.aws.machine.begun == begun
    assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED


def test_a_job_that_waits_for_its_export_may_be_deleted(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    export(api_world, job_id)
    assert api_world.delete(f"/jobs/{job_id}").status in {202, 204}
    sweep(api_world)
    assert api_world.get(f"/jobs/{job_id}").status == 404

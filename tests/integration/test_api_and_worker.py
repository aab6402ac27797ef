"""The API and the real worker together on emulated AWS, with a double of Bedrock behind it."""

from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws import BUCKET, FakeAws
from tests.fixtures.aws_api import open_aws_api
from tests.fixtures.session_faults import Faults
from tests.fixtures.worker_world import MODEL, WorkerWorld, at, indices, step

SEEDS = [{"product": f"product {number}"} for number in range(20)]


@pytest.fixture
def account(aws: FakeAws) -> FakeAws:
    """With a client of ECS that is not the workers': `world` makes every later one theirs."""
    assert aws.ecs is not None
    return aws


@pytest.fixture
def api(account: FakeAws, world: WorkerWorld) -> ApiWorld:
    """The API on the account that `world` runs its workers in."""
    assert account is world.aws
    ports = open_aws_api(world.aws, world.clock)
    return ApiWorld(world.aws, ports=ports, own=ports, faults=Faults())


def create(api: ApiWorld, **fields: Any) -> str:
    fields = {"num_records": 20, "seed_strategy": "sequential", **fields}
    reply = api.create_job(seed_data_path=api.seeds(SEEDS), **fields)
    assert reply.status == 201, reply
    job_id: str = reply.body["job_id"]
    return job_id


def run(api: ApiWorld, world: WorkerWorld, job_id: str, **overrides: Any) -> ExitCode:
    """A worker as the newest launch starts it."""
    variables = api.aws.tasks.launches[-1].variables
    assert variables["JOB_ID"] == job_id
    return world.run(job_id, owner=variables["WORKER_OWNER"], **overrides)


def get(api: ApiWorld, url: str) -> bytes:
    """What is under a signed address."""
    key = unquote(urlsplit(url).path).removeprefix("/").removeprefix(f"{BUCKET}/")
    return api.aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def files(api: ApiWorld, job_id: str) -> dict[str, bytes]:
    """Everything that a user downloads, by name."""
    body = api.get(f"/jobs/{job_id}/download").body
    return {each["name"]: get(api, each["url"]) for each in body["files"]}


def lines(body: bytes) -> list[Any]:
    return [orjson.loads(line) for line in body.splitlines()]


def test_from_request_to_records(api: ApiWorld, world: WorkerWorld) -> None:
    world.double.faults([{"effect": "ValidationException", "prompt": "product 7"}])
    job_id = create(api, output_format=["JSONL", "CSV", "PARQUET"])

    assert run(api, world, job_id) is ExitCode.DONE

    job = api.get(f"/jobs/{job_id}").body
    assert (job["status"], job["error_message"]) == ("COMPLETED", None)
    assert (job["records_generated"], job["failed_records"]) == (19, 1)
    assert 0 < job["cost_estimate"] < 5
    assert job["started_at"] <= job["completed_at"]

    downloaded = files(api, job_id)
    records = lines(downloaded["exports/dataset.jsonl"])
    assert sorted(indices(records)) == [number for number in range(20) if number != 7]
    assert [failure["index"] for failure in lines(downloaded["failures.jsonl"])] == [7]
    assert downloaded["exports/dataset.parquet"].startswith(b"PAR1")
    assert downloaded["exports/dataset.csv"].count(b"\n") >= 20

    dashboard = api.get(f"/dashboard/jobs/{job_id}").body
    assert dashboard["progress_percent"] == 100.0
    assert sum(dashboard["failures_by_kind"].values()) == 1
    assert dashboard["cost_by_model"] == {MODEL: dashboard["cost"]}
    assert dashboard["cost_unattributed"] == 0.0
    assert dashboard["records_per_second"] > 0

    summary = api.get("/dashboard/summary").body
    assert (summary["jobs_by_status"], summary["records_generated"]) == ({"COMPLETED": 1}, 19)
    assert summary["cost"] == job["cost_estimate"]
    assert world.double.stats()["paid_twice"] == 0


def test_includes_that_were_pinned_are_what_is_sent(api: ApiWorld, world: WorkerWorld) -> None:
    rules = api.template(step("rules", "Be kind to {{ product }}."))
    template_id = api.template(step(prompt="{% include '" + rules + "' %} Go."))
    job_id = create(api, template_id=template_id, num_records=1)
    api.delete(f"/templates/{rules}")
    assert run(api, world, job_id) is ExitCode.DONE
    [request] = world.double.requests
    assert "Be kind to product 0. Go." in str(request.body)


def test_an_estimate_covers_what_the_job_costs(api: ApiWorld, world: WorkerWorld) -> None:
    template_id, seeds = api.template(), api.seeds(SEEDS)
    body = {"template_id": template_id, "seed_data_path": seeds, "num_records": 20}
    estimate = api.post("/jobs/estimate", body).body
    assert world.double.calls == 0
    job_id = api.create_job(
        template_id=template_id,
        seed_data_path=seeds,
        num_records=20,
        budget_limit=estimate["highest_usd"],
    ).body["job_id"]
    assert run(api, world, job_id) is ExitCode.DONE
    cost = api.get(f"/jobs/{job_id}").body["cost_estimate"]
    assert estimate["lowest_usd"] < cost <= estimate["highest_usd"]


def test_a_cancelled_job_stops_and_goes_on(api: ApiWorld, world: WorkerWorld) -> None:
    """Fault 8."""
    job_id = create(api)
    cancelled: list[Any] = []

    def cancel() -> None:
        cancelled.append(api.delete(f"/jobs/{job_id}"))

    code = run(
        api, world, job_id, crash_point=at("after_checkpoint", 1, cancel), heartbeat_seconds=0.05
    )
    assert code is ExitCode.DONE
    assert (cancelled[0].status, cancelled[0].body["status"]) == (202, "CANCELLED")
    saved = len(world.records(job_id))
    assert 5 <= saved <= 20

    so_far = api.get(f"/jobs/{job_id}/download").body
    assert so_far["complete"] is False
    assert sum(len(lines(get(api, each["url"]))) for each in so_far["files"]) == saved

    assert api.post(f"/jobs/{job_id}/resume", {}).status == 200
    assert run(api, world, job_id) is ExitCode.DONE
    assert sorted(indices(world.dataset(job_id))) == list(range(20))
    assert world.double.calls == 20
    assert world.double.stats()["paid_twice"] == 0


def test_a_budget_that_is_used_up_and_raised(api: ApiWorld, world: WorkerWorld) -> None:
    """S8.3."""
    job_id = create(api, budget_limit="0.00006", allow_partial=True)
    assert run(api, world, job_id) is ExitCode.BUDGET_EXCEEDED
    job = api.get(f"/jobs/{job_id}").body
    assert job["status"] == "BUDGET_EXCEEDED"
    assert job["cost_estimate"] <= 0.00006
    assert 0 < job["records_generated"] < 20
    kept = lines(files(api, job_id)["exports/dataset.jsonl"])
    assert len(kept) == job["records_generated"]

    assert api.post(f"/jobs/{job_id}/resume", {}).status == 409
    assert api.post(f"/jobs/{job_id}/resume", {"budget_limit": 1}).status == 200
    assert run(api, world, job_id) is ExitCode.DONE
    assert sorted(indices(lines(files(api, job_id)["exports/dataset.jsonl"]))) == list(range(20))
    assert world.double.stats()["paid_twice"] == 0


def test_a_task_that_is_taken_away_is_followed_by_the_next(
    api: ApiWorld, world: WorkerWorld
) -> None:
    job_id = create(api)
    code = run(api, world, job_id, crash_point=at("after_batch_put", 2, world.stop))
    assert code is ExitCode.INTERRUPTED
    event = {
        "detail": {
            "lastStatus": "STOPPED",
            "startedBy": api.aws.tasks.launches[-1].started_by,
            "stopCode": "SpotInterruption",
            "containers": [{"exitCode": int(code)}],
        }
    }
    assert api.handle(TASK_STOPPED, event)["launched"] == 1
    assert run(api, world, job_id) is ExitCode.DONE
    assert sorted(indices(world.dataset(job_id))) == list(range(20))
    assert world.double.stats()["paid_twice"] == 0


class Killed(BaseException):
    """The machine is gone."""


def test_a_machine_that_is_lost_without_a_word(api: ApiWorld, world: WorkerWorld) -> None:
    job_id = create(api)

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        run(api, world, job_id, crash_point=at("after_batch_put", 2, kill))
    assert api.get(f"/jobs/{job_id}").body["status"] == "RUNNING"
    assert api.handle(SWEEP_QUEUE, {})["recovered"] == 0
    # A whole lease goes by.
    world.aws.dynamodb.update_item(
        TableName="Queue",
        Key={"work_id": {"S": job_id}},
        UpdateExpression="SET seen_at = :then",
        ExpressionAttributeValues={":then": {"S": "2026-01-01T00:00:00.000000+00:00"}},
    )
    assert api.handle(SWEEP_QUEUE, {})["launched"] == 1
    assert run(api, world, job_id) is ExitCode.DONE
    assert sorted(indices(world.dataset(job_id))) == list(range(20))


@pytest.mark.parametrize("bom", [True, False])
def test_csv_begins_with_a_byte_order_mark_where_the_api_is_asked_for_it(
    api: ApiWorld, world: WorkerWorld, *, bom: bool
) -> None:
    asked = {"byte_order_mark": True} if bom else {}
    job_id = create(api, output_format=["CSV"], num_records=2, **asked)
    assert run(api, world, job_id) is ExitCode.DONE
    downloaded = files(api, job_id)
    for name in ("exports/dataset.csv", "exports/data-csv/train.csv"):
        assert downloaded[name].startswith(b"\xef\xbb\xbf") is bom


def test_a_deleted_job_leaves_nothing_behind(api: ApiWorld, world: WorkerWorld) -> None:
    job_id = create(api, output_format=["JSONL", "PARQUET", "CSV"])
    assert run(api, world, job_id) is ExitCode.DONE
    tables = ("Jobs", "Queue", "CostTracking", "CheckpointMetadata")
    assert all(job_id in str(api.items(table)) for table in tables)
    assert api.object_keys(f"jobs/{job_id}/")

    assert api.delete(f"/jobs/{job_id}").status == 204

    assert not any(api.items(table) for table in tables)
    assert not api.object_keys("jobs/")
    assert api.get(f"/jobs/{job_id}").status == 404
    assert api.get("/jobs").body["jobs"] == []
    assert api.object_keys("seed-data/"), "seeds are the user's own"


def test_seeds_that_change_after_the_request(api: ApiWorld, world: WorkerWorld) -> None:
    """N8, fault 88: a job keeps the version it was created with."""
    job_id = create(api, num_records=3)
    path = api.job(job_id).config.seed_data_path
    assert path is not None
    api.put_object(path, b'{"product": "swapped"}\n')
    assert run(api, world, job_id) is ExitCode.DONE
    assert "swapped" not in str([request.body for request in world.double.requests])


def test_a_job_that_fails_says_why(api: ApiWorld, world: WorkerWorld) -> None:
    world.double.faults([{"effect": "AccessDeniedException"}])
    job_id = create(api)
    assert run(api, world, job_id) is ExitCode.JOB_FAILED
    job = api.get(f"/jobs/{job_id}").body
    assert job["status"] == "FAILED"
    assert job["error_message"]
    assert job["error_code"] == "model_access_denied"
    world.double.faults([])
    assert api.post(f"/jobs/{job_id}/resume", {}).status == 200
    assert run(api, world, job_id) is ExitCode.DONE
    assert api.job(job_id).status is JobStatus.COMPLETED

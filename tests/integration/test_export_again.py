"""An ended job's rows in another shape: from the request, by a worker, to the files."""

import io
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import exports_prefix, rows_prefix
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sharding import Sharding
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_api import open_aws_api
from tests.fixtures.lambda_events import BOB
from tests.fixtures.session_faults import Faults
from tests.fixtures.worker_world import WorkerWorld, at

STEP: dict[str, Any] = {
    "id": "answer",
    "prompt": "Say {{ product }} <{{ index }}>.",
    "max_tokens": 20,
    "model_tier": "cheap",
}
SEEDS = [{"product": "kettle"}, {"product": "pan"}]
RECORDS = 12
MESSAGES = {
    "messages": [
        {"role": "user", "content": "About {{ seed.product }}?"},
        {"role": "assistant", "content": "steps.answer.output"},
    ],
}


@pytest.fixture
def account(aws: FakeAws) -> FakeAws:
    """With clients of ECS that are not the workers': `world` makes every later one theirs."""
    assert aws.ecs is not None
    assert aws.step_functions is not None
    return aws


@pytest.fixture
def api(account: FakeAws, world: WorkerWorld) -> ApiWorld:
    ports = open_aws_api(account, world.clock)
    return ApiWorld(account, ports=ports, own=ports, faults=Faults())


def ended(api: ApiWorld, world: WorkerWorld, **fields: Any) -> str:
    job_id: str = api.create_job(
        template_id=api.template(STEP),
        seed_data_path=api.seeds(SEEDS),
        num_records=RECORDS,
        allow_partial=True,
        **fields,
    ).body["job_id"]
    assert run(api, world, job_id) is ExitCode.DONE
    return job_id


def run(api: ApiWorld, world: WorkerWorld, job_id: str, **overrides: Any) -> ExitCode:
    """A worker as the newest launch starts it."""
    variables = api.aws.tasks.launches[-1].variables
    assert variables["JOB_ID"] == job_id
    return world.run(job_id, owner=variables["WORKER_OWNER"], **overrides)


def export_of(api: ApiWorld, job_id: str) -> Any:
    return api.get(f"/jobs/{job_id}").body["export"]


def rows_of(api: ApiWorld, world: WorkerWorld, job_id: str, folder: str) -> list[Any]:
    (key,) = set(api.object_keys(rows_prefix(job_id, folder)))  # with versions
    found: list[Any] = pq.read_table(io.BytesIO(world.object(key))).to_pylist()
    return found


def as_messages(**more: Any) -> Any:
    return {"template": {"name": "n", "steps": [STEP], "output": MESSAGES, **more}}


def test_rows_in_another_shape_are_made_beside_the_others(
    api: ApiWorld, world: WorkerWorld
) -> None:
    job_id = ended(api, world)
    before, calls = api.get(f"/jobs/{job_id}").body, world.double.calls
    assert before["export"] is None
    dataset = world.object(f"{exports_prefix(job_id)}dataset.jsonl")

    columns = {"keep": ["product"], "formats": ["CSV"], "licence": "mit", "split": {"test": 0.3}}
    reply = api.post(f"/jobs/{job_id}/export", columns)
    assert (reply.status, reply.body["status"]) == (202, "COMPLETED")
    assert reply.body["export"]["status"] == "QUEUED"
    assert run(api, world, job_id) is ExitCode.DONE
    done = export_of(api, job_id)
    assert (done["status"], done["records"], done["rows"]) == ("COMPLETED", RECORDS, RECORDS)

    assert api.post(f"/jobs/{job_id}/export", as_messages()).status == 202
    assert run(api, world, job_id) is ExitCode.DONE
    (first, *_) = rows_of(api, world, job_id, "messages")
    assert [each["role"] for each in first["messages"]] == ["user", "assistant"]
    assert first["messages"][0]["content"] in {"About kettle?", "About pan?"}

    downloads = api.get(f"/jobs/{job_id}/download").body
    assert {each["configuration"] for each in downloads["rows"]} == {"default", "messages"}
    (table,) = (each for each in downloads["rows"] if each["shape"] == "columns")
    assert set(table["splits"]) == {"train", "test"}
    assert set(table["columns"]) == {"answer", "product"}
    names = {each["name"] for each in downloads["files"]}
    assert {"exports/data-csv/test.csv", "exports/dataset.jsonl"} <= names
    card = world.object(f"jobs/{job_id}/README.md").decode()
    assert "license: mit" in card
    assert "config_name: messages" in card
    # Nothing else has changed, and nothing was paid.
    after = api.get(f"/jobs/{job_id}").body
    changing = {"export", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert world.object(f"{exports_prefix(job_id)}dataset.jsonl") == dataset
    assert world.double.calls == calls


def test_a_job_that_grows_has_its_rows_again_in_every_shape(
    api: ApiWorld, world: WorkerWorld
) -> None:
    job_id = ended(api, world)
    api.post(f"/jobs/{job_id}/export", as_messages())
    waiting = api.post(f"/jobs/{job_id}/resume", {"num_records": RECORDS + 3})
    assert waiting.status == 409, "its rows are being exported"
    run(api, world, job_id)
    assert api.post(f"/jobs/{job_id}/resume", {"num_records": RECORDS + 3}).status == 200
    busy = api.post(f"/jobs/{job_id}/export", as_messages())
    assert (busy.status, "when it has ended" in busy.message) == (409, True)
    assert run(api, world, job_id) is ExitCode.DONE
    assert len(rows_of(api, world, job_id, "messages")) == RECORDS + 3
    rows = api.get(f"/jobs/{job_id}/download").body["rows"]
    assert [each["folder"] for each in rows] == ["data", "messages"]
    assert [each["splits"] for each in rows] == [{"train": RECORDS + 3}] * 2
    assert len(world.dataset(job_id)) == RECORDS + 3


def test_one_export_at_a_time_and_the_same_one_once(api: ApiWorld, world: WorkerWorld) -> None:
    job_id = ended(api, world)
    launches = len(api.aws.tasks.launches)
    for _ in range(2):  # the answer to the first was lost
        assert api.post(f"/jobs/{job_id}/export", as_messages()).status == 202
    assert len(api.aws.tasks.launches) == launches + 1
    other = api.post(f"/jobs/{job_id}/export", {"shape": "columns"})
    assert (other.status, "being exported" in other.message) == (409, True)
    assert api.post(f"/jobs/{job_id}/export", {"shape": "columns"}, user=BOB).status == 404
    assert run(api, world, job_id) is ExitCode.DONE
    assert api.post(f"/jobs/{job_id}/export", {"shape": "columns"}).status == 202


@pytest.mark.parametrize("point", ["before_export", "mid_export", "before_status"])
def test_an_export_whose_worker_dies_is_made_by_the_next(
    api: ApiWorld, world: WorkerWorld, point: str
) -> None:
    class KilledError(BaseException):
        pass

    def kill() -> None:
        raise KilledError

    job_id = ended(api, world)
    api.post(f"/jobs/{job_id}/export", as_messages())
    with pytest.raises(KilledError):
        run(api, world, job_id, crash_point=at(point, 1, kill))
    assert export_of(api, job_id)["status"] == "RUNNING"
    (lease,) = api.own.queue.leases()
    assert api.own.queue.recover(lease)
    assert world.run(job_id) is ExitCode.DONE
    assert export_of(api, job_id)["status"] == "COMPLETED"
    assert len(rows_of(api, world, job_id, "messages")) == RECORDS


def test_an_export_that_is_interrupted_is_handed_back(api: ApiWorld, world: WorkerWorld) -> None:
    job_id = ended(api, world)
    api.post(f"/jobs/{job_id}/export", as_messages())
    worker = world.worker(crash_point=at("before_export", 1, lambda: worker.request_shutdown()))  # noqa: PLW0108 - not there yet
    assert worker.run(job_id) is ExitCode.INTERRUPTED
    assert not api.object_keys(rows_prefix(job_id, "messages"))
    assert api.own.work.get_work(job_id).status is JobStatus.QUEUED
    assert world.run(job_id) is ExitCode.DONE
    assert export_of(api, job_id)["status"] == "COMPLETED"


def test_a_late_owner_publishes_nothing(api: ApiWorld, world: WorkerWorld) -> None:
    job_id = ended(api, world)
    api.post(f"/jobs/{job_id}/export", as_messages())

    def take_over() -> None:
        (lease,) = api.own.queue.leases()
        assert api.own.queue.recover(lease)
        assert world.run(job_id) is ExitCode.DONE

    assert world.run(job_id, crash_point=at("before_status", 1, take_over)) is (
        ExitCode.INTERRUPTED
    )
    assert export_of(api, job_id)["status"] == "COMPLETED"
    assert api.job(job_id).status is JobStatus.COMPLETED


def test_why_an_export_failed_is_read_and_another_may_follow(
    api: ApiWorld, world: WorkerWorld
) -> None:
    job_id = ended(api, world)
    api.post(f"/jobs/{job_id}/export", as_messages())
    (request,) = set(api.object_keys(f"jobs/{job_id}/export-requests/"))
    api.put_object(request, b"{")
    assert run(api, world, job_id) is ExitCode.JOB_FAILED
    failed = export_of(api, job_id)
    assert (failed["status"], failed["code"]) == ("FAILED", "storage")
    assert "ask for it again" in failed["message"]
    job = api.get(f"/jobs/{job_id}").body
    assert (job["status"], job["error_message"]) == ("COMPLETED", None)
    assert api.post(f"/jobs/{job_id}/export", as_messages()).status == 202
    assert run(api, world, job_id) is ExitCode.DONE
    assert (export_of(api, job_id)["status"], export_of(api, job_id)["message"]) == (
        "COMPLETED",
        None,
    )


def test_what_a_cancelled_job_has_is_exported(api: ApiWorld, world: WorkerWorld) -> None:
    job_id: str = api.create_job(
        template_id=api.template(STEP), seed_data_path=api.seeds(SEEDS), num_records=40
    ).body["job_id"]
    none = api.post(f"/jobs/{job_id}/export", {})
    assert none.status == 409
    cancel = at("after_checkpoint", 1, lambda: api.delete(f"/jobs/{job_id}"))
    run(api, world, job_id, crash_point=cancel, heartbeat_seconds=0.05)
    job = api.job(job_id)
    assert job.status is JobStatus.CANCELLED
    saved = len(world.records(job_id))
    assert job.progress.records_generated <= saved < 40
    assert api.post(f"/jobs/{job_id}/export", as_messages()).status == 202
    assert run(api, world, job_id) is ExitCode.DONE
    assert api.job(job_id).status is JobStatus.CANCELLED
    assert len(rows_of(api, world, job_id, "messages")) == saved
    lines = world.object(f"{exports_prefix(job_id)}dataset.jsonl").splitlines()
    assert len({orjson.loads(line)["index"] for line in lines}) == saved


def test_a_sharded_job_is_exported_by_one_worker(api: ApiWorld, world: WorkerWorld) -> None:
    job_id: str = api.create_job(
        template_id=api.template(STEP), seed_data_path=api.seeds(SEEDS), num_records=8, shards=2
    ).body["job_id"]
    assert api.job(job_id).config.sharding == Sharding(count=2, ends=(8,))
    for work_id in (f"{job_id}#0", f"{job_id}#1", job_id):
        assert world.run(work_id) is ExitCode.DONE
    assert api.post(f"/jobs/{job_id}/export", as_messages()).status == 202
    assert run(api, world, job_id) is ExitCode.DONE
    assert len(rows_of(api, world, job_id, "messages")) == 8

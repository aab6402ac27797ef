"""Items and objects that earlier commits wrote on AWS, under today's API and worker."""

from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws import BUCKET, FakeAws
from tests.fixtures.aws_api import open_aws_api
from tests.fixtures.kept.kept import COMMITS, document
from tests.fixtures.kept.record import draws, recover
from tests.fixtures.session_faults import Faults
from tests.fixtures.worker_world import WorkerWorld, indices

STOPPED = ("killed", "stopped")


@pytest.fixture
def account(aws: FakeAws) -> FakeAws:
    """With a client of ECS that is not the workers': `world` makes every later one theirs."""
    assert aws.ecs is not None
    return aws


@pytest.fixture(params=COMMITS)
def commit(request: pytest.FixtureRequest, account: FakeAws) -> str:
    """A commit, and the account as it was left."""
    commit = str(request.param)
    restore(account, document(commit, "aws"))
    return commit


@pytest.fixture
def api(account: FakeAws, world: WorkerWorld) -> ApiWorld:
    ports = open_aws_api(account, world.clock)
    return ApiWorld(account, ports=ports, own=ports, faults=Faults())


def restore(account: FakeAws, stored: Any) -> None:
    """Put objects and items back. S3 gives new versions, which the items then name."""
    items = orjson.dumps(stored["tables"]).decode()
    for each in stored["objects"]:
        written = account.s3.put_object(
            Bucket=BUCKET,
            Key=each["key"],
            Body=each["text"].encode(),
            ContentType=each["content_type"],
        )
        items = items.replace(each["version"], written["VersionId"])
    for table, rows in orjson.loads(items).items():
        for item in rows:
            account.dynamodb.put_item(TableName=table, Item=item)


def download(api: ApiWorld, job_id: str) -> list[Any]:
    """The records of a job's only dataset."""
    files = api.get(f"/jobs/{job_id}/download").body["files"]
    (url,) = [each["url"] for each in files if each["name"] == "exports/dataset.jsonl"]
    key = unquote(urlsplit(url).path).removeprefix("/").removeprefix(f"{BUCKET}/")
    body = api.aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return [orjson.loads(line) for line in body.splitlines()]


def test_the_api_lists_and_hands_out_what_is_stored(commit: str, api: ApiWorld) -> None:
    expected = document(commit, "aws-expected")
    jobs = expected["jobs"]

    listed = api.get("/jobs").body["jobs"]

    assert {job["job_id"]: job["status"] for job in listed} == {
        jobs["completed"]["id"]: "COMPLETED",
        jobs["killed"]["id"]: "RUNNING",
        jobs["stopped"]["id"]: "QUEUED",
    }
    assert draws(download(api, jobs["completed"]["id"])) == jobs["completed"]["draws"]
    template = api.get(f"/templates/{expected['template_id']}").body
    assert (template["name"], template["version"]) == ("kept", 2)
    first = api.get(f"/templates/{expected['template_id']}", query={"version": "1"}).body
    assert (first["version"], first["document"]["name"]) == (1, "before")


def test_a_worker_ends_the_jobs_that_were_on_their_way(
    commit: str, api: ApiWorld, account: FakeAws, world: WorkerWorld
) -> None:
    jobs = document(commit, "aws-expected")["jobs"]
    recover(account, api, jobs["killed"]["id"])

    for name in STOPPED:
        job, before = jobs[name], world.double.calls
        assert world.run(job["id"]) is ExitCode.DONE

        assert world.job(job["id"]).status is JobStatus.COMPLETED
        records, failures = world.dataset(job["id"]), world.failures(job["id"])
        assert draws(records) == job["draws"]
        assert sorted(indices(records) + indices(failures)) == list(range(job["records"]))
        assert world.double.calls - before == job["calls_left"]
        assert world.double.stats()["paid_twice"] == 0
        world.double.reset()  # jobs of one random seed send the same prompts

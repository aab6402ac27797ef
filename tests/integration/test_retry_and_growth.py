"""Failed records are tried again: those that the service failed by the same command, all others by
`--retry-failed`; in a folder and at the API, whatever is cut off in between.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import RETRIES
from runtime.domain.errors import StorageError
from runtime.domain.jobs.job import JobStatus
from runtime.local.job_store import SqliteJobStore
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_api import open_aws_api
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.session_faults import Faults
from tests.fixtures.worker_world import WorkerWorld, indices

RECORDS, MORE = 12, 15
TEMPLATE: Any = {
    "name": "one",
    "steps": [{"id": "text", "prompt": "Say {{ topic }} <{{ index }}>.", "max_tokens": 20}],
}
SEEDS = [{"topic": "tea"}, {"topic": "snow"}]
OWN = [{"prompt": f"<{index}>", "effect": "ValidationException"} for index in (3, 8)]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def generate(out: Path, n: int = RECORDS, **options: Any) -> seedwright.Dataset:
    return seedwright.generate(
        TEMPLATE, SEEDS, n=n, out=out, backend="bedrock", formats="jsonl", **options
    )


def failed(dataset: seedwright.Dataset) -> list[int]:
    return sorted(failure["index"] for failure in dataset.failures)


def lines(dataset: seedwright.Dataset) -> list[bytes]:
    return (dataset.path / "dataset.jsonl").read_bytes().splitlines()


def test_failed_records_of_a_folder_are_tried_again_when_that_is_asked(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults(OWN)  # type: ignore[arg-type]
    first = generate(tmp_path)
    assert (len(first), failed(first)) == (RECORDS - 2, [3, 8])
    before, calls = lines(first), double.calls
    double.faults([])

    same = generate(tmp_path)
    assert (failed(same), double.calls) == ([3, 8], calls), "nobody asked"
    again = generate(tmp_path, retry_failed=True)

    assert (len(again), again.failures, again.failed) == (RECORDS, [], 0)
    assert lines(again)[: RECORDS - 2] == before
    assert sorted(record["index"] for record in again) == list(range(RECORDS))
    assert double.calls == calls + 2
    assert len(generate(tmp_path, retry_failed=True)) == RECORDS
    assert double.calls == calls + 2, "nothing is left to be tried"


def test_records_that_fail_again_are_failures_once_and_may_be_tried_again(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults(OWN)  # type: ignore[arg-type]
    generate(tmp_path)
    calls = double.calls
    again = generate(tmp_path, retry_failed=True)
    assert (failed(again), again.failed, double.calls) == ([3, 8], 2, calls + 2)

    generate(tmp_path)
    assert double.calls == calls + 2, "a retry is not repeated"
    double.faults([])
    last = seedwright.resume(tmp_path, retry_failed=True, n=MORE)
    assert (len(last), last.failed) == (MORE, 0)
    assert double.stats()["paid_twice"] == 0


@pytest.mark.parametrize("step", ["set_num_records", "set_budget", "set_status"])
def test_a_retry_that_was_cut_off_is_neither_forgotten_nor_repeated(
    double: BedrockDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The mark comes first, so what goes on later knows of it, without being told again."""
    double.faults(OWN)  # type: ignore[arg-type]
    generate(tmp_path)
    calls = double.calls
    double.faults([])

    def cut_off(*_arguments: Any, **_named: Any) -> None:
        raise StorageError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJobStore, step, cut_off)
        with pytest.raises(StorageError, match="cut off"):
            generate(tmp_path, MORE, retry_failed=True)
    marks = list(tmp_path.glob(".seedwright/objects/jobs/*/retries/*.jsonl"))
    assert [orjson.loads(mark.read_bytes()) for mark in marks] == [{"voids": 1}]

    whole = generate(tmp_path, MORE)
    assert (len(whole), whole.failed) == (MORE, 0)
    assert double.calls == calls + 2 + MORE - RECORDS


def test_records_that_the_service_failed_are_tried_again_by_the_same_call(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults([{"prompt": "<5>", "effect": "ModelErrorException"}, *OWN])  # type: ignore[list-item]
    first = generate(tmp_path)
    assert (len(first), failed(first)) == (RECORDS - 3, [3, 5, 8])
    double.faults(OWN)  # type: ignore[arg-type]

    second = generate(tmp_path)

    assert (len(second), failed(second)) == (RECORDS - 2, [3, 8])
    calls = double.calls
    assert failed(generate(tmp_path)) == [3, 8]
    assert double.calls == calls


@pytest.fixture
def account(aws: FakeAws) -> FakeAws:
    """With a client of ECS that is not the workers': `world` makes every later one theirs."""
    assert aws.ecs is not None
    return aws


def test_a_job_of_the_api_grows_and_tries_failed_records_again(
    account: FakeAws, world: WorkerWorld
) -> None:
    ports = open_aws_api(account, world.clock)
    api = ApiWorld(account, ports=ports, own=ports, faults=Faults())
    step = {"id": "text", "prompt": "Say {{ product }} <{{ index }}>.", "max_tokens": 20}
    job_id = api.create_job(template_id=api.template({**step, "model_tier": "cheap"})).body[
        "job_id"
    ]
    world.double.faults(OWN)  # type: ignore[arg-type]
    assert world.run(job_id) is ExitCode.DONE
    assert sorted(indices(world.failures(job_id))) == [3, 8]
    before, calls = world.dataset(job_id), world.double.calls
    world.double.faults([])

    asked = {"num_records": MORE, "retry_failed": True}
    reply = api.post(f"/jobs/{job_id}/resume", asked)
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert len(set(api.object_keys(RETRIES.prefix(job_id)))) == 1
    assert world.run(job_id) is ExitCode.DONE

    job = world.job(job_id)
    assert (job.status, job.progress.failed_records) == (JobStatus.COMPLETED, 0)
    assert world.dataset(job_id)[: len(before)] == before
    assert sorted(indices(world.dataset(job_id))) == list(range(MORE))
    assert world.double.calls == calls + 2 + MORE - 10

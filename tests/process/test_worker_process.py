"""`python -m runtime.worker` as ECS runs it: a process with an environment, signals and exit codes.

AWS is moto as a server, Bedrock a double as a process; both listen on loopback.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.worker_world import ENVIRONMENT, wait_until
from tests.process.worker_processes import Cloud, Servers, empty_cloud, servers


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers(latency_ms=20) as both:
        yield both


@pytest.fixture
def cloud(running: Servers) -> Iterator[Cloud]:
    with empty_cloud(running) as cloud:
        yield cloud


def test_a_job_of_500_records(cloud: Cloud) -> None:
    cloud.create_job("big", num_records=500)

    code, log = cloud.run()

    assert code == ExitCode.DONE
    assert cloud.dataset("big") == list(range(500))
    job = cloud.job("big")
    assert job.status is JobStatus.COMPLETED
    assert job.progress.records_generated == 500
    assert cloud.stats()["paid"] == 500
    assert cloud.stats()["paid_twice"] == 0
    assert {line["job_id"] for line in log if "job_id" in line} == {"big"}
    assert [line["message"] for line in log] == ["job claimed", "job ended"]
    assert all({"timestamp", "level", "logger"} <= line.keys() for line in log)


@pytest.mark.parametrize("variable", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named_before_anything_is_asked(cloud: Cloud, variable: str) -> None:
    cloud.create_job("any", num_records=1)
    # Nobody listens there: a request would end in another error, and later.
    nowhere = "http://127.0.0.1:9"

    code, log = cloud.run(**{variable: "", "AWS_ENDPOINT_URL": nowhere})

    assert code == ExitCode.BAD_CONFIGURATION
    (line,) = log
    assert variable in line["error"]
    assert cloud.stats()["received"] == 0
    assert cloud.job("any").status is JobStatus.QUEUED


@pytest.mark.parametrize("variable", ["CHECKPOINT_INTERVAL", "WORKER_CONCURRENCY"])
def test_a_tuning_that_makes_no_sense_is_named(cloud: Cloud, variable: str) -> None:
    code, log = cloud.run(**{variable: "many"})

    assert code == ExitCode.BAD_CONFIGURATION
    assert variable in log[0]["error"]


def test_job_id_picks_the_job(cloud: Cloud) -> None:
    cloud.create_job("older", num_records=2)
    cloud.create_job("newer", num_records=2)

    code, log = cloud.run(JOB_ID="newer")

    assert code == ExitCode.DONE
    assert {line["job_id"] for line in log} == {"newer"}
    assert cloud.job("newer").status is JobStatus.COMPLETED
    assert cloud.job("older").status is JobStatus.QUEUED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_worker_hands_its_job_to_the_next_one(cloud: Cloud, number: int) -> None:
    cloud.create_job("big", num_records=500)
    worker = cloud.start(WORKER_CONCURRENCY="8")
    wait_until(lambda: cloud.stats()["received"] >= 100 or not worker.running)

    worker.signal(number)
    told = time.monotonic()
    code = worker.end()

    assert code == ExitCode.INTERRUPTED
    assert time.monotonic() - told < 5
    assert "shutdown requested" in worker.messages()
    stopped = cloud.stats()
    assert 100 <= stopped["paid"] < 500
    job = cloud.job("big")
    assert job.status is JobStatus.QUEUED
    assert job.progress.records_generated == stopped["paid"]

    code, _ = cloud.run()

    assert code == ExitCode.DONE
    assert cloud.dataset("big") == list(range(500))
    assert cloud.stats()["paid"] == 500
    assert cloud.stats()["paid_twice"] == 0

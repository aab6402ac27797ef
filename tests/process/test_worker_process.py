"""`python -m runtime.worker` as ECS runs it: a process with an environment, signals and exit codes.

AWS is moto as a server, Bedrock a double as a process; both listen on loopback.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import pytest

from runtime.bootstrap import SystemClock
from runtime.contract import keys
from runtime.contract.tables import TABLES
from runtime.domain.job import Job, JobConfig, JobStatus, SeedStrategy
from runtime.worker.worker import ExitCode
from tests.fixtures.aws import BUCKET, CLEAN_ENVIRONMENT, FakeAws, create_table
from tests.fixtures.bedrock_double import Stats
from tests.fixtures.storage import Storage, open_aws
from tests.fixtures.worker_world import ENVIRONMENT, make_template, step, wait_until

if TYPE_CHECKING:
    pass

ROOT: Final = Path(__file__).parents[2]
TOPIC: Final = "saffron"
"""A word of every prompt. The double's replies have "harbour" and other words of their own."""
REPLY_WORDS: Final = ("harbour", "gulls", "ferry", "captain", "festival")


class Cloud:
    """An account that processes reach over the network."""

    def __init__(self, aws: FakeAws, aws_url: str, models_url: str) -> None:
        self.aws = aws
        self.storage: Storage = open_aws(aws, SystemClock())
        self._models_url = models_url
        self._processes: list[subprocess.Popen[str]] = []
        self.environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            **CLEAN_ENVIRONMENT,
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": models_url,
        }

    def create_job(self, job_id: str, *, num_records: int) -> None:
        template = make_template(step(prompt=f"Review {TOPIC} {{{{ product }}}}."))
        ref = self.storage.templates.save_template("ada", f"template-{job_id}", template)
        path = f"{keys.seed_prefix('ada')}{job_id}.csv"
        rows = "\n".join(f"item {number}" for number in range(num_records))
        self.storage.objects.put(path, f"product\n{rows}\n".encode(), content_type="text/csv")
        now = self.storage.clock.now()
        job = Job(
            job_id=job_id,
            user_id="ada",
            status=JobStatus.QUEUED,
            config=JobConfig(
                template=ref,
                seed_data_path=path,
                seed_version=self.storage.objects.stat(path).version,
                num_records=num_records,
                seed_strategy=SeedStrategy.SEQUENTIAL,
            ),
            budget_limit=Decimal(10),
            created_at=now,
            updated_at=now,
        )
        self.storage.jobs.create_job(job)

    def start(self, **variables: str) -> "subprocess.Popen[str]":
        """A worker process. `variables` go over the environment; an empty one is taken away."""
        environment = {
            name: value for name, value in {**self.environment, **variables}.items() if value
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.worker"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Leave nothing running."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self.aws.dynamodb.close()
        self.aws.s3.close()

    def run(self, **variables: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code of a worker that runs to its end, and what it logged."""
        return end_of(self.start(**variables))

    def stats(self) -> Stats:
        with urlopen(f"{self._models_url}/__stats", timeout=10) as reply:  # noqa: S310 - our double
            stats: Stats = json.load(reply)
        return stats

    def dataset(self, job_id: str) -> list[dict[str, Any]]:
        body = self.storage.objects.get(keys.export_key(job_id, "jsonl"))
        return [json.loads(line) for line in body.splitlines()]


def end_of(process: "subprocess.Popen[str]") -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the log: lines of JSON, and nothing on stderr."""
    out, err = process.communicate(timeout=60)
    assert err == ""
    for word in (TOPIC, *REPLY_WORDS):
        assert word not in out
    return process.returncode, [json.loads(line) for line in out.splitlines()]


@contextmanager
def model_process(latency_ms: int) -> Iterator[str]:
    """The URL of a double in a process of its own."""
    double = Path(__file__).parents[1] / "fixtures" / "bedrock_double.py"
    command = [sys.executable, str(double), "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - half a second

    server: ThreadedMotoServer = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    from runtime.aws import clients  # noqa: PLC0415

    urlopen(f"{server}/moto-api/reset", data=b"", timeout=10).close()  # noqa: S310 - loopback
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    aws = FakeAws(dynamodb=clients.create_dynamodb_client(), s3=clients.create_s3_client())
    for table in TABLES:
        create_table(aws.dynamodb, table)
    aws.s3.create_bucket(Bucket=BUCKET)
    aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    with model_process(latency_ms=20) as models_url:
        cloud = Cloud(aws, server, models_url)
        yield cloud
        cloud.close()


def test_a_job_of_500_records(cloud: Cloud) -> None:
    cloud.create_job("big", num_records=500)

    code, log = cloud.run()

    assert code == ExitCode.DONE
    assert sorted(record["index"] for record in cloud.dataset("big")) == list(range(500))
    job = cloud.storage.jobs.get_job("big")
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
    assert cloud.storage.jobs.get_job("any").status is JobStatus.QUEUED


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
    assert cloud.storage.jobs.get_job("newer").status is JobStatus.COMPLETED
    assert cloud.storage.jobs.get_job("older").status is JobStatus.QUEUED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_worker_hands_its_job_to_the_next_one(cloud: Cloud, number: int) -> None:
    cloud.create_job("big", num_records=500)
    process = cloud.start(WORKER_CONCURRENCY="8")
    wait_until(lambda: cloud.stats()["received"] >= 100 or process.poll() is not None)

    process.send_signal(number)
    told = time.monotonic()
    code, log = end_of(process)

    assert code == ExitCode.INTERRUPTED
    assert time.monotonic() - told < 5
    assert "shutdown requested" in {line["message"] for line in log}
    stopped = cloud.stats()
    assert 100 <= stopped["paid"] < 500
    job = cloud.storage.jobs.get_job("big")
    assert job.status is JobStatus.QUEUED
    assert job.progress.records_generated == stopped["paid"]

    code, _ = cloud.run()

    assert code == ExitCode.DONE
    assert sorted(record["index"] for record in cloud.dataset("big")) == list(range(500))
    assert cloud.stats()["paid"] == 500
    assert cloud.stats()["paid_twice"] == 0

"""Worker processes against AWS and Bedrock on loopback, each of them a process of its own.

worker ──▶ road ──▶ emulated AWS        a road is a relay that a test can stop or kill, while
   └─────▶ double of Bedrock            the test itself still sees what AWS holds

python -m tests.process.worker_processes aws           moto; prints its URL on the first line
python -m tests.process.worker_processes road 5000     a relay to that port of this machine
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from runtime.bootstrap import SystemClock
from runtime.contract import keys
from runtime.contract.tables import TABLES
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.models.calls import Usage
from runtime.domain.models.price_table import load_prices
from runtime.domain.money.accounts import Account
from tests.fixtures.aws import (
    BUCKET,
    CLEAN_ENVIRONMENT,
    FakeAws,
    create_table,
    measured_environment,
)
from tests.fixtures.bedrock_double import RuleDocument, Stats
from tests.fixtures.job_configs import job_config
from tests.fixtures.storage import Storage, open_aws
from tests.fixtures.worker_world import ENVIRONMENT, make_template, step, wait_until

ROOT: Final = Path(__file__).parents[2]
HOST: Final = "127.0.0.1"
END_SECONDS: Final = 60.0
"""How long a worker may take to its end, on a machine that is busy."""
TOPIC: Final = "saffron"
"""A word of every prompt. The double's replies have "harbour" and other words of their own."""
REPLY_WORDS: Final = ("harbour", "gulls", "ferry", "captain", "festival")


class WorkerProcess:
    """`python -m runtime.worker`. Its log goes to a file, so that it can be read at any time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runtime.worker"],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._errors,
        )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def log(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        *lines, _torn = _contents(self._out).split(b"\n")
        return [json.loads(line) for line in lines]

    def messages(self) -> list[str]:
        """The constant part of each line of the log."""
        return [line["message"] for line in self.log()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end. The exit code; its log is JSON without data, and stderr is empty."""
        code = self.process.wait(END_SECONDS)
        assert _contents(self._errors) == b""
        for word in (TOPIC, *REPLY_WORDS):
            assert word.encode() not in _contents(self._out)
        self.log()
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._errors.close()


def _contents(file: IO[bytes]) -> bytes:
    # Read by position: the child writes where the shared offset is.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


class Cloud:
    """An account that processes reach over the network. `aws_url` is the test's own way to it."""

    def __init__(self, aws: FakeAws, aws_url: str, models_url: str) -> None:
        self.aws_url = aws_url
        self.storage: Storage = open_aws(aws, SystemClock())
        self._aws = aws
        self._models_url = models_url
        self._workers: list[WorkerProcess] = []
        self.environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            **measured_environment(),
            **CLEAN_ENVIRONMENT,
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": models_url,
        }

    # ── jobs and workers ───────────────────────────────────────────────────────────────────────

    def create_job(self, job_id: str, *, num_records: int, budget: str = "10") -> None:
        """A job in which no prompt is like another, nor like one of another job."""
        template = make_template(step(prompt=f"Review {TOPIC} {{{{ product }}}}."))
        ref = self.storage.templates.save_template("ada", f"template-{job_id}", template)
        path = f"{keys.seed_prefix('ada')}{job_id}.csv"
        rows = "\n".join(f"{job_id} item {number}." for number in range(num_records))
        self.storage.objects.put(path, f"product\n{rows}\n".encode(), content_type="text/csv")
        now = self.storage.clock.now()
        job = Job(
            job_id=job_id,
            user_id="ada",
            status=JobStatus.QUEUED,
            config=job_config(
                template=ref,
                seed_data_path=path,
                seed_version=self.storage.objects.stat(path).version,
                num_records=num_records,
                seed_strategy=SeedStrategy.SEQUENTIAL,
            ),
            budget_limit=Decimal(budget),
            created_at=now,
            updated_at=now,
        )
        self.storage.jobs.create_job(job)

    def start(self, **variables: str) -> WorkerProcess:
        """A worker. `variables` go over the environment; an empty one is taken away."""
        merged = {**self.environment, **variables}
        worker = WorkerProcess({name: value for name, value in merged.items() if value})
        self._workers.append(worker)
        return worker

    def run(self, **variables: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code of a worker that runs to its end, and what it logged."""
        worker = self.start(**variables)
        return worker.end(), worker.log()

    def close(self) -> None:
        """Leave nothing running."""
        for worker in self._workers:
            worker.close()
        self._aws.dynamodb.close()
        self._aws.s3.close()

    # ── what is stored ─────────────────────────────────────────────────────────────────────────

    def job(self, job_id: str) -> Job:
        return self.storage.jobs.get_job(job_id)

    def account(self, job_id: str) -> Account:
        return self.storage.budgets.get_account(job_id)

    def dataset(self, job_id: str) -> list[int]:
        """The indices of the exported records, in order."""
        return _indices(self.storage.objects.get(keys.export_key(job_id, "jsonl")))

    def saved(self, job_id: str) -> list[int]:
        """The indices of all records in batches, repetitions included, in order."""
        objects = self.storage.objects
        stats = objects.list(keys.batches_prefix(job_id))
        return _indices(b"".join(objects.get(stat.key) for stat in stats))

    # ── the models ─────────────────────────────────────────────────────────────────────────────

    def stats(self) -> Stats:
        with urlopen(f"{self._models_url}/__stats", timeout=10) as reply:  # noqa: S310 - our double
            stats: Stats = json.load(reply)
        return stats

    def faults(self, rules: Iterable[RuleDocument]) -> None:
        """Replace the faults of the models."""
        _post(f"{self._models_url}/__faults", json.dumps(list(rules)).encode())

    def billed_nano(self) -> int:
        """What everything that the models were paid for costs, nano-USD."""
        prices, today = load_prices(), datetime.now(UTC).date()
        return sum(
            prices.price(model, today).cost(
                Usage(input_tokens=usage["inputTokens"], output_tokens=usage["outputTokens"])
            )
            for model, usage in self.stats()["usage_by_model"].items()
        )


def _indices(lines: bytes) -> list[int]:
    return sorted(json.loads(line)["index"] for line in lines.splitlines())


# ── processes beside the workers ───────────────────────────────────────────────────────────────


@contextmanager
def _server(*command: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A process that prints its URL on its first line."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()  # it may be stopped, and then it can't end by itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """Where an emulated AWS and a double of Bedrock listen."""

    aws_url: str
    models_url: str


@contextmanager
def servers(*, latency_ms: int) -> Iterator[Servers]:
    """Both, in processes of their own; a call of a model takes `latency_ms`."""
    double = str(ROOT / "tests" / "fixtures" / "bedrock_double.py")
    with (
        _server("-m", "tests.process.worker_processes", "aws") as (aws_url, _),
        _server(double, "--latency-ms", str(latency_ms)) as (models_url, _),
    ):
        yield Servers(aws_url=aws_url, models_url=models_url)


@contextmanager
def road_to(url: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The URL of a relay to `url`, and its process."""
    with _server("-m", "tests.process.worker_processes", "road", str(urlsplit(url).port)) as road:
        yield road


@contextmanager
def empty_cloud(running: Servers) -> Iterator[Cloud]:
    """A fresh account, and models that have not been called."""
    from runtime import sdk  # noqa: PLC0415

    _post(f"{running.aws_url}/moto-api/reset")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", running.aws_url)
        aws = FakeAws(dynamodb=sdk.create_dynamodb_client(), s3=sdk.create_s3_client())
    for table in TABLES:
        create_table(aws.dynamodb, table)
    aws.s3.create_bucket(Bucket=BUCKET)
    aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    cloud = Cloud(aws, running.aws_url, running.models_url)
    # Calls of workers that were killed are answered all the same, some time.
    wait_until(lambda: cloud.stats()["in_flight"] == 0)
    _post(f"{running.models_url}/__reset")
    try:
        yield cloud
    finally:
        cloud.close()


def _post(url: str, body: bytes = b"") -> None:
    urlopen(url, data=body, timeout=10).close()  # noqa: S310 - loopback


def _serve_aws() -> None:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Any) -> Any:
        # Each request is atomic, as on AWS: moto lets two threads pass the same condition.
        with lock:
            return application(environ, start_response)

    server = make_server(HOST, 0, one_at_a_time, threaded=True)
    _announce(server.port)
    server.serve_forever()


async def _relay(port: int) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_aws, to_aws = await asyncio.open_connection(HOST, port)
        await asyncio.gather(pump(reader, to_aws), pump(from_aws, writer))

    server = await asyncio.start_server(connected, HOST, 0)
    _announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _announce(port: int) -> None:
    print(f"http://{HOST}:{port}", flush=True)  # noqa: T201 - the first line is the contract


def main(arguments: list[str]) -> None:
    """Be one of the servers."""
    match arguments:
        case ["aws"]:
            _serve_aws()
        case ["road", port]:
            asyncio.run(_relay(int(port)))
        case _:
            sys.exit("usage: worker_processes.py aws | road PORT")


if __name__ == "__main__":
    main(sys.argv[1:])

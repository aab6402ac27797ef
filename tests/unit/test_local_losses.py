"""A job of a local API that kills worker after worker (E2)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.bootstrap import LocalService
from runtime.contract import keys
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import JobStatus
from runtime.local.storage import open_storage
from runtime.server.losses import recover_losses
from tests.fixtures.api import Api
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE
from tests.fixtures.local_api import open_local_api

MODEL = "amazon.nova-micro-v1:0"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LocalService]:
    opened = open_local_api(tmp_path, ManualClock())
    yield opened
    opened.close()


def new_job(service: LocalService) -> str:
    api = Api(service.api)
    template = {"name": "T", "steps": [{"id": "a", "prompt": "Hello.", "model": MODEL}]}
    seeds = f"{keys.seed_prefix(ALICE)}seeds.jsonl"
    service.api.objects.put(seeds, b"{}\n", content_type="")
    order = {
        "template_id": api.post("/templates", template).body["template_id"],
        "seed_data_path": seeds,
        "num_records": 9,
        "budget_limit": 1,
    }
    job_id: str = api.post("/jobs", order).body["job_id"]
    return job_id


def die(service: LocalService, folder: Path) -> None:
    """A worker takes the next job and is gone with its locks, as a killed process is."""
    worker = open_storage(folder, clock=ManualClock())
    assert worker.queue.get_next_job("worker") is not None
    worker.close()
    recover_losses(service.api)


def test_e2_a_job_that_kills_its_workers_fails(service: LocalService, tmp_path: Path) -> None:
    job_id = new_job(service)
    for _ in range(4):
        die(service, tmp_path)
        assert service.api.work.get_work(job_id).status is JobStatus.QUEUED
    die(service, tmp_path)
    job = service.api.jobs.get_job(job_id)
    assert job.status is JobStatus.FAILED
    assert "the worker died 5 times in a row" in (job.error_message or "")
    assert service.api.work.get_work(job_id).status is JobStatus.FAILED


def test_e2_work_of_a_worker_that_lives_is_left_alone(
    service: LocalService, tmp_path: Path
) -> None:
    job_id = new_job(service)
    worker = open_storage(tmp_path, clock=ManualClock())
    assert worker.queue.get_next_job("worker") is not None
    for _ in range(6):
        recover_losses(service.api)
        assert service.api.work.get_work(job_id).status is JobStatus.RUNNING
    assert service.api.jobs.get_job(job_id).status is not JobStatus.FAILED
    worker.close()


def test_a_loss_that_can_not_be_counted_stops_nobody(
    service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StorageUnavailableError("the disk is away")

    monkeypatch.setattr(service.api.queue, "leases", fail)
    recover_losses(service.api)

"""The API's ports on a laptop: what the contract suite doesn't ask of every family."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runtime.bootstrap import LocalService
from runtime.contract import keys
from runtime.contract.tables import DELETED_TEMPLATE_DAYS
from runtime.domain.errors import (
    ConfigurationError,
    ConflictError,
    LaunchError,
    LeaseLostError,
    NotFoundError,
    StorageError,
    TemplateNotFoundError,
)
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.accounts import Hold
from runtime.domain.ports import CheckpointVersion
from runtime.domain.service_ports import ApiPorts, ApiSettings, WorkItem
from runtime.local.launcher import LocalLauncher
from runtime.local.links import LocalLinks
from runtime.local.storage import LocalStorage, open_storage
from tests.fixtures.api import Api, downloads
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.lambda_events import ALICE
from tests.fixtures.local_api import open_local_api
from tests.fixtures.race import race
from tests.fixtures.storage import new_job, new_template
from tests.fixtures.worker_world import MODEL

ITEM = WorkItem(
    work_id="a", job_id="a", status=JobStatus.QUEUED, owner=None, fence=0, beat=0, attempt=0
)


@pytest.fixture
def storage(tmp_path: Path, clock: ManualClock) -> Iterator[LocalStorage]:
    opened = open_storage(tmp_path / "data", clock=clock)
    yield opened
    opened.close()


def files_below(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


def test_a_deleted_job_leaves_nothing(
    storage: LocalStorage, clock: ManualClock, tmp_path: Path
) -> None:
    for job_id in ("gone", "stays"):
        storage.jobs.create_job(new_job(job_id, clock, shards=2))
        storage.budgets.open_account(job_id, 100)
        for work_id in (f"{job_id}#0", f"{job_id}#1"):
            hold = Hold(fence=1, sequence=1, nano=5)
            storage.budgets.change_hold(job_id, work_id, expected=None, new=hold, spent_nano=1)
            version = CheckpointVersion(version=1, records_generated=1, fence=1)
            storage.checkpoints.put(work_id, version)
            journal = storage.open_journal(work_id)
            journal.append(b"a reply")
            journal.reset([b"another reply"])
            name = f".{work_id.replace('#', '%23')}.jsonl.0000.part"  # of a killed worker
            (tmp_path / "data/journals" / name).touch()
        storage.costs.add(job_id, entry_id="e", cost_nano=7, tokens=1)
    storage.jobs.set_status("gone", JobStatus.CANCELLED, fence=None)
    storage.jobs.set_status("gone", JobStatus.DELETING, fence=None)

    for _ in range(2):
        storage.job_catalog.delete_job("gone")

    for find in (storage.jobs.get_job, storage.budgets.get_account):
        find("stays")
        with pytest.raises(NotFoundError):
            find("gone")
    for work_id in ("gone#0", "gone#1"):
        with pytest.raises(NotFoundError):
            storage.work.get_work(work_id)
        assert storage.checkpoints.get(work_id) is None
    assert storage.costs.total("gone") == 0
    assert storage.costs.total("stays") == 7
    assert storage.work.get_work("stays#1").job_id == "stays"
    assert storage.checkpoints.get("stays#1") is not None
    assert files_below(tmp_path / "data/journals") == [
        f"{start}stays%23{shard}.jsonl{end}"
        for start, end in ((".", ".0000.part"), ("", ""))
        for shard in (0, 1)
    ]
    tables = storage.work._database.rows("SELECT count(*) FROM holds WHERE job_id = 'gone'")
    assert tables[0][0] == 0


def test_a_worker_whose_job_was_deleted_has_lost_its_lease(
    storage: LocalStorage, clock: ManualClock
) -> None:
    storage.jobs.create_job(new_job("a", clock))
    claim = storage.queue.get_next_job("me")
    assert claim is not None
    storage.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    storage.jobs.set_status("a", JobStatus.DELETING, fence=None)
    storage.job_catalog.delete_job("a")

    with pytest.raises(LeaseLostError):
        storage.queue.heartbeat(claim)


def test_a_job_that_can_not_lose_its_journal_is_not_gone(
    storage: LocalStorage, clock: ManualClock, tmp_path: Path
) -> None:
    storage.jobs.create_job(new_job("a", clock))
    storage.jobs.set_status("a", JobStatus.FAILED, fence=None)
    storage.jobs.set_status("a", JobStatus.DELETING, fence=None)
    (tmp_path / "data/journals/a.jsonl").mkdir(parents=True)  # can't be unlinked

    with pytest.raises(StorageError, match="could not delete"):
        storage.job_catalog.delete_job("a")

    assert storage.jobs.get_job("a").status is JobStatus.DELETING


def test_versions_of_a_deleted_template_go_after_their_time(
    storage: LocalStorage, clock: ManualClock
) -> None:
    catalog = storage.template_catalog
    head = catalog.create("ada", "t", new_template(), public=False)
    catalog.delete("t")
    with pytest.raises(ConflictError):
        storage.templates.save_template("ada", "t", new_template())
    with pytest.raises(TemplateNotFoundError):
        catalog.get_head("t")

    clock.advance(timedelta(days=DELETED_TEMPLATE_DAYS).total_seconds() - 1)
    catalog.delete("t")
    assert storage.templates.load_template(head.latest) == new_template()
    clock.advance(1)
    catalog.delete("another")
    with pytest.raises(TemplateNotFoundError):
        storage.templates.load_template(head.latest)
    assert catalog.create("bob", "t", new_template(), public=True).user_id == "bob"


def test_a_saved_version_keeps_what_the_head_says(
    storage: LocalStorage, clock: ManualClock
) -> None:
    head = storage.template_catalog.create("ada", "t", new_template("One"), public=True)
    clock.advance(5)
    storage.templates.save_template("ada", "t", new_template("Two"))

    assert storage.template_catalog.get_head("t") == replace(
        head, latest_version=2, name="Two", updated_at=clock.now()
    )


def test_empty_folders_go_with_their_objects(storage: LocalStorage, tmp_path: Path) -> None:
    root = tmp_path / "data/objects"
    for key in ("jobs/1/outputs/a", "jobs/1/b", "jobs/10/c", "seed-data/x"):
        storage.objects.put(key, b"x", content_type="text/plain")
    storage.objects.delete_all("jobs/1/")
    assert not (root / "jobs/1").exists()
    assert storage.objects.get("jobs/10/c") == b"x"
    for prefix in ("jobs/10/", "seed-data/", "nothing/", "../", ".tmp/", "/"):
        storage.objects.delete_all(prefix)
    assert sorted(each.name for each in root.iterdir()) == [".tmp", "jobs"]
    assert list(storage.objects.list("")) == []
    storage.objects.put("jobs/1/b", b"again", content_type="text/plain")
    assert storage.objects.get("jobs/1/b") == b"again"


def test_the_api_and_a_worker_may_write_at_once(tmp_path: Path, clock: ManualClock) -> None:
    """Four threads of a server on one storage, and a worker on another one, as two processes."""
    server, worker = (open_storage(tmp_path, clock=clock) for _ in range(2))
    rounds = 15

    def create(name: str) -> None:
        for number in range(rounds):
            job_id = f"{name}-{number}"
            server.jobs.create_job(new_job(job_id, clock))
            item = server.work.get_work(job_id)
            server.work.begin_launch(item)
            server.template_catalog.create("ada", job_id, new_template(), public=True)
            server.job_catalog.list_jobs("ada", limit=5)

    done: list[str] = []

    def work() -> None:
        end = time.monotonic() + 60
        while len(done) < 4 * rounds and time.monotonic() < end:
            claim = worker.queue.get_next_job("worker")
            if claim is not None:
                worker.queue.heartbeat(claim)
                worker.queue.finish(claim, JobStatus.COMPLETED)
                done.append(claim.work_id)

    outcomes = race([*(lambda name=name: create(name) for name in "abcd"), work])

    assert outcomes == [None] * 5
    assert len(set(done)) == 4 * rounds
    page = server.job_catalog.list_jobs("ada", limit=100)
    assert len(page.items) == 4 * rounds
    assert page.next is None
    server.close()
    worker.close()


# ── the launcher ───────────────────────────────────────────────────────────────────────────────


def test_a_launch_wakes_once() -> None:
    woken: list[WorkItem] = []
    launcher = LocalLauncher(woken.append)
    for number in (1, 1, 2, 1):
        launcher.launch(ITEM, number=number, created_at=START, on_demand=False)
    other = replace(ITEM, work_id="b", job_id="b")
    launcher.launch(other, number=1, created_at=START, on_demand=True)
    # The job was deleted, and another one has its id.
    launcher.launch(ITEM, number=1, created_at=START + timedelta(days=1), on_demand=False)

    assert woken == [ITEM, ITEM, other, ITEM]


def test_a_launch_that_fails_may_be_tried_again() -> None:
    attempts: list[WorkItem] = []

    def fail_once(item: WorkItem) -> None:
        attempts.append(item)
        if len(attempts) == 1:
            raise OSError("staged")

    launcher = LocalLauncher(fail_once)
    with pytest.raises(LaunchError):
        launcher.launch(ITEM, number=1, created_at=START, on_demand=False)
    for _ in range(2):
        launcher.launch(ITEM, number=1, created_at=START, on_demand=False)

    assert attempts == [ITEM, ITEM]


# ── all of it ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def service(tmp_path: Path, clock: ManualClock) -> Iterator[LocalService]:
    opened = open_local_api(tmp_path / "data", clock)
    yield opened
    opened.close()


def test_the_service_shares_its_storage_with_the_worker(
    service: LocalService, clock: ManualClock, tmp_path: Path
) -> None:
    ports: ApiPorts = service.api
    assert ports.settings == ApiSettings()
    assert ports.provider == "bedrock"
    assert ports.new_id() != ports.new_id()
    ports.jobs.create_job(new_job("a", clock))
    claim = service.engine.ports.queue.get_next_job("worker")
    assert claim is not None
    assert ports.work.get_work("a").owner == "worker"
    service.engine.ports.objects.put("jobs/a/x", b"x", content_type="text/plain")
    assert ports.objects.stat("jobs/a/x").size == 1
    assert service.engine.path_of("jobs/a/x").is_relative_to(tmp_path)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_what_there_is_so_far_is_listed_page_by_page(service: LocalService, limit: int) -> None:
    ports, api = service.api, Api(service.api)
    step = {"id": "a", "prompt": "Hello.", "model": MODEL}
    template = api.post("/templates", {"name": "T", "steps": [step]}).body
    seeds = f"{keys.seed_prefix(ALICE)}seeds.jsonl"
    ports.objects.put(seeds, b"{}\n", content_type="")
    order = {"seed_data_path": seeds, "num_records": 9, "budget_limit": 1}
    job_id = api.post("/jobs", {**order, "template_id": template["template_id"]}).body["job_id"]
    for number in (1, 2):
        for key in (keys.batch_key(job_id, number), keys.failure_part_key(job_id, number)):
            ports.objects.put(key, b"{}\n", content_type="")

    assert downloads(api, job_id, limit=limit) == [
        *(("batch", f"outputs/batch-000{number}.jsonl") for number in (1, 2)),
        *(("failures", f"failures/part-000{number}.jsonl") for number in (1, 2)),
    ]


def test_addresses_hold_after_a_restart(
    service: LocalService, clock: ManualClock, tmp_path: Path
) -> None:
    form = service.api.links.upload_form("k", max_bytes=5, seconds=60)
    service.close()
    again = open_local_api(tmp_path / "data", clock, base_url="http://127.0.0.1:9090")
    links: LocalLinks = again.api.links
    assert links.check_upload(form.fields).key == "k"
    again.close()


def test_a_service_that_can_not_start_leaves_the_storage_closed(
    tmp_path: Path, clock: ManualClock
) -> None:
    open_storage(tmp_path, clock=clock).close()
    (tmp_path / "links.key").write_bytes(b"half")
    with pytest.raises(ConfigurationError, match="delete it"):
        open_local_api(tmp_path, clock)
    assert not list((tmp_path / "objects/.tmp").glob("*-*"))

"""A laptop's storage as a whole: what the contract suite doesn't ask of every family."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from runtime.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    StorageError,
    StorageFullError,
)
from runtime.domain.jobs.job import Job, JobError, JobStatus, Progress
from runtime.domain.money.accounts import Hold
from runtime.local.storage import LocalStorage, open_storage
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import new_job, new_template


@pytest.fixture
def storage(tmp_path: Path, clock: ManualClock) -> Iterator[LocalStorage]:
    opened = open_storage(tmp_path / "data", clock=clock)
    yield opened
    opened.close()


def job(job_id: str = "job", *, budget_limit: object = "100.0", shards: int | None = None) -> Job:
    return new_job(job_id, ManualClock(), budget_limit=budget_limit, shards=shards)


def test_everything_is_there_after_opening_again(tmp_path: Path, clock: ManualClock) -> None:
    first = open_storage(tmp_path, clock=clock)
    first.jobs.create_job(job(shards=2))
    template = new_template()
    ref = first.templates.save_template("ann", "t", template)
    first.costs.add("job", entry_id="1", cost_nano=5, tokens=2)
    first.open_journal("job#1").append(b"paid")
    first.objects.put("jobs/job/x", b"x", content_type="text/plain")
    first.close()

    again = open_storage(tmp_path, clock=clock)
    assert again.jobs.get_job("job") == job(shards=2)
    assert again.templates.load_template(ref) == template
    assert again.costs.total("job") == 5
    assert list(again.open_journal("job#1").replay()) == [b"paid"]
    assert list(again.open_journal("job#0").replay()) == []
    assert again.objects.get("jobs/job/x") == b"x"
    claim = again.queue.get_next_job("me")
    assert claim is not None
    assert (claim.work_id, claim.shard) == ("job#0", 0)
    again.close()


@pytest.mark.parametrize(
    ("given", "stored"), [(Decimal("100.0"), "100.0"), ("invalid", "invalid"), (None, None)]
)
def test_the_budget_limit_is_kept_as_given(
    storage: LocalStorage, given: object, stored: str | None
) -> None:
    storage.jobs.create_job(job(budget_limit=given))

    assert storage.jobs.get_job("job").budget_limit == stored


def test_a_job_that_conflicts_leaves_nothing_behind(storage: LocalStorage) -> None:
    storage.jobs.create_job(job("a#1"))
    with pytest.raises(ConflictError):
        storage.jobs.create_job(job("a", shards=2))
    with pytest.raises(NotFoundError):
        storage.jobs.get_job("a")
    claim = storage.queue.get_next_job("me")
    assert claim is not None
    assert claim.work_id == "a#1"
    assert storage.queue.get_next_job("me") is None

    storage.jobs.create_job(job("a"))
    with pytest.raises(ConflictError):
        storage.jobs.create_job(replace(job("a"), user_id="bob"))
    assert storage.jobs.get_job("a").user_id == "ada"


def test_a_released_item_keeps_its_place_and_a_requeued_one_does_not(storage: LocalStorage) -> None:
    for job_id in "abc":
        storage.jobs.create_job(job(job_id))
    a = storage.queue.claim("a", "me")
    assert a is not None
    storage.queue.release(a)
    b = storage.queue.claim("b", "me")
    assert b is not None
    storage.queue.finish(b, JobStatus.FAILED)
    with pytest.raises(ConflictError):
        storage.queue.enqueue("a")
    storage.queue.enqueue("b")

    order = [storage.queue.get_next_job("me") for _ in range(4)]
    assert [each and each.work_id for each in order] == ["a", "c", "b", None]
    assert [each and (each.fence, each.attempt) for each in order] == [(2, 2), (1, 1), (2, 2), None]


def test_progress_of_a_job_that_does_not_run_is_refused(storage: LocalStorage) -> None:
    storage.jobs.create_job(job())
    with pytest.raises(ConflictError):
        storage.jobs.set_progress("job", 1, Progress(records_generated=1))
    storage.jobs.set_status("job", JobStatus.RUNNING, fence=2)
    with pytest.raises(LeaseLostError):
        storage.jobs.set_progress("job", 1, Progress(records_generated=1))

    storage.jobs.set_progress("job", 2, Progress(records_generated=3, cost_nano=10**15))
    assert storage.jobs.get_job("job").progress == Progress(records_generated=3, cost_nano=10**15)


def test_stamps_of_a_jobs_life(storage: LocalStorage, clock: ManualClock) -> None:
    storage.jobs.create_job(job())
    clock.advance(10)
    storage.jobs.set_status("job", JobStatus.RUNNING, fence=1)
    started = storage.jobs.get_job("job").started_at
    assert started == clock.now()
    clock.advance(10)
    storage.jobs.set_status("job", JobStatus.RUNNING, fence=2)
    storage.jobs.set_status("job", JobStatus.FAILED, fence=2, error=JobError(message="x" * 1001))
    failed = storage.jobs.get_job("job")
    assert failed.completed_at == failed.updated_at == clock.now()
    assert (failed.started_at, failed.error_message) == (started, "x" * 1000)

    storage.jobs.set_status("job", JobStatus.QUEUED, fence=None)
    queued = storage.jobs.get_job("job")
    assert (queued.completed_at, queued.error_message) == (None, None)
    with pytest.raises(LeaseLostError):
        storage.jobs.set_status("job", JobStatus.RUNNING, fence=1)


def test_another_users_template_id_is_taken(storage: LocalStorage) -> None:
    template = new_template()
    assert storage.templates.save_template("ann", "t", template).version == 1
    assert storage.templates.save_template("ann", "t", template).version == 2
    with pytest.raises(ConflictError):
        storage.templates.save_template("bob", "t", template)


def test_the_last_dollar_is_held_once(storage: LocalStorage) -> None:
    storage.budgets.open_account("job", 100)
    first = Hold(fence=1, sequence=1, nano=100)
    storage.budgets.change_hold("job", "job#0", expected=None, new=first, spent_nano=0)
    with pytest.raises(BudgetExceededError):
        storage.budgets.change_hold(
            "job", "job#1", expected=None, new=replace(first, nano=1), spent_nano=0
        )

    second = Hold(fence=1, sequence=2, nano=10)
    for _ in range(2):  # the second time as if the first reply was lost
        account = storage.budgets.change_hold(
            "job", "job#0", expected=first, new=second, spent_nano=90
        )
        assert (account.spent_nano, account.committed_nano) == (90, 100)


def test_a_full_disk_under_the_tables(storage: LocalStorage) -> None:
    storage.jobs.create_job(job("a"))
    database = storage.queue._database
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError):
        storage.jobs.create_job(replace(job("b"), error_message="x" * 100_000))
    with pytest.raises(NotFoundError):
        storage.jobs.get_job("b")

    database.rows("PRAGMA max_page_count = 1000000")
    storage.jobs.create_job(job("b"))
    assert storage.jobs.get_job("b") == job("b")


def test_a_claim_that_can_not_be_stored_is_not_held(storage: LocalStorage) -> None:
    storage.jobs.create_job(job())
    with storage.queue._database.write() as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON work BEGIN SELECT raise(ABORT, 'staged'); END"
        )
    with pytest.raises(StorageError):
        storage.queue.get_next_job("me")
    with storage.queue._database.write() as connection:
        connection.execute("DROP TRIGGER broken")

    claim = storage.queue.get_next_job("me")
    assert claim is not None
    assert claim.fence == 1


def test_a_directory_that_can_not_be_used_says_so(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_bytes(b"")

    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="choose another directory"):
            open_storage(directory, clock=clock)


def test_close_gives_claims_up(tmp_path: Path, clock: ManualClock) -> None:
    first, second = (open_storage(tmp_path, clock=clock) for _ in range(2))
    first.jobs.create_job(job())
    assert first.queue.get_next_job("first") is not None
    assert [each.abandoned for each in second.queue.leases()] == [False]

    first.close()

    assert [each.abandoned for each in second.queue.leases()] == [True]
    second.close()


def test_a_lost_lease_frees_its_lock_and_its_file(tmp_path: Path, clock: ManualClock) -> None:
    first, second = (open_storage(tmp_path, clock=clock) for _ in range(2))
    first.jobs.create_job(job())
    old = first.queue.get_next_job("first")
    assert old is not None
    (lease,) = second.queue.leases()
    assert second.queue.recover(lease)
    new = second.queue.claim("job", "second")
    assert new is not None
    assert new.fence > old.fence

    for attempt in (first.queue.heartbeat, first.queue.release):
        with pytest.raises(LeaseLostError):
            attempt(old)
    assert [each.name for each in (tmp_path / "locks").glob("*.lock")] == ["job.2.lock"]

    second.queue.finish(new, JobStatus.COMPLETED)
    assert list((tmp_path / "locks").glob("*.lock")) == []
    first.close()
    second.close()


def test_the_family_imports_nothing_heavy() -> None:
    code = (
        "import sys, runtime.local.storage;"
        "print([m for m in ('boto3', 'pyarrow', 'orjson', 'xllamacpp', 'asyncio', 'tempfile')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"

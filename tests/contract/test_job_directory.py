"""What every `JobCatalog` promises."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from runtime.domain.errors import ConflictError, InputError, NotFoundError
from runtime.domain.jobs.job import (
    ACTIVE,
    ENDED,
    MAX_ERROR_MESSAGE_CHARACTERS,
    Job,
    JobStatus,
)
from runtime.domain.jobs.machines import Machines
from runtime.domain.ports import CheckpointVersion
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import ApiStorage, OpenApi, new_job

ROUNDS: Final = 3
MANY_PAGES: Final = 50
STRANGE_POSITIONS: Final = (
    "",
    "0",
    "1",
    "next",
    "/",
    "job-1",
    "2026-11-23",
    "2026-11-23T12:00:00.000000Z/",
    "/job-1",
    '{"job_id": {"S": "job-1"}}',
    "null",
    "9" * 3000,
    "\x00",
    "2026-11-23T12:00:00\n/job-1",
    "💥",
)


def create(ports: ApiStorage, clock: ManualClock, job_id: str, *, user_id: str = "ada") -> Job:
    job = replace(new_job(job_id, clock, budget_limit="10"), user_id=user_id)
    ports.jobs.create_job(job)
    return job


def end(ports: ApiStorage, job_id: str, status: JobStatus) -> None:
    """From QUEUED to any ended status."""
    before = JobStatus.FAILED if status is JobStatus.DELETING else status
    ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=1)
    ports.jobs.set_status(job_id, before, fence=1)
    if status is JobStatus.DELETING:
        ports.jobs.set_status(job_id, status, fence=None)


def pages(
    ports: ApiStorage, *, limit: int, status: JobStatus | None = None, user_id: str = "ada"
) -> Iterator[list[str]]:
    after = None
    for _ in range(MANY_PAGES):
        page = ports.job_catalog.list_jobs(user_id, limit=limit, after=after, status=status)
        yield [job.job_id for job in page.items]
        after = page.next
        if after is None:
            return
    raise AssertionError("a list without an end")


def ids(ports: ApiStorage, *, limit: int, status: JobStatus | None = None) -> list[str]:
    return [job_id for page in pages(ports, limit=limit, status=status) for job_id in page]


# ── lists ──────────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_newest_first_and_only_to_their_user(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    first = create(api_ports, clock, "first")
    clock.advance(1)
    create(api_ports, clock, "other", user_id="bob")
    clock.advance(1)
    second = create(api_ports, clock, "second")
    page = api_ports.job_catalog.list_jobs("ada", limit=10)
    assert page.items == (second, first)
    assert page.next is None
    assert api_ports.job_catalog.list_jobs("eve", limit=10).items == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 8, 100])
def test_paging_shows_every_job_once_even_if_times_are_equal(
    open_api_ports: OpenApi, clock: ManualClock, limit: int
) -> None:
    """Seven jobs at three times; each page is asked for by another process."""
    made: dict[str, Job] = {}
    for number in range(7):
        if number in {3, 6}:
            clock.advance(1)
        made[f"job-{number}"] = create(open_api_ports(), clock, f"job-{number}")
    seen = ids(open_api_ports(), limit=limit)
    assert sorted(seen) == sorted(made)
    times = [made[job_id].created_at for job_id in seen]
    assert times == sorted(times, reverse=True)
    assert all(len(page) <= limit for page in pages(open_api_ports(), limit=limit))
    assert seen == ids(open_api_ports(), limit=100)


def test_the_last_page_says_so(api_ports: ApiStorage, clock: ManualClock) -> None:
    for number in range(4):
        create(api_ports, clock, f"job-{number}")
    assert [len(page) for page in pages(api_ports, limit=2)] == [2, 2]
    assert [len(page) for page in pages(api_ports, limit=4)] == [4]


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_a_list_of_one_status(api_ports: ApiStorage, clock: ManualClock, limit: int) -> None:
    for number in range(9):
        create(api_ports, clock, f"job-{number}")
        if number % 3 == 0:
            end(api_ports, f"job-{number}", JobStatus.FAILED)
        clock.advance(1)
    assert ids(api_ports, limit=limit, status=JobStatus.FAILED) == ["job-6", "job-3", "job-0"]
    assert len(ids(api_ports, limit=limit, status=JobStatus.QUEUED)) == 6
    assert ids(api_ports, limit=limit, status=JobStatus.COMPLETED) == []


def test_jobs_that_come_and_go_between_two_pages_move_nothing(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    for number in range(6):
        create(api_ports, clock, f"job-{number}")
        clock.advance(1)
    first = api_ports.job_catalog.list_jobs("ada", limit=2)
    assert [job.job_id for job in first.items] == ["job-5", "job-4"]
    create(api_ports, clock, "job-6")
    for gone in ("job-4", "job-2"):
        end(api_ports, gone, JobStatus.DELETING)
        api_ports.job_catalog.delete_job(gone)
    rest = api_ports.job_catalog.list_jobs("ada", limit=10, after=first.next)
    assert [job.job_id for job in rest.items] == ["job-3", "job-1", "job-0"]


@pytest.mark.parametrize("after", STRANGE_POSITIONS)
def test_a_position_that_no_page_gave_is_refused(
    api_ports: ApiStorage, clock: ManualClock, after: str
) -> None:
    create(api_ports, clock, "job-1")
    with pytest.raises(InputError):
        api_ports.job_catalog.list_jobs("ada", limit=1, after=after)


def test_a_position_of_another_user_shows_nothing_of_theirs(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    for number in range(3):
        create(api_ports, clock, f"job-{number}", user_id="bob")
        clock.advance(1)
    theirs = api_ports.job_catalog.list_jobs("bob", limit=1)
    assert theirs.next is not None
    assert api_ports.job_catalog.list_jobs("ada", limit=10, after=theirs.next).items == ()


# ── counting ───────────────────────────────────────────────────────────────────────────────────


def test_active_jobs_are_counted_up_to_a_number(api_ports: ApiStorage, clock: ManualClock) -> None:
    count = api_ports.job_catalog.count_active
    assert count("ada", at_most=5) == 0
    for number in range(4):
        create(api_ports, clock, f"job-{number}")
        create(api_ports, clock, f"other-{number}", user_id="bob")
    api_ports.jobs.set_status("job-0", JobStatus.RUNNING, fence=1)
    assert count("ada", at_most=5) == 4
    assert count("ada", at_most=3) == 3
    assert count("eve", at_most=3) == 0
    active = api_ports.job_catalog.list_active("ada")
    assert sorted(job.job_id for job in active) == [f"job-{number}" for number in range(4)]
    assert active[0] == api_ports.jobs.get_job(active[0].job_id)
    assert list(api_ports.job_catalog.list_active("eve")) == []


@pytest.mark.parametrize("status", sorted(ENDED))
def test_an_ended_job_is_not_active_until_it_is_queued_again(
    api_ports: ApiStorage, clock: ManualClock, status: JobStatus
) -> None:
    create(api_ports, clock, "a")
    end(api_ports, "a", status)
    assert api_ports.job_catalog.count_active("ada", at_most=5) == 0
    if status in {JobStatus.COMPLETED, JobStatus.DELETING}:
        return
    api_ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    assert api_ports.job_catalog.count_active("ada", at_most=5) == 1


def test_a_job_that_is_handed_back_and_taken_over_counts_once(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock, "a")
    for status, fence in ((JobStatus.RUNNING, 1), (JobStatus.QUEUED, 1), (JobStatus.RUNNING, 2)):
        api_ports.jobs.set_status("a", status, fence=fence)
        assert api_ports.job_catalog.count_active("ada", at_most=5) == 1


# ── launch errors ──────────────────────────────────────────────────────────────────────────────


def test_a_launch_error_is_kept_replaced_and_forgotten(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    ports = open_api_ports()
    before = create(ports, clock, "a")
    for message in ("no machine", "no permission", None):
        ports.job_catalog.set_launch_error("a", message)
        assert open_api_ports().jobs.get_job("a") == replace(before, launch_error=message)


def test_a_long_launch_error_is_cut(api_ports: ApiStorage, clock: ManualClock) -> None:
    create(api_ports, clock, "a")
    api_ports.job_catalog.set_launch_error("a", "x" * 5_000)
    assert api_ports.jobs.get_job("a").launch_error == "x" * MAX_ERROR_MESSAGE_CHARACTERS


def test_a_launch_error_brings_no_deleted_job_back(api_ports: ApiStorage) -> None:
    api_ports.job_catalog.set_launch_error("gone", "no machine")
    api_ports.job_catalog.set_launch_error("gone", None)
    with pytest.raises(NotFoundError):
        api_ports.jobs.get_job("gone")
    assert api_ports.job_catalog.list_jobs("ada", limit=5).items == ()


def test_what_made_a_job_comes_back(api_ports: ApiStorage, clock: ManualClock) -> None:
    job = new_job("a", clock, budget_limit="10")
    job = replace(
        job,
        request_hash="5f2c",
        launch_error="no machine",
        config=replace(job.config, machines=Machines(allow_on_demand=True)),
    )
    api_ports.jobs.create_job(job)
    assert api_ports.jobs.get_job("a") == job


# ── deletion ───────────────────────────────────────────────────────────────────────────────────


def fill(ports: ApiStorage, clock: ManualClock, job_id: str, *, shards: int = 0) -> list[str]:
    """A job that has left a trace in every table; its work ids. It is FAILED."""
    ports.jobs.create_job(new_job(job_id, clock, shards=shards))
    work_ids = [item.work_id for item in ports.work.work_of(job_id)]
    ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=1)
    ports.budgets.open_account(job_id, 1_000)
    ports.queue.release_own(job_id)
    for work_id in work_ids:
        claim = ports.queue.claim(work_id, "worker")
        assert claim is not None
        version = CheckpointVersion(version=1, records_generated=50, fence=claim.fence)
        ports.checkpoints.put(work_id, version)
        ports.queue.finish(claim, JobStatus.FAILED)
    for number in range(30):
        ports.costs.add(job_id, entry_id=f"{number:04d}", cost_nano=7, tokens=1)
    ports.jobs.set_status(job_id, JobStatus.FAILED, fence=1)
    return work_ids


def traces(ports: ApiStorage, job_id: str, work_ids: list[str]) -> set[str]:
    """The tables that still know the job."""
    found = set()
    if ports.costs.total(job_id):
        found.add("costs")
    reads: list[tuple[str, Callable[[str], object], str]] = [
        ("jobs", ports.jobs.get_job, job_id),
        ("budgets", ports.budgets.get_account, job_id),
        *((f"work {each}", ports.work.get_work, each) for each in work_ids),
    ]
    for name, read, key in reads:
        try:
            read(key)
        except NotFoundError:
            continue
        found.add(name)
    return found | {f"checkpoint {each}" for each in work_ids if ports.checkpoints.get(each)}


@pytest.mark.parametrize("shards", [0, 3])
def test_a_deleted_job_leaves_no_trace(
    api_ports: ApiStorage, clock: ManualClock, shards: int
) -> None:
    work_ids = fill(api_ports, clock, "a", shards=shards)
    others = fill(api_ports, clock, "b")
    kept = traces(api_ports, "b", others)
    assert len(traces(api_ports, "a", work_ids)) == 3 + 2 * len(work_ids)
    api_ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    api_ports.job_catalog.delete_job("a")
    assert traces(api_ports, "a", work_ids) == set()
    assert traces(api_ports, "b", others) == kept
    api_ports.job_catalog.delete_job("a")


def test_the_id_of_a_deleted_job_can_be_used_again(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    """A request is made again with the same `Idempotency-Key`."""
    fill(api_ports, clock, "a")
    api_ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    api_ports.job_catalog.delete_job("a")
    create(api_ports, clock, "a")
    claim = api_ports.queue.claim("a", "worker")
    assert claim is not None
    assert (claim.fence, claim.attempt) == (1, 1)
    assert api_ports.checkpoints.get("a") is None


def test_only_a_deleting_job_is_deleted(api_ports: ApiStorage, clock: ManualClock) -> None:
    for status in JobStatus:
        if status is JobStatus.DELETING:
            continue
        create(api_ports, clock, status)
        if status is JobStatus.RUNNING:
            api_ports.jobs.set_status(status, status, fence=1)
        elif status not in ACTIVE:
            end(api_ports, status, status)
        with pytest.raises(ConflictError):
            api_ports.job_catalog.delete_job(status)
        assert api_ports.jobs.get_job(status).status is status
        assert api_ports.work.get_work(status).job_id == status


def test_nothing_happens_when_the_job_is_gone(api_ports: ApiStorage) -> None:
    api_ports.job_catalog.delete_job("gone")
    with pytest.raises(NotFoundError):
        api_ports.jobs.get_job("gone")


def test_work_that_somebody_still_has_in_hand_goes_too(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    """The worker of a cancelled job has not noticed yet: it finds its lease lost."""
    create(api_ports, clock, "a")
    claim = api_ports.queue.claim("a", "worker")
    assert claim is not None
    api_ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    api_ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    api_ports.job_catalog.delete_job("a")
    assert traces(api_ports, "a", ["a"]) == set()


def test_two_deletions_at_once(open_api_ports: OpenApi, clock: ManualClock) -> None:
    one, two = open_api_ports(), open_api_ports()
    for number in range(ROUNDS):
        job_id = f"job-{number}"
        work_ids = fill(one, clock, job_id)
        one.jobs.set_status(job_id, JobStatus.DELETING, fence=None)
        outcomes = race(
            [
                lambda: one.job_catalog.delete_job(job_id),  # noqa: B023
                lambda: two.job_catalog.delete_job(job_id),  # noqa: B023
            ]
        )
        assert outcomes == [None, None]
        assert traces(one, job_id, work_ids) == set()


def test_a_deletion_and_a_listing_at_once(open_api_ports: OpenApi, clock: ManualClock) -> None:
    """A list never shows half a job."""
    user, cleaner = open_api_ports(), open_api_ports()
    for number in range(ROUNDS):
        job_id = f"job-{number}"
        fill(user, clock, job_id)
        user.jobs.set_status(job_id, JobStatus.DELETING, fence=None)
        listed, _ = race(
            [
                lambda: user.job_catalog.list_jobs("ada", limit=5).items,
                lambda: cleaner.job_catalog.delete_job(job_id),  # noqa: B023
            ]
        )
        assert of_type([listed], tuple) == 1
        assert user.job_catalog.list_jobs("ada", limit=5).items == ()


def test_the_time_of_the_last_change_is_that_of_the_launch_error(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, clock, "a")
    clock.advance(5)
    api_ports.job_catalog.set_launch_error("a", "no machine")
    assert api_ports.jobs.get_job("a").updated_at == START + timedelta(seconds=5)

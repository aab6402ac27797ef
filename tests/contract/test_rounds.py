"""What both families promise about jobs whose checks choose records: the selection, and rounds."""

from dataclasses import replace

import pytest

from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import ConflictError, InputError, LeaseLostError, NotFoundError
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sharding import Sharding
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import Storage, new_job

CHOSEN = Selection(wanted=100, records=140, accepted=90, left_out={"fresh": 30, 'a "b"': 1})


def checked_job(clock: ManualClock, shards: int | None = 2) -> Job:
    job = new_job("a", clock, budget_limit="10", shards=shards)
    return replace(job, config=replace(job.config, acceptance=Acceptance(max_candidates=1000)))


@pytest.fixture
def running(ports: Storage, clock: ManualClock) -> Storage:
    """With job `a` of two shards, RUNNING under fence 3."""
    ports.jobs.create_job(checked_job(clock))
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=3)
    return ports


def test_what_was_chosen_is_kept(running: Storage, clock: ManualClock) -> None:
    assert running.jobs.get_job("a").selection is None
    clock.advance(60)
    running.jobs.set_selection("a", CHOSEN, fence=3)
    job = running.jobs.get_job("a")
    assert (job.selection, job.updated_at, job.status) == (CHOSEN, clock.now(), JobStatus.RUNNING)
    assert CHOSEN.surplus == 19
    more = replace(CHOSEN, accepted=91)
    running.jobs.set_selection("a", more, fence=4)
    assert running.jobs.get_job("a").selection == more
    running.jobs.set_status("a", JobStatus.COMPLETED, fence=4)
    assert running.jobs.get_job("a").selection == more


def test_a_late_owner_chooses_nothing(running: Storage) -> None:
    running.jobs.set_status("a", JobStatus.RUNNING, fence=5)
    with pytest.raises(LeaseLostError):
        running.jobs.set_selection("a", CHOSEN, fence=4)
    assert running.jobs.get_job("a").selection is None
    with pytest.raises(NotFoundError):
        running.jobs.set_selection("nothing", CHOSEN, fence=5)


def test_a_round_is_more_indices_and_a_run(running: Storage) -> None:
    assert running.jobs.get_job("a").run == 1
    for end, ends, run in ((160, (100, 160), 2), (160, (100, 160), 2), (161, (100, 160, 161), 3)):
        running.jobs.open_round("a", end, fence=3)
        job = running.jobs.get_job("a")
        assert job.config.sharding == Sharding(count=2, ends=ends)
        assert (job.run, job.status, job.config.num_records) == (run, JobStatus.RUNNING, 100)
    running.jobs.open_round("a", 120, fence=3)
    assert running.jobs.get_job("a").run == 3


def test_a_late_owner_opens_no_round(running: Storage) -> None:
    running.jobs.set_status("a", JobStatus.RUNNING, fence=5)
    with pytest.raises(LeaseLostError):
        running.jobs.open_round("a", 160, fence=4)
    running.jobs.open_round("a", 150, fence=5)
    with pytest.raises(LeaseLostError):
        running.jobs.open_round("a", 150, fence=4)
    assert running.jobs.get_job("a").config.sharding == Sharding(count=2, ends=(100, 150))


def test_only_a_running_job_gets_a_round(running: Storage) -> None:
    running.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    with pytest.raises(ConflictError):
        running.jobs.open_round("a", 160, fence=3)
    assert running.jobs.get_job("a").run == 1
    with pytest.raises(NotFoundError):
        running.jobs.open_round("nothing", 160, fence=3)


def test_a_job_in_one_piece_has_no_rounds(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(checked_job(clock, shards=None))
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    with pytest.raises(InputError):
        ports.jobs.open_round("a", 160, fence=1)


def test_growth_of_a_job_with_checks_adds_no_indices(ports: Storage, clock: ManualClock) -> None:
    """There may be enough records beyond those that were asked for."""
    ports.jobs.create_job(checked_job(clock))
    ports.jobs.set_num_records("a", 130)
    job = ports.jobs.get_job("a")
    assert job.config.sharding == Sharding(count=2, ends=(100,))
    assert (job.config.num_records, job.run) == (130, 2)

"""What every `JobStore` promises of an ended job whose rows are exported once more."""

from dataclasses import replace

import pytest

from runtime.domain.errors import ConflictError, LeaseLostError, NotFoundError, StorageBusyError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.row_export import ExportStatus, RequestedExport
from runtime.domain.jobs.sharding import Sharding
from runtime.domain.ports import Claim
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage, new_job

FIRST = RequestedExport(number=1, request="d" * 64, folder="messages", requested_at=START)
SECOND = replace(FIRST, number=2, request="e" * 64)
DONE = replace(FIRST, status=ExportStatus.COMPLETED, records=9, rows=8, ended_at=START)


def ended(ports: Storage, clock: ManualClock, status: JobStatus = JobStatus.COMPLETED) -> Claim:
    """The claim under which job `a` ended."""
    ports.jobs.create_job(new_job("a", clock))
    claim = ports.queue.claim("a", "w")
    assert claim is not None
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=claim.fence)
    if status is not JobStatus.RUNNING:
        ports.jobs.set_status("a", status, fence=claim.fence)
        ports.queue.finish(claim, status)
    return claim


@pytest.mark.parametrize(
    "status",
    [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.BUDGET_EXCEEDED, JobStatus.CANCELLED],
)
def test_an_ended_job_and_its_work_are_queued_together(
    ports: Storage, clock: ManualClock, status: JobStatus
) -> None:
    ended(ports, clock, status)
    ports.jobs.queue_export("a", FIRST)
    job = ports.jobs.get_job("a")
    assert (job.status, job.export, job.asked_export) == (status, FIRST, FIRST)
    claim = ports.queue.get_next_job("v")
    assert claim is not None
    assert claim.work_id == "a"


def test_an_export_is_refused_while_anybody_is_at_work(ports: Storage, clock: ManualClock) -> None:
    with pytest.raises(NotFoundError):
        ports.jobs.queue_export("a", FIRST)
    claim = ended(ports, clock, JobStatus.RUNNING)
    with pytest.raises(ConflictError):
        ports.jobs.queue_export("a", FIRST)
    ports.jobs.set_status("a", JobStatus.COMPLETED, fence=claim.fence)
    with pytest.raises(StorageBusyError):  # the worker is about to end its work
        ports.jobs.queue_export("a", FIRST)
    assert ports.jobs.get_job("a").export is None
    ports.queue.finish(claim, JobStatus.COMPLETED)
    ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
    with pytest.raises(ConflictError):
        ports.jobs.queue_export("a", FIRST)


def test_there_is_one_export_at_a_time(ports: Storage, clock: ManualClock) -> None:
    ended(ports, clock)
    ports.jobs.queue_export("a", FIRST)
    with pytest.raises(ConflictError):
        ports.jobs.queue_export("a", SECOND)
    claim = ports.queue.claim("a", "w")
    assert claim is not None
    ports.jobs.set_export("a", replace(FIRST, status=ExportStatus.RUNNING), fence=claim.fence)
    ports.jobs.set_export("a", DONE, fence=claim.fence)
    assert ports.jobs.get_job("a").export == DONE
    assert ports.jobs.get_job("a").status is JobStatus.COMPLETED
    with pytest.raises(StorageBusyError):  # its work has not ended yet
        ports.jobs.queue_export("a", SECOND)
    ports.queue.finish(claim, JobStatus.COMPLETED)
    with pytest.raises(ConflictError):  # the same number once more
        ports.jobs.queue_export("a", FIRST)
    ports.jobs.queue_export("a", SECOND)
    assert ports.jobs.get_job("a").export == SECOND


def test_one_of_two_requests_wins(open_ports: OpenPorts, clock: ManualClock) -> None:
    ended(open_ports(), clock)
    one, other = open_ports(), open_ports()
    outcomes = race(
        [
            lambda: one.jobs.queue_export("a", FIRST),
            lambda: other.jobs.queue_export("a", replace(FIRST, request="e" * 64)),
        ]
    )
    assert outcomes.count(None) == 1
    assert of_type(outcomes, ConflictError) + of_type(outcomes, StorageBusyError) == 1


def test_a_job_whose_rows_are_exported_does_not_go_on(ports: Storage, clock: ManualClock) -> None:
    ended(ports, clock)
    ports.jobs.queue_export("a", FIRST)
    with pytest.raises(ConflictError):
        ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    assert ports.jobs.get_job("a").status is JobStatus.COMPLETED
    ports.jobs.set_export("a", DONE, fence=None)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    job = ports.jobs.get_job("a")
    assert (job.status, job.export, job.asked_export) == (JobStatus.QUEUED, DONE, None)


def test_a_late_owner_says_nothing_of_an_export(ports: Storage, clock: ManualClock) -> None:
    ended(ports, clock)
    ports.jobs.queue_export("a", FIRST)
    late = ports.queue.claim("a", "late")
    assert late is not None
    assert ports.queue.recover(ports.queue.leases()[0])
    heir = ports.queue.claim("a", "heir")
    assert heir is not None
    ports.jobs.set_export("a", replace(FIRST, status=ExportStatus.RUNNING), fence=heir.fence)
    with pytest.raises(LeaseLostError):
        ports.jobs.set_export("a", DONE, fence=late.fence)
    ports.jobs.set_export("a", DONE, fence=heir.fence)
    with pytest.raises(ConflictError):  # it has ended
        ports.jobs.set_export("a", DONE, fence=heir.fence)
    ports.queue.finish(heir, JobStatus.COMPLETED)
    ports.jobs.queue_export("a", SECOND)
    with pytest.raises(ConflictError):  # of another number
        ports.jobs.set_export("a", DONE, fence=None)
    with pytest.raises(NotFoundError):
        ports.jobs.set_export("b", DONE, fence=None)


def test_of_a_sharded_job_its_own_work_is_queued(ports: Storage, clock: ManualClock) -> None:
    job = new_job("a", clock)
    sharding = Sharding(count=2, ends=(job.config.num_records,))
    ports.jobs.create_job(replace(job, config=replace(job.config, sharding=sharding)))
    for work_id in ("a#0", "a#1"):
        claim = ports.queue.claim(work_id, "w")
        assert claim is not None
        ports.queue.finish(claim, JobStatus.COMPLETED)
    ports.queue.release_own("a")
    claim = ports.queue.claim("a", "w")
    assert claim is not None
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=claim.fence)
    ports.jobs.set_status("a", JobStatus.COMPLETED, fence=claim.fence)
    ports.queue.finish(claim, JobStatus.COMPLETED)
    ports.jobs.queue_export("a", FIRST)
    found = ports.queue.get_next_job("w")
    assert found is not None
    assert (found.work_id, found.shard) == ("a", None)
    assert ports.queue.get_next_job("w") is None

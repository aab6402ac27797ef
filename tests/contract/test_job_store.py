"""What every `JobStore` promises."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.errors import ConflictError, InputError, LeaseLostError, NotFoundError
from runtime.domain.jobs.job import ACTIVE, ENDED, JobError, JobStatus, Progress, may_become
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.models.call_options import CallOptions
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage, new_job

ROUNDS = 10
STEPS = {
    "review": StepTotals(
        model="amazon.nova-micro-v1:0",
        calls=2**53 + 1,
        tokens_in=10**12,
        tokens_out=7,
        cost_nano=123_456_788,
        retried=1,
        repaired=2,
        refused=3,
        cut=4,
        schema_in_prompt=6,
        skipped=7,
        presumed=5,
        presumed_nano=2**60,
    ),
    "answer": StepTotals(model='a "model"', calls=1),
}


def start(ports: Storage, clock: ManualClock, job_id: str = "a", *, fence: int = 1) -> None:
    ports.jobs.create_job(new_job(job_id, clock))
    ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=fence)


def test_a_job_comes_back_as_it_was_stored(open_ports: OpenPorts, clock: ManualClock) -> None:
    job = new_job("a", clock, budget_limit="25")
    open_ports().jobs.create_job(job)
    assert open_ports().jobs.get_job("a") == job


def test_every_field_of_an_older_job_comes_back(ports: Storage, clock: ManualClock) -> None:
    job = replace(
        new_job("a", clock, budget_limit="25"),
        progress=Progress(
            records_generated=999_999,
            failed_records=1,
            tokens_used=10**12,
            cost_nano=123_456_789,
            failures_by_kind={"invalid_output": 1},
            cost_by_model={"amazon.nova-micro-v1:0": 123_456_788, 'a "model"': 1},
            service_failures=1,
            steps=STEPS,
        ),
        error_message="the seed file is empty: upload it again",
        error_code="invalid_seeds",
        retry_after=START + timedelta(hours=5, microseconds=7),
        launch_error="no capacity",
        request_hash="0f" * 32,
        started_at=START - timedelta(microseconds=1),
        completed_at=START + timedelta(days=1),
    )
    ports.jobs.create_job(job)
    assert ports.jobs.get_job("a") == job


def test_counters_of_steps_are_replaced_as_a_whole(ports: Storage, clock: ManualClock) -> None:
    """A4."""
    start(ports, clock)
    for steps in (STEPS, {"answer": StepTotals(model="m", cut=1)}, {}):
        progress = Progress(failed_records=2, service_failures=1, steps=steps)
        ports.jobs.set_progress("a", 1, progress)
        assert ports.jobs.get_job("a").progress == progress


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.COMPLETED])
def test_why_a_job_ended_goes_with_its_next_status(
    ports: Storage, clock: ManualClock, status: JobStatus
) -> None:
    start(ports, clock)
    later = START + timedelta(hours=3)
    ports.jobs.set_status(
        "a",
        JobStatus.FAILED,
        fence=1,
        error=JobError(
            message="the quota of the day is used up", code="daily_quota", retry_after=later
        ),
    )
    job = ports.jobs.get_job("a")
    assert (job.error_code, job.retry_after) == ("daily_quota", later)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    if status is not JobStatus.QUEUED:
        ports.jobs.set_status("a", JobStatus.RUNNING, fence=2)
    if status is JobStatus.COMPLETED:
        ports.jobs.set_status("a", status, fence=2)
    job = ports.jobs.get_job("a")
    assert (job.status, job.error_message, job.error_code, job.retry_after) == (
        status,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("limit", [Decimal("100.0"), "100.0", 100, Decimal("0.000000001")])
def test_a_budget_limit_keeps_its_value(
    ports: Storage, clock: ManualClock, limit: Decimal | str | int
) -> None:
    ports.jobs.create_job(new_job("a", clock, budget_limit=limit))
    assert Decimal(str(ports.jobs.get_job("a").budget_limit)) == Decimal(str(limit))


@pytest.mark.parametrize("limit", ["invalid", None, "", float("nan"), 10**60])
def test_a_damaged_budget_limit_is_kept_for_others_to_judge(
    ports: Storage, clock: ManualClock, limit: object
) -> None:
    ports.jobs.create_job(new_job("a", clock, budget_limit=limit))
    assert str(ports.jobs.get_job("a").budget_limit) == str(limit)


def test_a_job_is_created_once(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock, budget_limit="1"))
    with pytest.raises(ConflictError):
        ports.jobs.create_job(new_job("a", clock, budget_limit="2"))
    assert ports.jobs.get_job("a").budget_limit == "1"
    assert ports.queue.get_next_job("first") is not None
    assert ports.queue.get_next_job("second") is None


def test_job_and_work_are_stored_together_or_not_at_all(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a#1", clock))
    with pytest.raises(ConflictError):
        ports.jobs.create_job(new_job("a", clock, shards=2))
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("a")
    with pytest.raises(NotFoundError):
        ports.queue.claim("a#0", "first")


def test_one_of_two_creators_wins(open_ports: OpenPorts, clock: ManualClock) -> None:
    one, two = open_ports(), open_ports()
    for number in range(ROUNDS):
        job = new_job(f"job-{number}", clock)
        outcomes = race([lambda: one.jobs.create_job(job), lambda: two.jobs.create_job(job)])  # noqa: B023
        assert outcomes.count(None) == 1, outcomes
        assert of_type(outcomes, ConflictError) == 1, outcomes


def test_a_job_that_is_not_there(ports: Storage) -> None:
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("nothing")
    with pytest.raises(NotFoundError):
        ports.jobs.set_status("nothing", JobStatus.RUNNING, fence=1)
    with pytest.raises(NotFoundError):
        ports.jobs.set_status("nothing", JobStatus.CANCELLED, fence=None)
    with pytest.raises(NotFoundError):
        ports.jobs.set_progress("nothing", 1, Progress())
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("nothing")


def test_a_budget_is_replaced_and_nothing_else(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock)
    before = ports.jobs.get_job("a")
    clock.advance(5)
    ports.jobs.set_budget("a", "25.5")
    after = ports.jobs.get_job("a")
    assert Decimal(str(after.budget_limit)) == Decimal("25.5")
    assert after == replace(
        before, budget_limit=after.budget_limit, updated_at=START + timedelta(seconds=5)
    )
    with pytest.raises(NotFoundError):
        ports.jobs.set_budget("nothing", "1")
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("nothing")


@pytest.mark.parametrize("fence", [None, 2])
def test_status_moves_along_the_transition_table(
    ports: Storage, clock: ManualClock, fence: int | None
) -> None:
    for old in JobStatus:
        for new in JobStatus:
            job_id = f"{old}-{new}"
            ports.jobs.create_job(new_job(job_id, clock))
            if old is not JobStatus.QUEUED:
                ports.jobs.set_status(job_id, JobStatus.RUNNING, fence=1)
            if old in ENDED:
                ended = JobStatus.FAILED if old is JobStatus.DELETING else old
                ports.jobs.set_status(job_id, ended, fence=1)
            if old is JobStatus.DELETING:
                ports.jobs.set_status(job_id, old, fence=None)
            allowed = may_become(old, new)
            if fence is not None and new in {JobStatus.RUNNING, JobStatus.QUEUED}:
                # A worker takes over what is running, and hands back nothing else.
                allowed = old is JobStatus.RUNNING or (allowed and new is JobStatus.RUNNING)
            if allowed:
                ports.jobs.set_status(job_id, new, fence=fence)
                assert ports.jobs.get_job(job_id).status is new
            else:
                with pytest.raises(ConflictError):
                    ports.jobs.set_status(job_id, new, fence=fence)
                assert ports.jobs.get_job(job_id).status is old


def test_times_are_stamped(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock))
    clock.advance(10)
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    running = ports.jobs.get_job("a")
    assert running.started_at == running.updated_at == START + timedelta(seconds=10)
    assert (running.created_at, running.completed_at) == (START, None)
    clock.advance(10)
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=2)
    assert ports.jobs.get_job("a").started_at == START + timedelta(seconds=10)
    clock.advance(10)
    ports.jobs.set_status("a", JobStatus.FAILED, fence=2)
    failed = ports.jobs.get_job("a")
    assert failed.completed_at == failed.updated_at == START + timedelta(seconds=30)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    assert ports.jobs.get_job("a").completed_at is None


def test_leaving_failed_clears_the_error_message(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock)
    ports.jobs.set_status(
        "a", JobStatus.FAILED, fence=1, error=JobError(message="no such seed file")
    )
    assert ports.jobs.get_job("a").error_message == "no such seed file"
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    assert ports.jobs.get_job("a").error_message is None


def test_progress_replaces_the_counters(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock)
    first = Progress(records_generated=50, failed_records=1, tokens_used=900, cost_nano=10**9 + 1)
    second = replace(
        first,
        records_generated=100,
        cost_nano=2 * 10**9,
        failures_by_kind={"render_failed": 1},
        cost_by_model={"a": 10**9, "b": 10**9},
    )
    third = replace(second, failures_by_kind={"in_doubt": 1}, cost_by_model={"b": 10**18})
    clock.advance(5)
    for progress in (first, second, third, first):
        ports.jobs.set_progress("a", 1, progress)
        assert ports.jobs.get_job("a").progress == progress
    assert ports.jobs.get_job("a").updated_at == START + timedelta(seconds=5)


def test_only_a_running_job_has_its_counters_replaced(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock)
    ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    with pytest.raises(ConflictError):
        ports.jobs.set_progress("a", 1, Progress(records_generated=50))
    assert ports.jobs.get_job("a").progress == Progress()


def test_a_successor_takes_over_and_the_old_owner_is_fenced_off(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    old, successor = open_ports(), open_ports()
    start(old, clock, fence=1)
    successor.jobs.set_status("a", JobStatus.RUNNING, fence=2)
    for status in (JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.QUEUED):
        with pytest.raises(LeaseLostError):
            old.jobs.set_status("a", status, fence=1)
    with pytest.raises(LeaseLostError):
        old.jobs.set_progress("a", 1, Progress(records_generated=1))
    job = successor.jobs.get_job("a")
    assert (job.status, job.progress) == (JobStatus.RUNNING, Progress())
    successor.jobs.set_progress("a", 2, Progress(records_generated=2))
    successor.jobs.set_status("a", JobStatus.COMPLETED, fence=2)


@pytest.mark.parametrize("end", sorted(ENDED))
def test_an_interrupted_worker_brings_no_ended_job_back(
    ports: Storage, clock: ManualClock, end: JobStatus
) -> None:
    start(ports, clock)
    if end is JobStatus.DELETING:
        ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    ports.jobs.set_status("a", end, fence=None, error=JobError(message="as the user wished"))
    ended = ports.jobs.get_job("a")
    clock.advance(1)
    for fence in (1, 2):
        with pytest.raises(ConflictError):
            ports.jobs.set_status("a", JobStatus.QUEUED, fence=fence)
    assert ports.jobs.get_job("a") == ended


def test_an_interrupted_worker_hands_a_running_job_back(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=1)
    assert ports.jobs.get_job("a").status is JobStatus.QUEUED


def test_a_change_without_a_fence_leaves_the_stored_one(ports: Storage, clock: ManualClock) -> None:
    start(ports, clock, fence=5)
    ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    with pytest.raises(LeaseLostError):
        ports.jobs.set_status("a", JobStatus.RUNNING, fence=4)
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=6)


def test_a_cancellation_and_a_completion_exclude_each_other(
    open_ports: OpenPorts, clock: ManualClock
) -> None:
    user, worker = open_ports(), open_ports()
    for number in range(ROUNDS):
        job_id = f"job-{number}"
        start(worker, clock, job_id)
        cancelled, completed = race(
            [
                lambda: user.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None),  # noqa: B023
                lambda: worker.jobs.set_status(job_id, JobStatus.COMPLETED, fence=1),  # noqa: B023
            ]
        )
        assert of_type([cancelled, completed], ConflictError) == 1
        winner = JobStatus.CANCELLED if cancelled is None else JobStatus.COMPLETED
        assert user.jobs.get_job(job_id).status is winner


# ── more records ───────────────────────────────────────────────────────────────────────────────


def test_a_job_with_checks_gets_more_tries(ports: Storage, clock: ManualClock) -> None:
    job = new_job("a", clock)
    had = job.config.num_records
    acceptance = Acceptance().pinned(had, has_checks=True)
    ports.jobs.create_job(replace(job, config=replace(job.config, acceptance=acceptance)))

    def most() -> int | None:
        return ports.jobs.get_job("a").config.acceptance.max_candidates

    ports.jobs.set_num_records("a", had + 1)
    assert most() == 10 * (had + 1)
    ports.jobs.set_num_records("a", had + 1, max_candidates=20 * had)
    assert most() == 20 * had
    ports.jobs.set_num_records("a", had + 2)
    assert most() == 20 * had
    with pytest.raises(InputError, match="only raised"):
        ports.jobs.set_num_records("a", had + 2, max_candidates=had + 2)
    assert ports.jobs.get_job("a").config.num_records == had + 2


@pytest.mark.parametrize("status", sorted(frozenset(JobStatus)))
def test_a_job_gets_more_records_unless_it_runs_or_goes(
    ports: Storage, clock: ManualClock, status: JobStatus
) -> None:
    ports.jobs.create_job(new_job("a", clock))
    if status is not JobStatus.QUEUED:
        ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    if status is JobStatus.DELETING:
        ports.jobs.set_status("a", JobStatus.COMPLETED, fence=1)
    if status not in ACTIVE:
        ports.jobs.set_status("a", status, fence=None)
    before = ports.jobs.get_job("a")
    had = before.config.num_records
    clock.advance(1)

    if status in {JobStatus.RUNNING, JobStatus.DELETING}:
        with pytest.raises(ConflictError, match=status):
            ports.jobs.set_num_records("a", had + 1)
        assert ports.jobs.get_job("a") == before
        return
    for _ in range(2):  # a repetition changes nothing
        ports.jobs.set_num_records("a", had + 1)
    with pytest.raises(InputError, match="already"):
        ports.jobs.set_num_records("a", had)
    after = ports.jobs.get_job("a")
    assert after.config == replace(before.config, num_records=had + 1)
    assert after.status is status
    assert after.updated_at == clock.now()


def test_b3_replies_of_a_job_are_waited_for_longer(ports: Storage, clock: ManualClock) -> None:
    ports.jobs.create_job(new_job("a", clock))
    before = ports.jobs.get_job("a")
    clock.advance(1)
    for _ in range(2):
        ports.jobs.set_call_timeout("a", 600)
    after = ports.jobs.get_job("a")
    assert after == replace(
        before,
        config=replace(before.config, calls=CallOptions(call_timeout=600)),
        updated_at=clock.now(),
    )
    with pytest.raises(NotFoundError):
        ports.jobs.set_call_timeout("b", 600)


def test_a_job_that_is_not_there_gets_no_records(ports: Storage) -> None:
    with pytest.raises(NotFoundError):
        ports.jobs.set_num_records("a", 7)

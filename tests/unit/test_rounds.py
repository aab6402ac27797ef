"""What the state machine of a sharded job is told to do next, and who looks after the machine."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from runtime.contract.routes import ADVANCE_JOB, SWEEP_QUEUE, TASK_STOPPED
from runtime.contract.statuses import WaitingStatus
from runtime.domain.jobs.job import JobError, JobStatus, Progress, work_id_of
from runtime.domain.ports import Claim
from runtime.domain.service_ports import WorkItem
from runtime.service.launching import ALL_AT_WORK, NO_WORKER
from runtime.service.rounds import IDLE_ROUNDS
from tests.fixtures.api import HandlerLogs
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import BOB

SHARDS: Final = 3
LEASE: Final = 60
GRACE: Final = 300
OWNER: Final = "{}/shard-{}/50100"

Answer = Mapping[str, Any]


@pytest.fixture
def job_id(api_world: ApiWorld) -> str:
    """A job of 30 records in three shards, whose execution has begun."""
    return sharded(api_world)


def sharded(world: ApiWorld, **fields: Any) -> str:
    wanted = {"num_records": 30, "shards": SHARDS, "allow_partial": True, **fields}
    reply = world.create_job(**wanted)
    assert reply.status == 201, reply
    job_id: str = reply.body["job_id"]
    return job_id


def ask(world: ApiWorld, job_id: str, before: Answer | None = None) -> Answer:
    answer: Answer = world.handle(ADVANCE_JOB, before or {"job_id": job_id, "execution": 1})
    return answer


def claim(world: ApiWorld, job_id: str, shard: int | None) -> Claim:
    owner = OWNER.format(job_id, shard)
    found = world.own.queue.claim(work_id_of(job_id, shard), owner)
    assert found is not None
    world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=None)
    return found


def work(
    world: ApiWorld, job_id: str, shard: int, *, records: int, end: JobStatus | None = None
) -> None:
    """A worker takes a shard, saves so many records, and ends it or hands it back."""
    owned = world.own.queue.claim(work_id_of(job_id, shard), OWNER.format(job_id, shard))
    assert owned is not None
    progress = Progress(records_generated=records)
    world.own.jobs.set_progress(job_id, owned.fence, progress, shard=shard)
    if end is None:
        world.own.queue.release(owned)
    else:
        world.own.queue.finish(owned, end, run=world.job(job_id).run)


def end_all(world: ApiWorld, job_id: str) -> None:
    for shard in range(SHARDS):
        work(world, job_id, shard, records=10, end=JobStatus.COMPLETED)


def own(world: ApiWorld, job_id: str) -> WorkItem:
    return world.own.work.get_work(job_id)


def sweep(world: ApiWorld) -> dict[str, int]:
    """What the sweep did, without what it found and what it didn't."""
    counts: dict[str, int] = world.handle(SWEEP_QUEUE, {})
    found = {"queued", "running", "waiting"}
    return {name: value for name, value in counts.items() if value and name not in found}


# ── a job in shards begins ─────────────────────────────────────────────────────────────────────


def test_a_sharded_job_gets_an_execution_and_no_task(api_world: ApiWorld, job_id: str) -> None:
    assert api_world.aws.machine.begun == [(job_id, 1)]
    assert not api_world.aws.tasks.launches
    assert own(api_world, job_id).status is WaitingStatus.WAITING
    assert own(api_world, job_id).launches == 1
    job = api_world.job(job_id)
    assert job.config.sharding is not None
    assert (job.config.sharding.count, job.launch_error) == (SHARDS, None)


def test_a_job_is_split_by_its_estimate(api_world: ApiWorld) -> None:
    """Nobody said into how many: a million short records are more than one worker should make."""
    reply = api_world.create_job(num_records=1_000_000, budget_limit=900)
    assert reply.status == 201, reply
    sharding = api_world.job(reply.body["job_id"]).config.sharding
    assert sharding is not None
    assert sharding.count > 1
    assert api_world.aws.machine.begun == [(reply.body["job_id"], 1)]


def test_a_small_job_is_one_task(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    assert not api_world.aws.machine.begun
    assert [each.variables["JOB_ID"] for each in api_world.aws.tasks.launches] == [job_id]


# ── rounds ─────────────────────────────────────────────────────────────────────────────────────


def test_the_first_round_generates_all_shards(api_world: ApiWorld, job_id: str) -> None:
    answer = ask(api_world, job_id)
    assert answer == {
        "job_id": job_id,
        "execution": 1,
        "round": 1,
        "done": 0,
        "claims": 0,
        "idle": 0,
        "next": "generate",
        "shards": [0, 1, 2],
        "concurrency": 3,
        "number": 50200,
        "on_demand": False,
    }


def test_the_next_round_generates_what_is_missing(api_world: ApiWorld, job_id: str) -> None:
    first = ask(api_world, job_id)
    work(api_world, job_id, 0, records=10, end=JobStatus.COMPLETED)
    work(api_world, job_id, 1, records=4)
    second = ask(api_world, job_id, first)
    assert (second["next"], second["shards"]) == ("generate", [1, 2])
    assert second["number"] > first["number"]
    assert (second["done"], second["idle"]) == (15, 0)


def test_a_shard_that_somebody_works_on_is_not_started_again(
    api_world: ApiWorld, job_id: str
) -> None:
    first = ask(api_world, job_id)
    claim(api_world, job_id, 0)
    for shard in (1, 2):
        work(api_world, job_id, shard, records=10, end=JobStatus.COMPLETED)
    second = ask(api_world, job_id, first)
    assert (second["next"], second["seconds"]) == ("wait", 30)
    assert own(api_world, job_id).status is WaitingStatus.WAITING


def test_when_all_shards_have_ended_the_job_is_exported(api_world: ApiWorld, job_id: str) -> None:
    first = ask(api_world, job_id)
    end_all(api_world, job_id)
    second = ask(api_world, job_id, first)
    assert second["next"] == "export"
    assert own(api_world, job_id).status is JobStatus.QUEUED
    # And again, if that task came to nothing.
    assert ask(api_world, job_id, second)["next"] == "export"
    # Sums are stored where lists read them.
    (listed,) = api_world.get("/jobs").body["jobs"]
    assert listed["records_generated"] == 30


def test_an_exported_job_is_over(api_world: ApiWorld, job_id: str) -> None:
    end_all(api_world, job_id)
    before = ask(api_world, job_id)
    owned = claim(api_world, job_id, None)
    assert ask(api_world, job_id, before)["next"] == "wait"
    api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=owned.fence)
    assert ask(api_world, job_id, before)["next"] == "end"


def test_a_round_that_the_own_work_opens_is_one_of_the_same_execution(
    api_world: ApiWorld, job_id: str
) -> None:
    """Where checks have accepted too few: shards go on, and those without a part of it don't."""
    end_all(api_world, job_id)
    answer = ask(api_world, job_id)
    assert answer["next"] == "export"
    owned = claim(api_world, job_id, None)
    api_world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=owned.fence)
    api_world.own.jobs.open_round(job_id, 32, fence=owned.fence)
    # It has not yet put itself off, or died before it could.
    between = ask(api_world, job_id, answer)
    assert between["next"] in {"generate", "wait"}
    api_world.own.queue.put_off(owned)
    answer = ask(api_world, job_id, between)
    assert (answer["next"], answer["execution"]) == ("generate", 1)
    assert answer["shards"] == [1, 2]
    for shard in (1, 2):
        work(api_world, job_id, shard, records=11, end=JobStatus.COMPLETED)
    assert ask(api_world, job_id, answer)["next"] == "export"
    assert api_world.aws.machine.begun == [(job_id, 1)]


def test_a_job_that_is_gone_or_cancelled_is_over(api_world: ApiWorld, job_id: str) -> None:
    assert ask(api_world, SOME_ID)["next"] == "end"
    api_world.delete(f"/jobs/{job_id}")
    assert ask(api_world, job_id)["next"] == "end"


def test_an_execution_has_so_many_rounds_and_the_next_one_goes_on(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    answer = {**ask(api_world, job_id), "round": 500}
    assert ask(api_world, job_id, answer)["next"] == "end"
    api_world.aws.machine.end_all()
    clock.advance(GRACE + 1)
    assert sweep(api_world) == {"launched": 1}
    assert api_world.aws.machine.begun == [(job_id, 1), (job_id, 2)]


def test_machines_at_the_full_price_are_the_jobs_to_allow(api_world: ApiWorld) -> None:
    job_id = sharded(api_world, allow_on_demand=True)
    assert ask(api_world, job_id)["on_demand"] is True


def test_an_event_of_nobody_is_an_error(api_world: ApiWorld) -> None:
    with pytest.raises(KeyError):
        ask(api_world, SOME_ID, {"job_id": SOME_ID})


# ── rounds that come to nothing ────────────────────────────────────────────────────────────────


def test_a_round_without_a_machine_waits_and_says_so(api_world: ApiWorld, job_id: str) -> None:
    answer = ask(api_world, job_id)
    for _ in range(IDLE_ROUNDS + 2):
        answer = ask(api_world, job_id, answer)
        assert (answer["next"], answer["idle"]) == ("generate", 0)
        assert api_world.job(job_id).launch_error == NO_WORKER
    work(api_world, job_id, 0, records=1)
    ask(api_world, job_id, answer)
    assert api_world.job(job_id).launch_error is None


def test_workers_that_finish_nothing_again_and_again_are_given_up(
    api_world: ApiWorld, job_id: str, handler_logs: HandlerLogs
) -> None:
    answer = ask(api_world, job_id)
    for shard in (0, 1):
        work(api_world, job_id, shard, records=10, end=JobStatus.COMPLETED)
    for _ in range(IDLE_ROUNDS):
        answer = ask(api_world, job_id, answer)
        assert answer["next"] == "generate"
        work(api_world, job_id, 2, records=0)
    answer = ask(api_world, job_id, answer)
    assert answer["next"] == "wait"
    (given_up,) = [each for each in handler_logs.lines if each["message"] == "shards given up"]
    assert (given_up["job_id"], given_up["shards"]) == (job_id, 1)
    # What the others have is exported, and the job ends by this error.
    assert ask(api_world, job_id, answer)["next"] == "export"
    state = api_world.own.queue.shards_of(job_id, SHARDS)[2]
    assert state.status is JobStatus.FAILED
    assert isinstance(state.error, JobError)
    assert state.error.code == "workers_lost"
    assert "finish a record" in state.error.message


def test_a_record_that_is_saved_begins_the_count_anew(api_world: ApiWorld, job_id: str) -> None:
    answer = ask(api_world, job_id)
    for records in range(2 * IDLE_ROUNDS):
        work(api_world, job_id, 0, records=records // 2)
        answer = ask(api_world, job_id, answer)
        assert answer["next"] == "generate"


# ── who may have workers ───────────────────────────────────────────────────────────────────────


def limited(world: ApiWorld, patch: pytest.MonkeyPatch, **settings: int) -> None:
    """The handlers with these limits of a stage."""
    from dataclasses import replace  # noqa: PLC0415

    patch.setattr(world.ports, "settings", replace(world.ports.settings, **settings))


def test_a_user_has_so_many_workers_shards_counted(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    limited(api_world, monkeypatch, user_workers=4, max_active_jobs=3)
    first = sharded(api_world)
    clock.advance(1)
    second = sharded(api_world)
    theirs = sharded(api_world, user=BOB)
    assert ask(api_world, first)["concurrency"] == 2
    assert ask(api_world, second)["concurrency"] == 1
    assert ask(api_world, theirs)["concurrency"] == 2


def test_a_job_waits_while_all_workers_of_its_user_are_at_work(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    limited(api_world, monkeypatch, user_workers=1, max_active_jobs=3)
    first = sharded(api_world)
    claim(api_world, first, 0)
    second = api_world.job_id()
    assert not api_world.aws.tasks.launches
    assert api_world.get(f"/jobs/{second}").body["launch_error"] == ALL_AT_WORK
    clock.advance(1)
    third = sharded(api_world)
    assert ask(api_world, third)["next"] == "wait"
    api_world.delete(f"/jobs/{first}")
    clock.advance(GRACE + 1)
    sweep(api_world)
    assert len(api_world.aws.tasks.launches) == 1
    assert api_world.get(f"/jobs/{second}").body["launch_error"] is None


def test_users_take_turns_when_machines_are_short(api_world: ApiWorld, clock: ManualClock) -> None:
    api_world.aws.tasks.full_for = 4
    mine = [api_world.job_id() for _ in range(3)]
    clock.advance(1)
    theirs = api_world.job_id(user=BOB)
    clock.advance(GRACE + 1)
    sweep(api_world)
    started = [each.variables["JOB_ID"] for each in api_world.aws.tasks.launches]
    assert sorted(started) == sorted([*mine, theirs])
    assert started.index(theirs) == 1


def test_the_urgent_job_of_a_user_comes_first(api_world: ApiWorld, clock: ManualClock) -> None:
    api_world.aws.tasks.full_for = 2
    later = api_world.job_id()
    urgent = api_world.create_job(priority=5, allow_partial=True).body["job_id"]
    clock.advance(GRACE + 1)
    sweep(api_world)
    started = [each.variables["JOB_ID"] for each in api_world.aws.tasks.launches]
    assert started == [urgent, later]


# ── who looks after the machine ────────────────────────────────────────────────────────────────


def test_while_an_execution_goes_on_the_sweeper_starts_nothing(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    clock.advance(GRACE + 1)
    assert sweep(api_world) == {}
    assert api_world.aws.machine.begun == [(job_id, 1)]
    assert not api_world.aws.tasks.launches


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_where_one_has_ended_and_shards_have_not_the_next_begins(
    api_world: ApiWorld, job_id: str, clock: ManualClock, status: str
) -> None:
    api_world.aws.machine.end_all(status)
    assert sweep(api_world) == {}  # it may be too new to be seen
    clock.advance(GRACE + 1)
    assert sweep(api_world) == {"launched": 1}
    assert sweep(api_world) == {}
    assert api_world.aws.machine.running == [(job_id, 2)]


def test_an_execution_that_could_not_be_begun_is_begun_by_the_sweeper(api_world: ApiWorld) -> None:
    fault = api_world.fail("stepfunctions", "StartExecution", "ServiceUnavailable", status=503)
    job_id = sharded(api_world)
    assert "could not be started" in api_world.get(f"/jobs/{job_id}").body["launch_error"]
    fault.clear()
    assert sweep(api_world) == {"launched": 1}
    assert api_world.aws.machine.begun == [(job_id, 2)]
    assert api_world.get(f"/jobs/{job_id}").body["launch_error"] is None


def test_a_job_whose_export_is_due_gets_an_execution_too(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    api_world.aws.machine.end_all()
    end_all(api_world, job_id)
    ask(api_world, job_id)
    clock.advance(GRACE + 1)
    assert sweep(api_world) == {"launched": 1}
    assert not api_world.aws.tasks.launches


def test_shards_that_wait_for_each_other_are_no_job_that_waits(
    api_world: ApiWorld, job_id: str, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    clock.advance(3600)
    sweep(api_world)
    (line,) = [each for each in handler_logs.lines if each["message"] == "queue swept"]
    assert line["oldest_queued_seconds"] == 0
    end_all(api_world, job_id)
    ask(api_world, job_id)
    clock.advance(7)
    sweep(api_world)
    line = [each for each in handler_logs.lines if each["message"] == "queue swept"][-1]
    assert line["oldest_queued_seconds"] == 7


def test_a_shard_that_hangs_is_stopped_and_left_to_the_execution(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    owner = OWNER.format(job_id, 1)
    api_world.aws.tasks.page_size = 1
    for shard in range(SHARDS):
        api_world.aws.tasks.start_by_machine(
            JOB_ID=job_id, SHARD=str(shard), WORKER_OWNER=OWNER.format(job_id, shard)
        )
    claim(api_world, job_id, 1)
    sweep(api_world)
    clock.advance(LEASE)
    assert sweep(api_world) == {"recovered": 1}
    assert api_world.aws.tasks.stopped == [owner]
    assert api_world.own.work.get_work(f"{job_id}#1").status is JobStatus.QUEUED
    assert api_world.aws.machine.begun == [(job_id, 1)]
    assert not api_world.aws.tasks.launches


def test_a_resumed_job_gets_the_next_execution(api_world: ApiWorld, job_id: str) -> None:
    api_world.delete(f"/jobs/{job_id}")
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 200
    assert api_world.aws.machine.begun == [(job_id, 1), (job_id, 2)]
    assert api_world.aws.machine.running == [(job_id, 2)]
    answer = ask(api_world, job_id, {"job_id": job_id, "execution": 2})
    assert (answer["next"], answer["shards"]) == ("generate", [0, 1, 2])


def test_figures_are_shown_by_shard(api_world: ApiWorld, job_id: str) -> None:
    work(api_world, job_id, 0, records=10, end=JobStatus.COMPLETED)
    for records in (2, 4):
        work(api_world, job_id, 1, records=records)
    owned = claim(api_world, job_id, 2)
    error = JobError(message="no", code="model_error")
    api_world.own.queue.finish(owned, JobStatus.FAILED, error=error, run=1)
    for path in (f"/jobs/{job_id}", f"/dashboard/jobs/{job_id}"):
        shards = api_world.get(path).body["shards"]
        told = ("shard", "status", "num_records", "records_generated", "failed_records", "attempts")
        assert [tuple(map(each.get, told)) for each in shards] == [
            (0, "COMPLETED", 10, 10, 0, 1),
            (1, "QUEUED", 10, 4, 0, 2),
            (2, "FAILED", 10, 0, 0, 1),
        ]
        assert [each["error_message"] for each in shards] == [None, None, "no"]
        assert shards[2]["error_code"] == "model_error"
    # One in one piece has none, and neither has a list.
    whole = api_world.job_id()
    assert api_world.get(f"/jobs/{whole}").body["shards"] is None
    assert api_world.get(f"/dashboard/jobs/{whole}").body["shards"] is None
    assert "shards" not in api_world.get("/jobs").body["jobs"][0]


def test_a_job_that_is_resumed_while_its_execution_goes_on_gets_no_second_one(
    api_world: ApiWorld, job_id: str
) -> None:
    """Two would start a worker each for every shard."""
    end_all(api_world, job_id)
    before = ask(api_world, job_id)
    owned = claim(api_world, job_id, None)
    api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=owned.fence)
    api_world.own.queue.finish(owned, JobStatus.COMPLETED)
    reply = api_world.post(f"/jobs/{job_id}/resume", {"num_records": 60})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert api_world.aws.machine.begun == [(job_id, 1)]
    answer = ask(api_world, job_id, before)
    assert (answer["next"], answer["shards"]) == ("generate", [0, 1, 2])


def test_an_execution_that_another_one_has_followed_is_over(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    """It may be thought dead and go on all the same."""
    before = ask(api_world, job_id)
    api_world.aws.machine.end_all()
    clock.advance(GRACE + 1)
    assert sweep(api_world) == {"launched": 1}
    assert ask(api_world, job_id, before)["next"] == "end"
    assert ask(api_world, job_id, {**before, "execution": 2})["next"] == "generate"


# ── a task of the machine has stopped ──────────────────────────────────────────────────────────


def stopped(job_id: str, shard: int, *, exit_code: int = 137) -> Any:
    variables = {"JOB_ID": job_id, "SHARD": str(shard), "WORKER_OWNER": OWNER.format(job_id, shard)}
    environment = [{"name": name, "value": value} for name, value in variables.items()]
    return {
        "detail": {
            "lastStatus": "STOPPED",
            "startedBy": "AWS Step Functions",
            "overrides": {"containerOverrides": [{"name": "worker", "environment": environment}]},
            "containers": [{"exitCode": exit_code}],
        }
    }


def test_the_shard_of_a_dead_task_is_free_at_once(
    api_world: ApiWorld, job_id: str, handler_logs: HandlerLogs
) -> None:
    claim(api_world, job_id, 2)
    assert api_world.handle(TASK_STOPPED, stopped(job_id, 2)) == {"recovered": 1}
    assert api_world.own.work.get_work(f"{job_id}#2").status is JobStatus.QUEUED
    assert not api_world.aws.tasks.launches
    (line,) = [each for each in handler_logs.lines if each["message"] == "task stopped"]
    assert (line["job_id"], line["shard"]) == (job_id, 2)
    # It comes twice, and it came for another shard.
    assert api_world.handle(TASK_STOPPED, stopped(job_id, 2)) == {"ignored": 1}
    assert api_world.handle(TASK_STOPPED, stopped(job_id, 0)) == {"ignored": 1}


def test_a_task_that_handed_its_shard_back_is_followed_by_the_machine(
    api_world: ApiWorld, job_id: str
) -> None:
    work(api_world, job_id, 1, records=3)
    assert api_world.handle(TASK_STOPPED, stopped(job_id, 1, exit_code=75)) == {"ignored": 1}
    assert not api_world.aws.tasks.launches


@pytest.mark.parametrize(
    "overrides",
    [None, {}, {"containerOverrides": None}, {"containerOverrides": [{"environment": None}]}],
)
def test_a_task_of_another_state_machine_is_none_of_ours(
    api_world: ApiWorld, overrides: Any
) -> None:
    event = stopped(SOME_ID, 0)
    event["detail"]["overrides"] = overrides
    assert api_world.handle(TASK_STOPPED, event) == {"ignored": 1}


# ── the job is cancelled ───────────────────────────────────────────────────────────────────────


def test_a_cancelled_job_has_no_execution(api_world: ApiWorld, job_id: str) -> None:
    other = sharded(api_world)
    assert api_world.delete(f"/jobs/{job_id}").status in {200, 202}
    assert api_world.aws.machine.running == [(other, 1)]


def test_a_job_is_cancelled_whatever_becomes_of_its_execution(
    api_world: ApiWorld, job_id: str, clock: ManualClock
) -> None:
    api_world.fail("stepfunctions", "StopExecution", "ServiceUnavailable", status=503)
    assert api_world.delete(f"/jobs/{job_id}").status in {200, 202}
    assert api_world.job(job_id).status is JobStatus.CANCELLED
    assert ask(api_world, job_id)["next"] == "end"
    clock.advance(GRACE + 1)
    sweep(api_world)
    assert {each.status for each in api_world.own.work.work_of(job_id)} == {JobStatus.CANCELLED}
    assert api_world.aws.machine.begun == [(job_id, 1)]

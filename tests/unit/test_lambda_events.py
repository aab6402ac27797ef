"""What keeps work going: the event that a task has stopped, and the sweep of the queue."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import JobStatus
from runtime.lambdas.events.sweep_queue import lambda_handler as sweep_queue
from runtime.lambdas.events.task_stopped import lambda_handler as task_stopped
from runtime.service.requeue import queue_again
from tests.fixtures.api import HandlerLogs
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import REQUEST_ID

LEASE = 60
GRACE = 300


def stopped(job_id: str, launch: int = 1, *, exit_code: int | None = 137, **detail: Any) -> Any:
    """ECS Task State Change, as EventBridge sends it."""
    container: dict[str, Any] = {"name": "worker", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    return {
        "version": "0",
        "id": "9bcdac79-b31f-4d3d-9410-fbd727c29fab",
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "detail": {
            "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/seedwright",
            "lastStatus": "STOPPED",
            "desiredStatus": "STOPPED",
            "startedBy": f"{job_id}/{launch}",
            "stopCode": "SpotInterruption",
            "stoppedReason": "Your Spot Task was interrupted.",
            "containers": [container],
            **detail,
        },
    }


def claim(world: ApiWorld, job_id: str, launch: int = 1) -> None:
    """The task of this launch takes the work."""
    claimed = world.own.queue.claim(job_id, f"{job_id}/{launch}")
    assert claimed is not None
    world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=claimed.fence)


def beat(world: ApiWorld, job_id: str) -> None:
    """The owner's heartbeat."""
    world.aws.dynamodb.update_item(
        TableName="Queue",
        Key={"work_id": {"S": job_id}},
        UpdateExpression="ADD heartbeat :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


def hear(world: ApiWorld, event: Any) -> dict[str, int]:
    counts: dict[str, int] = world.handle(TASK_STOPPED, event)
    return counts


def sweep(world: ApiWorld) -> dict[str, int]:
    """What the sweep did, without what it didn't."""
    counts = world.handle(SWEEP_QUEUE, {})
    return {name: value for name, value in counts.items() if value}


def launched(world: ApiWorld) -> list[str]:
    return [launch.started_by for launch in world.aws.tasks.launches]


# ── a task has stopped ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"stopCode": "TerminationNotice"},
        {"stopCode": "SomethingNew", "stoppedReason": "x" * 5000},
        {"stopCode": None, "stoppedReason": None, "containers": None},
        {"stopCode": "EssentialContainerExited", "containers": [{}]},
        {"stopCode": "UserInitiated"},
    ],
)
def test_the_work_of_a_dead_task_goes_to_the_next_one(
    api_world: ApiWorld, detail: dict[str, Any]
) -> None:
    """Fault 104: whatever ECS calls it, the work goes on at once."""
    job_id = api_world.job_id()
    claim(api_world, job_id)
    counts = hear(api_world, stopped(job_id, **detail))
    assert counts == {"recovered": 1, "launched": 1, "launch_failed": 0}
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]
    item = api_world.own.work.get_work(job_id)
    assert (item.status, item.owner, item.launches) == (JobStatus.QUEUED, None, 2)


def test_a_task_that_handed_its_work_back_is_followed_at_once(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    claimed = api_world.own.queue.claim(job_id, f"{job_id}/1")
    assert claimed is not None
    api_world.own.queue.release(claimed)
    assert hear(api_world, stopped(job_id, exit_code=75))["launched"] == 1
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]


@pytest.mark.parametrize("exit_code", [75, 137])
def test_a_repeated_event_does_nothing(api_world: ApiWorld, exit_code: int) -> None:
    """Fault 18."""
    job_id = api_world.job_id()
    claim(api_world, job_id)
    event = stopped(job_id, exit_code=exit_code)
    hear(api_world, event)
    assert hear(api_world, event) == {"ignored": 1}
    claim(api_world, job_id, 2)
    assert hear(api_world, event) == {"ignored": 1}
    assert api_world.own.work.get_work(job_id).owner == f"{job_id}/2"
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]


def test_a_task_that_never_claimed_is_not_started_again_and_again(api_world: ApiWorld) -> None:
    """Faults 24 and 26: its image or its configuration is bad. The user learns of it, and the next
    try is the sweeper's, who waits.
    """
    job_id = api_world.job_id()
    counts = hear(api_world, stopped(job_id, exit_code=None, stopCode="TaskFailedToStart"))
    assert counts == {"start_failed": 1}
    assert launched(api_world) == [f"{job_id}/1"]
    assert "before it took the job" in api_world.get(f"/jobs/{job_id}").body["launch_error"]


def test_a_task_whose_job_has_ended(api_world: ApiWorld) -> None:
    for exit_code in (0, 75):
        job_id = api_world.job_id()
        api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        assert hear(api_world, stopped(job_id, exit_code=exit_code)) == {"withdrawn": 1}
        assert api_world.own.work.get_work(job_id).status is JobStatus.CANCELLED


def test_a_cancelled_job_whose_worker_died(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    api_world.delete(f"/jobs/{job_id}")
    assert hear(api_world, stopped(job_id)) == {"recovered": 1, "withdrawn": 1}
    assert api_world.delete(f"/jobs/{job_id}").status == 204


def test_an_end_that_went_well_needs_nothing(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    assert hear(api_world, stopped(job_id, exit_code=0)) == {"ignored": 1}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail": None},
        {"detail": {}},
        stopped(SOME_ID),
        stopped(SOME_ID, startedBy="ecs-svc/123"),
        stopped(SOME_ID, startedBy=None),
        stopped(SOME_ID, startedBy="../x/1"),
        stopped(SOME_ID, lastStatus="RUNNING"),
    ],
)
def test_events_that_are_none_of_ours(api_world: ApiWorld, event: Any) -> None:
    assert hear(api_world, event) == {"ignored": 1}


def test_another_owner_is_left_alone(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id, launch=7)
    assert hear(api_world, stopped(job_id)) == {"ignored": 1}
    assert api_world.own.work.get_work(job_id).status is JobStatus.RUNNING


def test_an_owner_that_shows_a_sign_of_life_keeps_its_work(api_world: ApiWorld) -> None:
    """The beat changes between the handler's look and its write."""
    job_id = api_world.job_id()
    claim(api_world, job_id)

    def is_alive(_parameters: Any) -> bool:
        beat(api_world, job_id)
        return False

    api_world.fail("dynamodb", "UpdateItem", match=is_alive)
    assert hear(api_world, stopped(job_id)) == {"alive": 1}
    assert api_world.own.work.get_work(job_id).status is JobStatus.RUNNING


def test_an_event_that_can_not_be_handled_is_sent_again(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    job_id = api_world.job_id()
    fault = api_world.fail("dynamodb", "GetItem")
    with pytest.raises(StorageUnavailableError):
        hear(api_world, stopped(job_id))
    assert fault.hits
    [line] = [line for line in handler_logs.lines if line["message"] == "event not handled"]
    assert (line["request_id"], line["operation"]) == (REQUEST_ID, "task_stopped")
    assert "secret detail" not in handler_logs.text


def test_a_stop_is_logged_with_its_reason_and_nothing_of_the_users(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    hear(api_world, stopped(job_id))
    [line] = [line for line in handler_logs.lines if line["message"] == "task stopped"]
    assert (line["job_id"], line["stop_code"], line["exit_codes"]) == (
        job_id,
        "SpotInterruption",
        [137],
    )
    assert "seed-data" not in handler_logs.text


# ── the sweep ──────────────────────────────────────────────────────────────────────────────────


def test_a_worker_without_a_beat_for_a_whole_lease_is_gone(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    """Fault 19: the event was lost."""
    job_id = api_world.job_id()
    claim(api_world, job_id)
    assert sweep(api_world) == {"running": 1}
    clock.advance(LEASE - 1)
    assert sweep(api_world) == {"running": 1}
    clock.advance(1)
    assert sweep(api_world) == {"running": 1, "recovered": 1, "launched": 1, "queued": 1}
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]
    claim(api_world, job_id, 2)


def test_e12_the_old_task_of_recovered_work_is_stopped(
    api_world: ApiWorld, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    """A container that hangs would cost money and quota for ever. The next worker runs; an event of
    ECS proves that there is nothing to stop.
    """
    tasks = api_world.aws.tasks
    job_id = api_world.job_id()
    claim(api_world, job_id)
    sweep(api_world)
    clock.advance(LEASE)
    assert sweep(api_world)["recovered"] == 1
    assert tasks.stopped == [f"{job_id}/1"]
    assert [line["owner"] for line in handler_logs.lines if "silent" in line["message"]] == [
        f"{job_id}/1"
    ]
    claim(api_world, job_id, 2)
    hear(api_world, stopped(job_id, launch=2))
    assert tasks.stopped == [f"{job_id}/1"]


def test_e12_work_goes_on_where_the_old_task_can_not_be_stopped(
    api_world: ApiWorld, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    sweep(api_world)
    clock.advance(LEASE)
    api_world.fail("ecs", "ListTasks", "ServerException")
    assert sweep(api_world)["launched"] == 1
    [line] = [line for line in handler_logs.lines if line["message"] == "silent worker not stopped"]
    assert (line["owner"], line["code"]) == (f"{job_id}/1", "launch_failed")


def test_a_worker_that_beats_is_alive_for_ever(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    for _ in range(10):
        assert sweep(api_world) == {"running": 1}
        clock.advance(LEASE)
        beat(api_world, job_id)
    assert launched(api_world) == [f"{job_id}/1"]


def test_a_new_owner_starts_a_new_watch(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    sweep(api_world)
    clock.advance(LEASE)
    hear(api_world, stopped(job_id))
    claim(api_world, job_id, 2)
    assert sweep(api_world) == {"running": 1}
    assert api_world.own.work.get_work(job_id).owner == f"{job_id}/2"


def test_a_started_worker_is_waited_for(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id()
    clock.advance(GRACE)
    assert sweep(api_world) == {"queued": 1}
    clock.advance(1)
    assert sweep(api_world) == {"queued": 1, "launched": 1}
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]
    assert sweep(api_world) == {"queued": 1}


def test_a_job_that_was_never_launched(api_world: ApiWorld) -> None:
    """Fault 3: the function died between the transaction and the launch."""
    fault = api_world.fail("dynamodb", "UpdateItem")
    job_id = api_world.create_job().body["job_id"]
    fault.clear()
    assert not launched(api_world)
    assert sweep(api_world) == {"queued": 1, "launched": 1}
    assert launched(api_world) == [f"{job_id}/1"]


def test_two_sweeps_at_the_same_time_start_one_worker(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    job_id = api_world.job_id()
    clock.advance(GRACE + 1)

    def other(_parameters: Any) -> bool:
        if not done:
            done.append(1)
            item = api_world.own.work.get_work(job_id)
            number = api_world.own.work.begin_launch(item)
            assert number is not None
            created_at = api_world.job(job_id).created_at
            api_world.own.launcher.launch(
                item, number=number, created_at=created_at, on_demand=False
            )
        return False

    done: list[int] = []
    api_world.fail("dynamodb", "UpdateItem", match=other)
    assert sweep(api_world) == {"queued": 1}
    assert launched(api_world) == [f"{job_id}/1", f"{job_id}/2"]


@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.DELETING])
def test_work_of_an_ended_job_is_withdrawn(api_world: ApiWorld, status: JobStatus) -> None:
    job_id = api_world.job_id()
    ended = JobStatus.CANCELLED if status is JobStatus.DELETING else status
    api_world.own.jobs.set_status(job_id, ended, fence=None)
    if status is JobStatus.DELETING:
        api_world.own.jobs.set_status(job_id, status, fence=None)
    assert sweep(api_world) == {"queued": 1, "withdrawn": 1}
    assert api_world.own.work.get_work(job_id).status is ended
    assert sweep(api_world) == {}


def test_work_that_is_queued_again_while_it_is_withdrawn_stays_queued(api_world: ApiWorld) -> None:
    """A complete job grows between the sweeper's look at it and its write."""
    job_id = api_world.job_id()
    own = api_world.own
    for status in (JobStatus.RUNNING, JobStatus.COMPLETED):
        own.jobs.set_status(job_id, status, fence=1)

    def grow(call: Any) -> bool:
        if call["TableName"] == "Queue" and own.jobs.get_job(job_id).status is JobStatus.COMPLETED:
            queue_again(own.jobs, own.queue, job_id)
        return False

    api_world.fail("dynamodb", "UpdateItem", match=grow)
    assert sweep(api_world) == {"queued": 1}
    assert own.jobs.get_job(job_id).status is JobStatus.QUEUED
    assert own.work.get_work(job_id).status is JobStatus.QUEUED


def test_work_without_a_job_is_withdrawn(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    api_world.aws.dynamodb.delete_item(TableName="Jobs", Key={"job_id": {"S": job_id}})
    assert sweep(api_world) == {"queued": 1, "withdrawn": 1}


def test_work_that_goes_while_it_is_swept(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)

    def vanish(_parameters: Any) -> bool:
        api_world.aws.dynamodb.delete_item(TableName="Queue", Key={"work_id": {"S": job_id}})
        return False

    api_world.fail("dynamodb", "UpdateItem", match=vanish)
    assert sweep(api_world) == {"queued": 1}


def test_a_dead_worker_of_an_ended_job(api_world: ApiWorld, clock: ManualClock) -> None:
    job_id = api_world.job_id()
    claim(api_world, job_id)
    api_world.delete(f"/jobs/{job_id}")
    sweep(api_world)
    clock.advance(LEASE)
    assert sweep(api_world) == {"running": 1, "recovered": 1, "withdrawn": 1}
    assert len(launched(api_world)) == 1


def test_one_bad_item_does_not_stop_the_sweep(
    api_world: ApiWorld, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    jobs = [api_world.job_id() for _ in range(3)]
    clock.advance(GRACE + 1)
    api_world.aws.dynamodb.update_item(
        TableName="Jobs",
        Key={"job_id": {"S": jobs[1]}},
        UpdateExpression="REMOVE config",
    )
    assert sweep(api_world) == {"queued": 3, "launched": 2, "failed": 1}
    [line] = [line for line in handler_logs.lines if line["message"] == "work item not swept"]
    assert line["work_id"] == jobs[1]


def test_a_sweep_that_can_not_list_fails(api_world: ApiWorld) -> None:
    api_world.fail("dynamodb", "Query")
    with pytest.raises(StorageUnavailableError):
        sweep(api_world)


def test_no_machines_for_hours(api_world: ApiWorld, clock: ManualClock) -> None:
    """Faults 20, 22, 25: one try a minute, the reason in sight, and nothing spent."""
    api_world.aws.tasks.full_for = 4
    job_id = api_world.create_job().body["job_id"]
    for _ in range(3):
        clock.advance(60)
        assert sweep(api_world) == {"queued": 1, "launch_failed": 1}
        assert "Capacity" in api_world.get(f"/jobs/{job_id}").body["launch_error"]
    clock.advance(60)
    assert sweep(api_world) == {"queued": 1, "launched": 1}
    assert api_world.get(f"/jobs/{job_id}").body["launch_error"] is None


def test_on_demand_after_repeated_failure(api_world: ApiWorld, clock: ManualClock) -> None:
    api_world.aws.tasks.full_for = 3
    api_world.create_job(allow_on_demand=True)
    for _ in range(3):
        clock.advance(60)
        sweep(api_world)
    assert [launch.provider for launch in api_world.aws.tasks.launches] == ["FARGATE"]


def test_at_the_quota_jobs_wait_and_pay_no_more(
    api_world: ApiWorld, clock: ManualClock, handler_logs: HandlerLogs
) -> None:
    """There are Spot machines, so nobody is sent to those at the full price."""
    tasks = api_world.aws.tasks
    tasks.at_quota_for = 6
    job_id = api_world.create_job(allow_on_demand=True).body["job_id"]
    for _ in range(5):
        clock.advance(60)
        assert sweep(api_world) == {"queued": 1, "launch_failed": 1}
    job = api_world.get(f"/jobs/{job_id}").body
    assert job["status"] == "QUEUED"
    assert "Fargate Spot vCPU resource count" in job["launch_error"]
    messages = [line["message"] for line in handler_logs.lines]
    assert messages.count("worker waits for quota") == 6
    assert "worker not started" not in messages

    # A lack of machines counts as before.
    tasks.full_for = 3
    for _ in range(4):
        clock.advance(60)
        sweep(api_world)
    providers = [
        strategy["capacityProvider"]
        for request in tasks.requests
        for strategy in request["capacityProviderStrategy"]
    ]
    assert providers == ["FARGATE_SPOT"] * 9 + ["FARGATE"]
    assert api_world.get(f"/jobs/{job_id}").body["launch_error"] is None


def test_a_sweep_is_counted(api_world: ApiWorld, capfd: pytest.CaptureFixture[str]) -> None:
    api_world.job_id()
    capfd.readouterr()
    sweep(api_world)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    [metrics] = [line for line in lines if "_aws" in line]
    assert (metrics["SweepQueued"], metrics["SweepFailed"]) == ([1.0], [0.0])


def test_e12_a_sweep_without_machines_ends_in_its_time(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    """The function has a minute: what it has no time for is the next sweep's."""
    jobs = []
    for _ in range(3):
        jobs.append(api_world.job_id())
        clock.advance(1)
    clock.advance(GRACE + 1)

    def takes_long(_parameters: Any) -> bool:
        clock.advance(20)
        return False

    fault = api_world.fail("ecs", "RunTask", match=takes_long)
    assert sweep(api_world) == {"queued": 3, "launched": 2}
    fault.clear()
    assert sweep(api_world) == {"queued": 3, "launched": 1}
    assert launched(api_world)[3:] == [f"{job_id}/2" for job_id in jobs]


# ── work that kills its workers ────────────────────────────────────────────────────────────────


def die(world: ApiWorld, job_id: str, **progress: int) -> dict[str, int]:
    """The next worker claims, perhaps saves something, and dies."""
    launch = world.own.work.get_work(job_id).launches
    claim(world, job_id, launch)
    if progress:
        world.progress(job_id, **progress)
    return hear(world, stopped(job_id, launch))


def test_poison_ends_its_job(api_world: ApiWorld) -> None:
    """Fault 41."""
    job_id = api_world.job_id()
    for _ in range(4):
        assert die(api_world, job_id)["launched"] == 1
    assert die(api_world, job_id) == {"recovered": 1, "withdrawn": 1}
    job = api_world.get(f"/jobs/{job_id}").body
    assert job["status"] == "FAILED"
    assert "died 5 times in a row" in job["error_message"]
    assert job["error_code"] == "workers_lost"
    assert len(launched(api_world)) == 5
    assert sweep(api_world) == {}

    # Whoever knows better may try again, five times.
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 200
    for _ in range(4):
        assert die(api_world, job_id)["launched"] == 1
    assert die(api_world, job_id) == {"recovered": 1, "withdrawn": 1}


def test_a_job_that_gets_on_between_deaths_is_no_poison(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    for saved in range(8):
        assert die(api_world, job_id, records_generated=saved + 1)["launched"] == 1
    assert api_world.job(job_id).status is JobStatus.RUNNING


def test_a_job_that_ends_while_it_is_given_up(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    for _ in range(4):
        die(api_world, job_id)

    def cancel(parameters: Any) -> bool:
        if parameters["TableName"] == "Jobs":
            api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        return False

    claim(api_world, job_id, 5)
    fault = api_world.fail("dynamodb", "UpdateItem", match=cancel)
    assert hear(api_world, stopped(job_id, 5)) == {"recovered": 1, "withdrawn": 1}
    fault.clear()
    assert api_world.job(job_id).status is JobStatus.CANCELLED


# ── as Lambda calls them ───────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("aws_api_env")
@pytest.mark.parametrize(
    ("handler", "event"), [(sweep_queue, {}), (task_stopped, stopped(SOME_ID))]
)
def test_a_handler_makes_its_ports_of_its_environment(
    handler: Callable[[Any, object], Any], event: Any
) -> None:
    class Context:
        aws_request_id = "r-2"

    assert handler(event, Context())

"""A job in shards through the state machine, while machines are taken back and one hangs."""

import json
import os
import signal
from typing import Any, Final

from runtime.contract.executions import SHARD_BATCH
from runtime.contract.tasks import STARTED_BY_MACHINE
from tests.e2e.conftest import Tell
from tests.e2e.deployment import Deployment, wait_for
from tests.e2e.emulator.spot import RECLAIMED
from tests.e2e.observe import tasks_of, workers_of
from tests.e2e.user import User
from tests.fixtures.bedrock_double import BedrockDouble

RECORDS: Final = 5000
SHARDS: Final = 5
SIZE: Final = RECORDS // SHARDS
SOON: Final = 600
"""Records of each shard that are answered at once."""
LATE_MS: Final = 4000
"""Of the others, at first: no shard can have ended when its machine goes."""
BEGUN: Final = SHARDS * 200
SECONDS: Final = 120.0
RECLAIMED_SHARDS: Final = (0, 1)
HUNG_SHARD: Final = 2
UNSAVED: Final = 64 + SHARD_BATCH
"""What a worker may have in flight and not in a batch yet: a machine that dies without a word costs
as much a second time."""


def test_a_job_in_shards_survives_machines_that_go_and_one_that_hangs(
    deployment: Deployment, double: BedrockDouble, tell: Tell
) -> None:
    # Given a job in five shards, each on a machine of its own
    double.reset()
    double.faults([{"prompt": "late", "delay_ms": LATE_MS}])
    user = User(deployment, "barbara@example.com")
    job_id = _submit(user)
    wait_for("calls", lambda: double.calls > BEGUN or None, seconds=SECONDS)
    tell(f"a job in {SHARDS} shards is under way")

    # When AWS takes two of them back, and a third one hangs
    tasks = {
        shard: task for shard, task in _tasks(deployment, job_id) if task["lastStatus"] == "RUNNING"
    }
    assert set(tasks) == set(range(SHARDS))
    ecs, cluster = deployment.emulator.client("ecs"), deployment.outputs["ClusterArn"]
    hung = _worker_of(job_id, HUNG_SHARD)
    os.kill(hung, signal.SIGSTOP)
    for shard in RECLAIMED_SHARDS:
        ecs.stop_task(cluster=cluster, task=tasks[shard]["taskArn"], reason=RECLAIMED)
    double.faults([])

    # Then the sweeper stops the task whose beat stands still
    def is_stopping() -> bool | None:
        arn = tasks[HUNG_SHARD]["taskArn"]
        (task,) = ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
        return True if task["desiredStatus"] == "STOPPED" else None

    wait_for("the end of the worker that hangs", is_stopping, seconds=SECONDS)
    os.kill(hung, signal.SIGKILL)  # as Fargate does two minutes later
    tell("the worker that hung is stopped")

    # And the state machine takes the job to its end, with every record once
    job = user.wait_until_ended(job_id)
    assert (job["status"], job["records_generated"]) == ("COMPLETED", RECORDS), job
    indices = [record["index"] for record in user.dataset(job_id)]
    assert sorted(indices) == list(range(RECORDS))
    paid = double.stats()
    assert paid["paid"] - paid["paid_twice"] == RECORDS
    assert paid["paid_twice"] <= UNSAVED
    _check_machine(deployment, job_id)


def _submit(user: User) -> str:
    towns = (f"{'late ' if n % SIZE >= SOON else ''}town {n}" for n in range(RECORDS))
    seeds = "".join(json.dumps({"town": town}) + "\n" for town in towns).encode()
    job = {
        "template_id": user.save_template(),
        "seed_data_path": user.upload(seeds),
        "num_records": RECORDS,
        "shards": SHARDS,
        "budget_limit": 5,
        "seed_strategy": "sequential",
    }
    created = user.call("POST", "/jobs", job, expect=201)
    job_id: str = created["job_id"]
    return job_id


def _tasks(deployment: Deployment, job_id: str) -> list[tuple[int | None, dict[str, Any]]]:
    """Every task of the job, with its shard, oldest first."""
    found = []
    for task in tasks_of(deployment, "RUNNING", "STOPPED"):
        (override,) = task["overrides"]["containerOverrides"]
        variables = {each["name"]: each["value"] for each in override["environment"]}
        if variables["JOB_ID"] == job_id:
            shard = variables.get("SHARD")
            found.append((None if shard is None else int(shard), task))
    return found


def _worker_of(job_id: str, shard: int) -> int:
    """The process that works on a shard."""
    return workers_of(job_id)[shard]


def _check_machine(deployment: Deployment, job_id: str) -> None:
    """One execution did it all, and nobody else has started a task."""
    states = deployment.emulator.client("stepfunctions")
    (machine,) = (
        arn
        for key, arn in deployment.resources("AWS::StepFunctions::StateMachine").items()
        if "-dev-" in key
    )
    listed = states.list_executions(stateMachineArn=machine)["executions"]
    (execution,) = (each for each in listed if each["name"].startswith(job_id))

    def has_ended() -> Any:
        found = states.describe_execution(executionArn=execution["executionArn"])
        return None if found["status"] == "RUNNING" else found

    found = wait_for("the end of the execution", has_ended, seconds=SECONDS)
    assert found["status"] == "SUCCEEDED", found
    assert json.loads(found["output"])["next"] == "end"
    tasks = _tasks(deployment, job_id)
    assert {task["startedBy"] for _, task in tasks} == {STARTED_BY_MACHINE}
    # Each shard that lost its machine was begun once more, and one task exported.
    lost = {*RECLAIMED_SHARDS, HUNG_SHARD}
    for shard in range(SHARDS):
        assert [each for each, _ in tasks].count(shard) == (2 if shard in lost else 1), shard
    assert [each for each, _ in tasks].count(None) == 1

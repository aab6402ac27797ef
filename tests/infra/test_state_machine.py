"""The state machine of sharded jobs: what its definition does, and whether its role may do it."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from runtime.contract.executions import (
    MAX_EXECUTIONS,
    MAX_ROUNDS,
    RETRY_NUMBERS,
    Step,
    execution_name,
    launch_number,
)
from runtime.contract.routes import ADVANCE_JOB
from runtime.contract.tasks import TaskName, parse_task_name
from tests.fixtures.role_policies import Role
from tests.infra.conftest import Synthesized

STACK: Final = "orchestration"
MACHINE: Final = "AWS::StepFunctions::StateMachine"

RUN_TASK: Final = "arn:aws:states:::ecs:runTask.sync"
INVOKE: Final = "arn:aws:states:::lambda:invoke"

OF_RESOURCE: Final = {
    INVOKE: {"lambda:InvokeFunction"},
    # To wait for a task Step Functions hears of its end by a rule of its own, and it stops the task
    # with the execution.
    RUN_TASK: {
        "ecs:RunTask",
        "ecs:DescribeTasks",
        "ecs:StopTask",
        "iam:PassRole",
        "events:DescribeRule",
        "events:PutRule",
        "events:PutTargets",
    },
}
"""What a state needs by its resource, says the page of Step Functions on each service."""
TAGGED: Final = {"ecs:TagResource"}
"""Where it passes tags on."""
DISTRIBUTED: Final = {"states:StartExecution", "states:DescribeExecution", "states:StopExecution"}
"""A Distributed Map, whose children are executions."""
LOGS: Final = "logs:"


def definition_of(app: Synthesized) -> Any:
    return json.loads(app.resolver.text(STACK, app.one(STACK, MACHINE)["DefinitionString"]))


def role_of(app: Synthesized) -> Role:
    (role,) = (each for name, each in app.deployment.roles.items() if name.startswith("ShardsRole"))
    return role


def states_of(document: Any) -> Iterator[tuple[str, Any]]:
    """All states by name, those of a Map's children among them."""
    for name, state in document["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from states_of(state["ItemProcessor"])


def tasks_of(app: Synthesized) -> dict[str, Any]:
    return {n: s for n, s in states_of(definition_of(app)) if s["Type"] == "Task"}


# ── what it may do ─────────────────────────────────────────────────────────────────────────────


def test_its_role_may_do_what_its_states_do_and_nothing_else(app: Synthesized) -> None:
    needed: set[str] = set()
    for _, state in states_of(definition_of(app)):
        if state["Type"] == "Map":
            assert state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
            needed |= DISTRIBUTED
        elif state["Type"] == "Task":
            needed |= OF_RESOURCE[state["Resource"]]
            needed |= TAGGED if "PropagateTags" in state["Parameters"] else set()

    granted = {action for each in role_of(app).statements for action in each.actions}
    assert {action for action in granted if not action.startswith(LOGS)} == needed


def test_what_its_states_name_is_what_its_role_may_touch(app: Synthesized) -> None:
    launch, by_action = app.deployment.launch, {}
    for statement in role_of(app).statements:
        for action in statement.actions:
            by_action[action] = statement
    tasks = f"{launch.cluster.replace(':cluster/', ':task/')}/*"

    for state in tasks_of(app).values():
        named = state["Parameters"]
        if state["Resource"] == INVOKE:
            assert by_action["lambda:InvokeFunction"].resources == (named["FunctionName"],)
            continue
        assert named["Cluster"] == launch.cluster
        assert named["TaskDefinition"] == launch.family
        (definition,) = by_action["ecs:RunTask"].resources
        assert definition.endswith(f":task-definition/{named['TaskDefinition']}:*")
    for action in ("ecs:DescribeTasks", "ecs:StopTask"):
        assert by_action[action].resources == (tasks,)
        assert by_action[action].conditions == {"ArnEquals": {"ecs:cluster": (launch.cluster,)}}
    assert set(by_action["iam:PassRole"].resources) == set(launch.role_arns)


def test_it_asks_the_function_of_its_row(app: Synthesized) -> None:
    (function,) = app.resources(STACK, "AWS::Lambda::Function")
    properties = app.one(STACK, "AWS::Lambda::Function")
    judge = tasks_of(app)["Judge"]

    assert properties["Handler"] == ADVANCE_JOB.handler
    assert judge["Parameters"]["FunctionName"].endswith(f":function:{function}")
    assert judge["TimeoutSeconds"] > ADVANCE_JOB.seconds


# ── what it does ───────────────────────────────────────────────────────────────────────────────


def test_every_state_leads_on(app: Synthesized) -> None:
    """A misspelt name is refused only when it is deployed."""

    def check(document: Any) -> None:
        states = document["States"]
        ahead, found = [document["StartAt"]], set[str]()
        while ahead:
            name = ahead.pop()
            assert name in states, name
            if name in found:
                continue
            found.add(name)
            state = states[name]
            more = [
                state.get("Next"),
                state.get("Default"),
                *(each["Next"] for each in (*state.get("Choices", ()), *state.get("Catch", ()))),
            ]
            assert any(more) or state.get("End") or state["Type"] == "Succeed", name
            ahead += filter(None, more)
            if state["Type"] == "Map":
                check(state["ItemProcessor"])
        assert found == set(states)

    check(definition_of(app))


def test_it_knows_every_answer_of_the_judge(app: Synthesized) -> None:
    following = definition_of(app)["States"]["Next"]

    known = {each["StringEquals"] for each in following["Choices"]}
    assert known == set(Step) - {Step.END}
    assert definition_of(app)["States"][following["Default"]]["Type"] == "Succeed"


def test_every_task_ends_at_some_time_and_is_tried_again_with_jitter(app: Synthesized) -> None:
    assert definition_of(app)["TimeoutSeconds"] > 0
    for name, state in tasks_of(app).items():
        assert state["TimeoutSeconds"] > 0, name
        # Nobody sends heartbeats for a task that is waited for: with one it would always end.
        assert "HeartbeatSeconds" not in state, name
        for rule in state["Retry"]:
            assert rule["JitterStrategy"] == "FULL", name
            assert rule["BackoffRate"] > 1, name
            assert rule["MaxDelaySeconds"] <= 300, name
        if state["Resource"] == RUN_TASK:
            *before, last = (rule["ErrorEquals"] for rule in state["Retry"])
            assert last == ["States.TaskFailed"], name  # it fits all: what is before it counts
            assert "AmazonECS.Unknown" in [error for errors in before for error in errors], name


def test_a_failed_worker_fails_nothing(app: Synthesized) -> None:
    """What has become of a shard is in the tables."""
    states = definition_of(app)["States"]
    shards = states["Shards"]

    assert shards["ToleratedFailurePercentage"] == 100
    assert shards["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] == "STANDARD"
    for name, state in states_of(definition_of(app)):
        if state.get("Resource") == RUN_TASK or state["Type"] == "Map":
            assert [each["ErrorEquals"] for each in state["Catch"]] == [["States.ALL"]], name
            assert all(each["ResultPath"] is None for each in state["Catch"]), name
            # Descriptions of tasks would fill the 256 KiB that a state may have.
            assert state["ResultPath"] is None, name


def test_the_full_price_is_paid_where_the_job_allows_it_and_after_spot(app: Synthesized) -> None:
    def provider(state: Any) -> str:
        (strategy,) = state["Parameters"]["CapacityProviderStrategy"]
        return str(strategy["CapacityProvider"])

    for document in (
        definition_of(app),
        definition_of(app)["States"]["Shards"]["ItemProcessor"],
    ):
        states = document["States"]
        for name in states:
            if not name.endswith(" on demand"):
                continue
            before = [each for each in states if name in json.dumps(states[each].get("Catch", ()))]
            (spot,) = before
            assert provider(states[spot]) == "FARGATE_SPOT"
            assert provider(states[name]) == "FARGATE"
            (choice,) = (
                each for each in states.values() if spot in json.dumps(each.get("Choices"))
            )
            (rule,) = choice["Choices"]
            assert (rule["Variable"], rule["BooleanEquals"]) == ("$.on_demand", True)
            assert provider(states[choice["Default"]]) == "FARGATE_SPOT"
            assert name not in json.dumps(states[choice["Default"]])


def test_a_worker_is_told_its_work_and_its_name(app: Synthesized) -> None:
    for name, state in tasks_of(app).items():
        if state["Resource"] != RUN_TASK:
            continue
        (override,) = state["Parameters"]["Overrides"]["ContainerOverrides"]
        variables = {each["Name"]: each["Value.$"] for each in override["Environment"]}
        assert override["Name"] == "worker"
        assert variables["JOB_ID"] == "$.job_id"
        sharded = name.startswith("Generate")
        assert ("SHARD" in variables) is sharded
        written = variables["WORKER_OWNER"]
        pattern = "'{}/shard-{}/{}', $.job_id, $.shard, " if sharded else "'{}/{}', $.job_id, "
        assert written.startswith(f"States.Format({pattern}States.MathAdd(")
        assert "$$.State.RetryCount" in written
        later = f", {RETRY_NUMBERS})" in written
        assert later is name.endswith("on demand")


def test_no_two_tasks_of_a_shard_have_the_same_name(app: Synthesized) -> None:
    retries = max(
        sum(rule["MaxAttempts"] for rule in state["Retry"])
        for state in tasks_of(app).values()
        if state["Resource"] == RUN_TASK
    )
    assert retries < RETRY_NUMBERS

    first = [launch_number(execution, round_) for execution in (1, 2) for round_ in (1, MAX_ROUNDS)]
    assert all(b - a >= 2 * RETRY_NUMBERS for a, b in pairwise(first))
    last = launch_number(MAX_EXECUTIONS, MAX_ROUNDS) + 2 * RETRY_NUMBERS
    name = TaskName(job_id="j" * 64, shard=89, number=last)
    assert parse_task_name(str(name)) == name


def test_names_of_executions_are_what_step_functions_takes() -> None:
    name = execution_name("j" * 64, "2026-11-28T12:00:00.000000Z", MAX_EXECUTIONS)

    assert len(name) <= 80
    assert execution_name("a", "2026", 1) != execution_name("a", "2027", 1)
    assert execution_name("a", "2026", 1) != execution_name("a", "2026", 2)


def test_history_and_log_stay_within_bounds(app: Synthesized) -> None:
    machine = app.one(STACK, MACHINE)

    assert machine["StateMachineType"] == "STANDARD"
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    (group,) = (
        each
        for each in app.resources(STACK, "AWS::Logs::LogGroup").values()
        if "vendedlogs" in json.dumps(each["Properties"].get("LogGroupName"))
    )
    assert group["Properties"]["RetentionInDays"] == app.stage.log_days
    # Two for each state that is entered and left, and three more for a task; waits and tasks of
    # each round, with all of the judge's retries.
    assert MAX_ROUNDS * 45 < 25_000

"""Every function is what its row of the route table says, and nothing more."""

import json
from importlib import import_module
from typing import Any

import pytest

from cdk_app.bundling import BUNDLES
from cdk_app.constructs.functions import construct_name
from runtime.contract import environment
from runtime.contract.functions import Function
from runtime.contract.grants import (
    AnnounceGrant,
    ExecutionGrant,
    LaunchGrant,
    ListGrant,
    ModelGrant,
    ObjectGrant,
    StopGrant,
    TableGrant,
)
from runtime.contract.routes import ADVANCE_JOB, EVENT_FUNCTIONS, FUNCTIONS
from runtime.contract.tables import TABLES
from tests.fixtures.aws import BUCKET
from tests.fixtures.guard import LAMBDAS_OWN
from tests.fixtures.states_double import MACHINE
from tests.infra.conftest import Synthesized

by_name = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)


def stack_of(function: Function) -> str:
    if function == ADVANCE_JOB:
        return "orchestration"
    return "events" if function in EVENT_FUNCTIONS else "api"


def properties_of(app: Synthesized, function: Function) -> Any:
    (found,) = (
        each["Properties"]
        for each in app.resources(stack_of(function), "AWS::Lambda::Function").values()
        if each["Properties"]["Handler"] == function.handler
    )
    return found


def variables_of(app: Synthesized, function: Function) -> dict[str, str]:
    given = properties_of(app, function).get("Environment", {}).get("Variables", {})
    return {name: app.resolver.text(stack_of(function), value) for name, value in given.items()}


@by_name
def test_the_handler_can_be_imported(function: Function) -> None:
    module, _, name = function.handler.rpartition(".")

    assert callable(getattr(import_module(module), name))


def test_there_is_a_function_for_each_row_and_no_other(app: Synthesized) -> None:
    handlers = [
        each["Properties"]["Handler"]
        for stack in app.templates
        for each in app.resources(stack, "AWS::Lambda::Function").values()
    ]

    assert sorted(handlers) == sorted(function.handler for function in FUNCTIONS)


@by_name
def test_it_runs_as_its_row_says(app: Synthesized, function: Function) -> None:
    properties = properties_of(app, function)

    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == ["arm64"]
    assert properties["MemorySize"] == function.memory
    assert properties["EphemeralStorage"] == {"Size": function.disk}
    assert properties["Timeout"] == function.seconds
    assert "FunctionName" not in properties
    assert "Layers" not in properties
    assert "VpcConfig" not in properties


@by_name
def test_it_gets_the_variables_that_its_settings_read(app: Synthesized, function: Function) -> None:
    absent = {environment.SERVERS}  # tests/infra/test_servers.py has a stage with some
    if app.stage.user_monthly_budget_usd is None:
        absent.add(environment.USER_MONTHLY_BUDGET_USD)

    assert set(variables_of(app, function)) == set(function.variables) - absent


@by_name
def test_its_variables_name_the_right_things(app: Synthesized, function: Function) -> None:
    given = variables_of(app, function)

    public = app.stage.network == "public"
    launch = app.deployment.launch
    expected = {
        **{table.variable: table.name for table in TABLES},
        environment.BUCKET_NAME: BUCKET,
        environment.CLUSTER: launch.cluster,
        environment.TASK_DEFINITION: launch.family,
        environment.ASSIGN_PUBLIC_IP: "ENABLED" if public else "DISABLED",
        environment.MAX_ACTIVE_JOBS: "10",
        environment.SEED_QUOTA_GIB: "50",
        environment.STAGE: app.stage.name,
        environment.STATE_MACHINE: MACHINE,
        environment.MAX_WORKERS: str(app.stage.max_workers),
        environment.USER_WORKERS: str(app.stage.user_workers),
        environment.WORKER_HOURS: "6",
        environment.MODEL_TOKENS_PER_MINUTE: "2000000",
        environment.WORKER_CONCURRENCY: "64",
        environment.MONTHLY_BUDGET_USD: str(app.stage.monthly_budget_usd),
        environment.USER_MONTHLY_BUDGET_USD: str(app.stage.user_monthly_budget_usd),
        environment.METRICS_NAMESPACE: f"seedwright/{app.stage.name}",
    }
    for name, value in given.items():
        if name in expected:
            assert value == expected[name], name
    if environment.SUBNET_IDS in given:
        subnets = set(given[environment.SUBNET_IDS].split(","))
        assert subnets == set(app.resources("worker", "AWS::EC2::Subnet"))
        assert given[environment.SECURITY_GROUP_IDS].startswith("NetworkWorkers")


@by_name
def test_it_logs_json_into_a_group_of_its_own(app: Synthesized, function: Function) -> None:
    stack, config = stack_of(function), properties_of(app, function)["LoggingConfig"]

    assert config["LogFormat"] == "JSON"
    assert config["ApplicationLogLevel"] == "INFO"
    group = app.resources(stack, "AWS::Logs::LogGroup")[config["LogGroup"]["Ref"]]
    assert group["Properties"]["RetentionInDays"] == app.stage.log_days
    assert group["DeletionPolicy"] == "Delete"


def test_no_two_functions_share_a_role_or_a_log(app: Synthesized) -> None:
    all_properties = [properties_of(app, function) for function in FUNCTIONS]

    roles = {json.dumps(each["Role"]) for each in all_properties}
    logs = {json.dumps(each["LoggingConfig"]["LogGroup"]) for each in all_properties}
    assert len(roles) == len(logs) == len(FUNCTIONS)


def test_a_bundle_is_one_asset(app: Synthesized) -> None:
    assets: dict[str, set[str]] = {}
    for function in FUNCTIONS:
        code = properties_of(app, function)["Code"]
        assets.setdefault(function.bundle, set()).add(code["S3Key"])

    assert assets.keys() == BUNDLES.keys()
    assert [len(keys) for keys in assets.values()] == [1] * len(BUNDLES)
    assert len(set().union(*assets.values())) == len(BUNDLES)


# ── what it may do ─────────────────────────────────────────────────────────────────────────────


def granted(app: Synthesized, function: Function) -> set[tuple[str, str]]:
    """Pairs of action and resource, without what Lambda does itself in the function's role."""
    return {
        (action, resource)
        for statement in app.deployment.roles[function.name].statements
        for action in statement.actions
        for resource in statement.resources
        if not action.startswith(LAMBDAS_OWN)
    }


def expected(app: Synthesized, function: Function) -> set[tuple[str, str]]:
    """The same pairs, from the row."""
    pairs: set[tuple[str, str]] = set()
    for grant in function.grants:
        match grant:
            case TableGrant(table=table, actions=actions, index=index):
                arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table.name}"
                pairs |= {(each, f"{arn}/index/{index}" if index else arn) for each in actions}
            case ObjectGrant(keys=keys, actions=actions):
                pairs |= {(a, f"arn:aws:s3:::{BUCKET}/{key}") for a in actions for key in keys}
            case ListGrant(actions=actions):
                pairs |= {(each, f"arn:aws:s3:::{BUCKET}") for each in actions}
            case LaunchGrant():
                pairs |= launch_pairs(app)
            case StopGrant():
                cluster = app.deployment.launch.cluster
                tasks = f"{cluster.replace(':cluster/', ':task/')}/*"
                pairs |= {("ecs:ListTasks", "*")}
                pairs |= {("ecs:DescribeTasks", tasks), ("ecs:StopTask", tasks)}
            case ExecutionGrant(actions=actions):
                executions = f"{MACHINE.replace(':stateMachine:', ':execution:')}:*"
                pairs |= {
                    (each, MACHINE if each == "states:StartExecution" else executions)
                    for each in actions
                }
            case AnnounceGrant():
                bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
                pairs.add(("events:PutEvents", bus))
            case ModelGrant():
                pairs |= {
                    (action, resource)
                    for statement in app.deployment.roles["worker"].statements
                    for action in statement.actions
                    for resource in statement.resources
                    if action.startswith("bedrock:")
                }
    return pairs


def launch_pairs(app: Synthesized) -> set[tuple[str, str]]:
    launch = app.deployment.launch
    ecs = "arn:aws:ecs:us-east-1:123456789012"
    return {
        ("ecs:RunTask", f"{ecs}:task-definition/{launch.family}:*"),
        ("ecs:TagResource", f"{ecs}:task/{launch.cluster.rpartition('/')[2]}/*"),
        *(("iam:PassRole", role) for role in launch.role_arns),
    }


@by_name
def test_its_role_may_do_what_its_row_grants(app: Synthesized, function: Function) -> None:
    assert granted(app, function) == expected(app, function)


@by_name
def test_its_role_may_write_its_own_log_only(app: Synthesized, function: Function) -> None:
    group = properties_of(app, function)["LoggingConfig"]["LogGroup"]["Ref"]
    logs = [
        statement
        for statement in app.deployment.roles[function.name].statements
        if any(action.startswith("logs:") for action in statement.actions)
    ]

    (statement,) = logs
    assert set(statement.actions) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert statement.resources == (f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*",)


@by_name
def test_listing_is_kept_to_the_prefixes_of_the_row(app: Synthesized, function: Function) -> None:
    prefixes = {
        (action, prefix)
        for grant in function.grants
        if isinstance(grant, ListGrant)
        for action in grant.actions
        for prefix in grant.prefixes
    }
    found = {
        (action, prefix)
        for statement in app.deployment.roles[function.name].statements
        for action in statement.actions
        if action.startswith("s3:List")
        for prefix in statement.conditions["StringLike"]["s3:prefix"]
    }

    assert found == prefixes


def test_construct_names_are_readable_and_distinct() -> None:
    names = {construct_name(function) for function in FUNCTIONS}

    assert len(names) == len(FUNCTIONS)
    assert "CreateJob" in names

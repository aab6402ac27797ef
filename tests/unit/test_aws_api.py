"""The wiring of the API on AWS: each port from the variables that its function is given."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import pytest

from runtime import bootstrap
from runtime.aws.api import AwsApi
from runtime.aws.work_queue import DynamoWorkQueue
from runtime.contract import environment as names
from runtime.contract.functions import Function
from runtime.contract.routes import FUNCTIONS
from runtime.contract.tables import JOBS, QUEUE, TABLES, TEMPLATES
from runtime.domain.errors import (
    ConfigurationError,
    NotFoundError,
    PriceError,
    StorageUnavailableError,
)
from runtime.domain.service_ports import ApiPorts, ApiSettings
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint, ports_of_process
from runtime.sdk import REQUEST, WORKER
from tests.fixtures.api import Api
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_api import API_ENVIRONMENT, open_aws_api
from tests.fixtures.aws_faults import refused
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.lambda_events import ALICE, api_event
from tests.fixtures.storage import new_job

PORTS: Final[Mapping[str, Callable[[ApiPorts], object]]] = {
    "jobs": lambda ports: ports.jobs,
    "job_catalog": lambda ports: ports.job_catalog,
    "queue": lambda ports: ports.queue,
    "work": lambda ports: ports.work,
    "launcher": lambda ports: ports.launcher,
    "templates": lambda ports: ports.templates,
    "template_catalog": lambda ports: ports.template_catalog,
    "objects": lambda ports: ports.objects,
    "links": lambda ports: ports.links,
    "budgets": lambda ports: ports.budgets,
    "prices": lambda ports: ports.prices,
    "models": lambda ports: ports.models,
    "settings": lambda ports: ports.settings,
}
NEEDS: Final[Mapping[str, str]] = {
    "jobs": JOBS.variable,
    "job_catalog": JOBS.variable,
    "queue": QUEUE.variable,
    "work": QUEUE.variable,
    "launcher": names.CLUSTER,
    "templates": TEMPLATES.variable,
    "template_catalog": TEMPLATES.variable,
    "objects": names.BUCKET_NAME,
    "links": names.BUCKET_NAME,
    "budgets": JOBS.variable,
}


def api_of(clock: ManualClock, variables: Mapping[str, str]) -> ApiPorts:
    return bootstrap.aws_api(variables, clock=clock)


# ── variables ──────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_read_or_connected_before_it_is_needed(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    ports = api_of(clock, {})
    assert ports.clock.now() == START
    assert ports.provider == "bedrock"
    assert len({ports.new_id() for _ in range(100)}) == 100


@pytest.mark.parametrize("name", NEEDS)
def test_a_missing_variable_is_named_when_it_is_needed(clock: ManualClock, name: str) -> None:
    """Requirement S6.6, for functions."""
    with pytest.raises(ConfigurationError, match=NEEDS[name]):
        PORTS[name](api_of(clock, {}))


@pytest.mark.parametrize("name", NEEDS)
def test_an_empty_variable_is_a_missing_one(clock: ManualClock, name: str) -> None:
    with pytest.raises(ConfigurationError, match=NEEDS[name]):
        PORTS[name](api_of(clock, {**API_ENVIRONMENT, NEEDS[name]: ""}))


@pytest.mark.parametrize("variable", names.LAUNCH_REQUIRED)
def test_every_variable_of_a_launch_is_named(clock: ManualClock, variable: str) -> None:
    variables = {name: value for name, value in API_ENVIRONMENT.items() if name != variable}
    with pytest.raises(ConfigurationError, match=variable):
        PORTS["launcher"](api_of(clock, variables))


def variables_of(function: Function) -> dict[str, str]:
    return {name: API_ENVIRONMENT.get(name, "1") for name in function.variables}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_needs_no_variable_that_it_is_not_given(
    clock: ManualClock, function: Function
) -> None:
    """Whoever may read the jobs table has what reading takes, and is told no other table."""
    variables = variables_of(function)
    ports = api_of(clock, variables)
    for name, variable in NEEDS.items():
        if variable in variables:
            PORTS[name](ports)


def test_a_port_is_made_once_and_shares_its_client(clock: ManualClock) -> None:
    ports = api_of(clock, API_ENVIRONMENT)
    for name, port in PORTS.items():
        assert port(ports) is port(ports), name
    assert isinstance(ports, AwsApi)
    dynamodb = ports._clients.dynamodb
    assert ports.jobs._client is ports.job_catalog._client is dynamodb
    assert ports.work._table._client is ports.queue._table._client is dynamodb
    assert ports.objects._client is ports.links._client is ports._clients.s3


def test_a_request_has_less_patience_than_a_worker(clock: ManualClock) -> None:
    ports = api_of(clock, API_ENVIRONMENT)
    worker = bootstrap.aws_ports(API_ENVIRONMENT, concurrency=2, clock=clock)
    assert isinstance(ports.queue, DynamoWorkQueue)
    assert isinstance(worker.queue, DynamoWorkQueue)
    for queue, expected in ((ports.queue, REQUEST), (worker.queue, WORKER)):
        config: Any = queue._table._client.meta.config
        assert config.retries["total_max_attempts"] == expected.attempts
        assert config.read_timeout == expected.table


# ── settings ───────────────────────────────────────────────────────────────────────────────────


def test_settings_have_defaults(clock: ManualClock) -> None:
    assert api_of(clock, {}).settings == ApiSettings()


def test_settings_are_read(clock: ManualClock) -> None:
    variables = {names.MAX_ACTIVE_JOBS: "12", names.LEASE_SECONDS: "90"}
    settings = api_of(clock, variables).settings
    assert (settings.max_active_jobs, settings.lease_seconds) == (12, 90)


def test_limits_of_a_month_are_whole_dollars_or_off(clock: ManualClock) -> None:
    """N16."""
    usual = api_of(clock, {}).settings
    assert (usual.monthly_nano, usual.user_monthly_nano) == (1000 * 10**9, None)
    variables = {names.MONTHLY_BUDGET_USD: "off", names.USER_MONTHLY_BUDGET_USD: "20"}
    given = api_of(clock, variables).settings
    assert (given.monthly_nano, given.user_monthly_nano) == (None, 20 * 10**9)
    for wrong in ("0", "-1", "1.5", "OFF", "²"):
        with pytest.raises(ConfigurationError, match=names.MONTHLY_BUDGET_USD):
            _ = api_of(clock, {names.MONTHLY_BUDGET_USD: wrong}).settings


@pytest.mark.parametrize("variable", [names.MAX_ACTIVE_JOBS, names.LEASE_SECONDS])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²", "1000000", " 5"])
def test_a_wrong_setting_is_named(clock: ManualClock, variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        _ = api_of(clock, {variable: value}).settings


def test_prices_follow_the_environment(clock: ManualClock) -> None:
    assert api_of(clock, {}).prices.version == bootstrap.prices_of({}).version
    with pytest.raises(PriceError):
        _ = api_of(clock, {names.PRICES_FILE: "/nowhere/prices.json"}).prices


# ── the owner of a claim ───────────────────────────────────────────────────────────────────────


def test_a_worker_is_called_what_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(names.WORKER_OWNER, "4f9c1f0e/3")
    assert bootstrap.process_owner() == "4f9c1f0e/3"


@pytest.mark.parametrize("given", [None, ""])
def test_a_worker_that_nobody_named_has_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv(names.WORKER_OWNER, raising=False)
    if given is not None:
        monkeypatch.setenv(names.WORKER_OWNER, given)
    code = "from runtime.bootstrap import process_owner; print(process_owner())"
    others = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert bootstrap.process_owner() == bootstrap.process_owner()
    assert bootstrap.process_owner() != others


# ── how tests reach it ─────────────────────────────────────────────────────────────────────────


class Count(ApiModel):
    """How many jobs the caller has."""

    jobs: int


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.OK: Count},
)
def count_jobs(call: Call[NoBody, NoBody]) -> Count:
    """Count the caller's jobs."""
    page = call.ports.job_catalog.list_jobs(call.caller, limit=5)
    return Count(jobs=len(page.items))


@pytest.mark.usefixtures("aws_api_env")
def test_a_handler_finds_its_ports_in_the_environment(aws: FakeAws, clock: ManualClock) -> None:
    open_aws_api(aws, clock).jobs.create_job(new_job("a", clock))
    for user, expected in ((ALICE, 0), ("ada", 1)):
        answer = count_jobs(api_event("GET", "/count", user=user))
        assert (answer["statusCode"], answer["body"]) == (200, f'{{"jobs":{expected}}}')
    assert ports_of_process() is ports_of_process()


def test_the_environment_of_another_test_is_forgotten() -> None:
    assert ports_of_process.cache_info().currsize == 0
    assert not any(table.variable in os.environ for table in TABLES)


def test_faults_reach_the_ports_of_the_client(api: Api, aws: FakeAws) -> None:
    with (
        refused(aws.dynamodb, "GetItem", "InternalServerError", status=500),
        pytest.raises(StorageUnavailableError),
    ):
        api.ports.jobs.get_job("a")
    with pytest.raises(NotFoundError):
        api.ports.jobs.get_job("a")


def test_launches_succeed_and_can_be_looked_at(api: Api, aws: FakeAws, clock: ManualClock) -> None:
    api.ports.jobs.create_job(new_job("a", clock))
    item = api.ports.work.get_work("a")
    number = api.ports.work.begin_launch(item)
    assert number == 1
    api.ports.launcher.launch(item, number=number, created_at=clock.now(), on_demand=False)
    (launch,) = aws.tasks.launches
    assert launch.variables["WORKER_OWNER"] == launch.started_by == "a/1"


def test_ids_count_up(api: Api) -> None:
    first, second = api.ports.new_id(), api.ports.new_id()
    assert first == "00000000-0000-4000-8000-000000000001"
    assert second == "00000000-0000-4000-8000-000000000002"

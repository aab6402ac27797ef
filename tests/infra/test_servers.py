"""A stage that names servers of models: workers may call them with keys that nobody else has."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdk_app.config import DEV, stage_from
from cdk_app.servers import document_of, servers_from
from runtime.models.stage_servers import check_stage
from tests.fixtures.role_policies import WORKER
from tests.infra.conftest import Synthesized, synthesize

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:seedwright/gpu-a1B2c3"
NAME = "seedwright/router"
SERVERS: Mapping[str, Any] = {
    "gpu": {"base_url": "https://gpu.example.com:8443/v1", "free": True, "secret": ARN},
    "router": {
        "base_url": "https://router.example.com/v1",
        "secret": NAME,
        "secret_field": "api_key",
        "prices": {"acme/large": {"input": 80, "output": 240}},
    },
    "open": {"base_url": "http://open.example.com/v1", "free": True},
}
SECRETS = "secretsmanager:"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    stage = replace(DEV, servers=servers_from(SERVERS))
    return synthesize(stage, tmp_path_factory.mktemp("servers"))


def container(app: Synthesized) -> Any:
    (found,) = app.one("worker", "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return found


def test_a_workers_container_gets_each_key_from_its_secret(app: Synthesized) -> None:
    found = {
        each["Name"]: app.resolver.text("worker", each["ValueFrom"])
        for each in container(app)["Secrets"]
    }
    assert found == {
        "SEEDWRIGHT_KEY_GPU": ARN,
        "SEEDWRIGHT_KEY_ROUTER": (
            f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{NAME}:api_key::"
        ),
    }


def test_only_the_execution_role_may_read_these_secrets_and_no_other(app: Synthesized) -> None:
    readers = {
        (name, action, resource)
        for name, role in app.deployment.roles.items()
        for statement in role.statements
        for action in statement.actions
        for resource in statement.resources
        if action.startswith(SECRETS)
    }
    (execution,) = {name for name, _, _ in readers}
    assert app.deployment.roles[execution].arn in app.deployment.launch.role_arns
    assert execution != WORKER
    assert {action for _, action, _ in readers} <= {
        "secretsmanager:GetSecretValue",
        "secretsmanager:DescribeSecret",
    }
    # Six unknown characters end the ARN of a secret that is known by its name.
    named = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{NAME}-??????"
    assert {resource for _, _, resource in readers} == {ARN, named}
    assert app.findings == []


def test_functions_and_workers_know_the_servers_and_no_secret(app: Synthesized) -> None:
    functions = [
        resource["Properties"]["Environment"]["Variables"]
        for stack in ("api", "events", "orchestration")
        for resource in app.resources(stack, "AWS::Lambda::Function").values()
    ]
    variables = {each["Name"]: each["Value"] for each in container(app)["Environment"]}
    assert functions
    for given in (variables, *functions):
        told = json.loads(given["SEEDWRIGHT_SERVERS"])
        assert told["router"]["base_url"] == "https://router.example.com/v1"
        assert told["router"]["key"] == "SEEDWRIGHT_KEY_ROUTER"
        assert "key" not in told["open"]
        assert "secret" not in json.dumps(told)


def test_workers_reach_the_ports_of_their_servers_and_no_others(app: Synthesized) -> None:
    (group,) = (
        each["Properties"]
        for each in app.resources("worker", "AWS::EC2::SecurityGroup").values()
        if "workers:" in each["Properties"]["GroupDescription"]
    )
    ports = [(each["FromPort"], each["ToPort"]) for each in group["SecurityGroupEgress"]]
    assert sorted(ports) == [(80, 80), (443, 443), (8443, 8443)]


def test_nothing_else_changes(app: Synthesized, dev: Synthesized) -> None:
    """Beside a stage without servers, which the snapshots hold."""
    for stack, template in dev.templates.items():
        before, after = template["Resources"], app.templates[stack]["Resources"]
        assert before.keys() == after.keys()
        changed = {
            resource["Type"] for key, resource in after.items() if resource != before[key]
        } - {"AWS::Lambda::Function"}
        worker = {"AWS::ECS::TaskDefinition", "AWS::EC2::SecurityGroup", "AWS::IAM::Policy"}
        assert changed == (worker if stack == "worker" else set())


# ── what is refused ────────────────────────────────────────────────────────────────────────────

URL = "https://a.example.com/v1"


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"free": True}, "base_url"),
        ({"base_url": URL, "key": "TOKEN"}, "name its secret as `secret`"),
        ({"base_url": URL, "secret": ARN[:-7]}, "not the whole ARN"),
        ({"base_url": URL, "secret": "my-secret"}, "whole ARN"),
        ({"base_url": URL, "secret": "two words"}, "name or ARN"),
        ({"base_url": URL, "secret": 7}, "name or ARN"),
        ({"base_url": URL, "secret_field": "key"}, "secret_field"),
        ({"base_url": URL, "extra": {"note": "x" * 2048}}, "functions have room for 2048"),
    ],
)
def test_a_server_that_cannot_be_delivered_is_refused(server: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        servers_from({"gpu": server})


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"base_url": URL}, "has no price"),
        ({"base_url": "http://127.0.0.1:8000/v1"}, "is a worker itself"),
        ({"base_url": "http://a.example.com/v1", "secret": NAME, "free": True}, "in the clear"),
        ({"base_url": "gpu", "free": True}, "is not a URL"),
        ({"base_url": URL, "fre": True}, "unknown field 'fre'"),
        ({"base_url": URL, "prices": {"m": {"input": 1}}}, "output"),
    ],
)
def test_what_a_first_job_would_find_is_refused(server: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=says):
        check_stage(document_of(servers_from({"gpu": server})), None)


def test_two_names_do_not_share_a_variable() -> None:
    server = {"base_url": URL, "free": True}
    with pytest.raises(ValueError, match="rename one"):
        servers_from({"my-gpu": server, "my_gpu": server})


def test_a_price_file_of_the_stage_may_price_a_server(tmp_path: Path) -> None:
    row = {
        "id": "acme",
        "provider": "gpu",
        "name": "Acme",
        "input": 1,
        "output": 2,
        "cache_read": None,
        "cache_write": None,
        "profiles": {},
        "structured_output": True,
        "context_tokens": 8000,
        "max_output_tokens": 8000,
        "valid_from": None,
        "valid_until": None,
        "source": "a contract",
        "checked": "2026-11-01",
    }
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"models": [row]}), encoding="utf-8")
    check_stage(document_of(servers_from({"gpu": {"base_url": URL}})), path)
    check_stage("", None)


def test_servers_come_from_cdk_json_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    path.write_text(json.dumps(SERVERS), encoding="utf-8")
    here, there = stage_from({"servers": SERVERS}.get), stage_from({"servers": str(path)}.get)
    assert here == there
    assert [each.name for each in here.servers] == ["gpu", "router", "open"]
    for text in ("nowhere.json", "[]"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="servers"):
            stage_from({"servers": text if text == "nowhere.json" else str(path)}.get)


def test_a_private_network_has_no_way_to_a_server() -> None:
    with pytest.raises(ValueError, match=r"no way to the internet.*network=public"):
        stage_from({"servers": SERVERS, "network": "private"}.get)

"""The workers: their network, cluster, task and image."""

import json
import re
from typing import Any

import pytest

from runtime.contract import environment
from runtime.contract.tables import TABLES
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from runtime.files.parquet import MAX_UNPACKED_BYTES
from tests.infra.conftest import ROOT, Synthesized

STACK = "worker"


def container(app: Synthesized) -> Any:
    (found,) = app.one(STACK, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return found


# ── network ────────────────────────────────────────────────────────────────────────────────────


def test_nothing_in_the_network_costs_money_by_default(dev: Synthesized, prod: Synthesized) -> None:
    for app in (dev, prod):
        assert not app.resources(STACK, "AWS::EC2::NatGateway")
        assert not app.resources(STACK, "AWS::EC2::EIP")
        kinds = {
            each["Properties"]["VpcEndpointType"]
            for each in app.resources(STACK, "AWS::EC2::VPCEndpoint").values()
        }
        assert kinds == {"Gateway"}


def endpoints(app: Synthesized, kind: str) -> set[str]:
    return {
        app.resolver.text(STACK, each["Properties"]["ServiceName"]).removeprefix(
            "com.amazonaws.us-east-1."
        )
        for each in app.resources(STACK, "AWS::EC2::VPCEndpoint").values()
        if each["Properties"]["VpcEndpointType"] == kind
    }


def test_storage_is_reached_through_gateway_endpoints(app: Synthesized) -> None:
    assert endpoints(app, "Gateway") == {"s3", "dynamodb"}


def test_a_private_network_reaches_what_a_worker_calls_and_no_internet(
    private: Synthesized,
) -> None:
    assert endpoints(private, "Interface") == {"ecr.api", "ecr.dkr", "logs", "bedrock-runtime"}
    assert not private.resources(STACK, "AWS::EC2::InternetGateway")
    for subnet in private.resources(STACK, "AWS::EC2::Subnet").values():
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False


def zones(app: Synthesized, region: str) -> list[Any]:
    """Where the subnets are in a region: a zone's id, or the place of a name among the account's.
    Both would be refused.
    """
    conditions = app.templates[STACK]["Conditions"]

    def holds(condition: Any) -> bool:
        match condition:
            case {"Condition": name}:
                return holds(conditions[name])
            case {"Fn::Or": parts}:
                return any(map(holds, parts))
            case {"Fn::Equals": [{"Ref": "AWS::Region"}, value]}:
                return bool(value == region)
        raise AssertionError(condition)

    def chosen(value: Any) -> Any:
        match value:
            case {"Fn::If": [name, then, otherwise]}:
                return chosen(then if holds(conditions[name]) else otherwise)
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Fn::Select": [index, {"Fn::GetAZs": ""}]}:
                return index
        return value

    subnets = [each["Properties"] for each in app.resources(STACK, "AWS::EC2::Subnet").values()]
    names = [chosen(each["AvailabilityZone"]) for each in subnets]
    ids = [chosen(each["AvailabilityZoneId"]) for each in subnets]
    assert None in {*names} ^ {*ids}
    return names if ids[0] is None else ids


def test_subnets_are_in_two_zones(private: Synthesized) -> None:
    """Where the stage says so."""
    assert zones(private, "eu-west-1") == [0, 1]
    assert zones(private, "us-east-1") == ["use1-az1", "use1-az2"]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        # By the place of the name, since a name stands for another zone in each account.
        ("eu-west-1", [0, 1, 2]),
        ("us-east-1", ["use1-az1", "use1-az2", "use1-az4"]),
        ("ap-northeast-1", ["apne1-az1", "apne1-az2", "apne1-az4"]),
        # Two zones is all there is: the third subnet adds none, and is in nobody's way.
        ("us-west-1", ["usw1-az1", "usw1-az3", "usw1-az1"]),
    ],
)
def test_subnets_are_where_fargate_has_arm64(
    dev: Synthesized, region: str, expected: list[object]
) -> None:
    assert zones(dev, region) == expected


def test_an_endpoint_has_one_subnet_a_zone_in_every_region(private: Synthesized) -> None:
    """AWS refuses a second one, and bills by the zone."""
    subnets = list(private.resources(STACK, "AWS::EC2::Subnet"))
    for each in private.resources(STACK, "AWS::EC2::VPCEndpoint").values():
        if each["Properties"]["VpcEndpointType"] == "Interface":
            assert each["Properties"]["SubnetIds"] == [{"Ref": each} for each in subnets[:2]]


def worker_group(app: Synthesized) -> Any:
    (group,) = (
        each["Properties"]
        for each in app.resources(STACK, "AWS::EC2::SecurityGroup").values()
        if "workers:" in each["Properties"]["GroupDescription"]
    )
    return group


def test_nothing_can_connect_to_a_worker(app: Synthesized) -> None:
    assert "SecurityGroupIngress" not in worker_group(app)
    for rule in app.resources(STACK, "AWS::EC2::SecurityGroupIngress").values():
        # Only an endpoint takes connections, and only from workers.
        assert rule["Properties"]["FromPort"] == rule["Properties"]["ToPort"] == 443
        assert "SourceSecurityGroupId" in rule["Properties"]
        assert "Endpoints" in json.dumps(rule["Properties"]["GroupId"])


def test_a_worker_speaks_https_only(app: Synthesized) -> None:
    (rule,) = worker_group(app)["SecurityGroupEgress"]

    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)


def test_flows_are_logged_where_it_is_set(dev: Synthesized, prod: Synthesized) -> None:
    assert not dev.resources(STACK, "AWS::EC2::FlowLog")
    assert prod.one(STACK, "AWS::EC2::FlowLog")["TrafficType"] == "ALL"


# ── cluster ────────────────────────────────────────────────────────────────────────────────────


def test_the_cluster_has_both_providers_and_no_strategy_of_its_own(app: Synthesized) -> None:
    association = app.one(STACK, "AWS::ECS::ClusterCapacityProviderAssociations")

    assert set(association["CapacityProviders"]) == {"FARGATE", "FARGATE_SPOT"}
    assert association["DefaultCapacityProviderStrategy"] == []


@pytest.mark.parametrize(("stage", "setting"), [("dev", "disabled"), ("prod", "enabled")])
def test_container_insights_are_a_setting(
    request: pytest.FixtureRequest, stage: str, setting: str
) -> None:
    app: Synthesized = request.getfixturevalue(stage)

    assert app.one(STACK, "AWS::ECS::Cluster")["ClusterSettings"] == [
        {"Name": "containerInsights", "Value": setting}
    ]


# ── task ───────────────────────────────────────────────────────────────────────────────────────


def test_the_task_runs_on_arm64_fargate(app: Synthesized) -> None:
    task = app.one(STACK, "AWS::ECS::TaskDefinition")

    assert task["RuntimePlatform"] == {
        "CpuArchitecture": "ARM64",
        "OperatingSystemFamily": "LINUX",
    }
    assert task["RequiresCompatibilities"] == ["FARGATE"]
    assert task["NetworkMode"] == "awsvpc"
    assert (task["Cpu"], task["Memory"]) == ("1024", "2048")
    assert task["Volumes"] == [{"Name": "scratch"}]


def test_sigterm_reaches_python_and_has_time(app: Synthesized) -> None:
    assert container(app)["EntryPoint"] == ["python", "-m", "runtime.worker"]
    assert "Command" not in container(app)
    assert container(app)["LinuxParameters"]["InitProcessEnabled"] is True
    assert container(app)["StopTimeout"] == 120


def test_the_container_can_change_nothing_and_is_nobody(app: Synthesized) -> None:
    found = container(app)

    assert found["ReadonlyRootFilesystem"] is True
    assert found["User"].split(":") == ["10001", "10001"]
    assert found["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert found.get("Privileged", False) is False
    assert not found.get("PortMappings")
    # The rest of the disk is read-only; seeds are kept here while a job draws from them.
    assert found["MountPoints"] == [
        {"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": "scratch"}  # noqa: S108
    ]
    assert "Secrets" not in found


def test_the_disk_holds_the_largest_seeds(app: Synthesized) -> None:
    """4 GiB of Parquet, the 8 GiB that they may unpack to, and the image."""
    definition = app.one(STACK, "AWS::ECS::TaskDefinition")
    assert definition["EphemeralStorage"] == {"SizeInGiB": 30}
    most = (MAX_SEED_BYTES + MAX_UNPACKED_BYTES) / 2**30
    assert definition["EphemeralStorage"]["SizeInGiB"] > 2 * most
    assert definition["Volumes"] == [{"Name": "scratch"}], "of the task's own storage"


def test_the_container_is_called_what_a_launch_calls_it(app: Synthesized) -> None:
    assert container(app)["Name"] == environment.WORKER_CONTAINER


def test_the_container_gets_what_the_worker_reads(app: Synthesized) -> None:
    given = {
        each["Name"]: app.resolver.text(STACK, each["Value"])
        for each in container(app)["Environment"]
    }

    assert set(environment.WORKER_REQUIRED) <= given.keys()
    assert given.keys() <= {*environment.WORKER_REQUIRED, *environment.WORKER_OPTIONAL}
    assert {table.variable: given[table.variable] for table in TABLES} == {
        table.variable: table.name for table in TABLES
    }


def test_logs_go_to_a_group_that_forgets(dev: Synthesized, prod: Synthesized) -> None:
    for app, days in ((dev, 30), (prod, 90)):
        options = container(app)["LogConfiguration"]["Options"]
        group = app.resources(STACK, "AWS::Logs::LogGroup")[options["awslogs-group"]["Ref"]]
        assert group["Properties"]["RetentionInDays"] == days
        assert options["mode"] == "non-blocking"


# ── image ──────────────────────────────────────────────────────────────────────────────────────


def image_asset(app: Synthesized) -> Any:
    assets = json.loads(
        (app.folder / f"seedwright-{app.stage.name}-worker.assets.json").read_text()
    )
    (image,) = assets["dockerImages"].values()
    return image["source"]


def test_the_image_is_built_for_arm64_when_it_is_deployed(app: Synthesized) -> None:
    source = image_asset(app)

    assert source["platform"] == "linux/arm64"
    assert source["dockerFile"] == "runtime/worker/Dockerfile"


def test_the_image_is_built_from_what_the_worker_needs(app: Synthesized) -> None:
    folder = app.folder / image_asset(app)["directory"]
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert {"runtime/worker/__main__.py", "runtime/domain/models/prices.json"} <= found
    assert {"requirements/worker.txt", "runtime/worker/Dockerfile"} <= found
    tops = {"/".join(path.split("/")[:2]) for path in found}
    assert tops == {
        *("runtime/__init__.py", "runtime/bootstrap.py", "runtime/logs.py", "runtime/sdk.py"),
        *("runtime/confinement.py", "runtime/disk.py", "runtime/proxies.py"),
        *("runtime/aws", "runtime/contract", "runtime/domain", "runtime/engine", "runtime/export"),
        *("runtime/files", "runtime/models", "runtime/worker", "requirements/worker.txt"),
        "runtime/service",
    }
    shared = {path for path in found if path.startswith("runtime/service/")}
    assert shared == {"runtime/service/__init__.py", "runtime/service/shards.py"}
    assert not [path for path in found if path.endswith(".pyc")]


def test_the_dockerfile_agrees_with_the_task(dev: Synthesized) -> None:
    lines = (ROOT / "runtime/worker/Dockerfile").read_text().splitlines()
    instructions = dict(line.split(" ", 1) for line in lines if line[:1].isupper())

    assert json.loads(instructions["ENTRYPOINT"]) == container(dev)["EntryPoint"]
    assert instructions["USER"] == container(dev)["User"]


def test_the_image_is_built_on_a_digest(dev: Synthesized, private: Synthesized) -> None:
    """A tag is another image next week, and nothing here would show it."""
    text = (ROOT / "runtime/worker/Dockerfile").read_text()
    bases = [
        line.split()[-3 if " AS " in line else -1]
        for line in text.splitlines()
        if line[:5] == "FROM "
    ]
    (pinned,) = (line for line in text.splitlines() if line.startswith("ARG PYTHON_IMAGE="))

    assert bases == ["${PYTHON_IMAGE}"] * 2
    assert re.fullmatch(r"ARG PYTHON_IMAGE=\S+/python:3\.13-slim@sha256:[0-9a-f]{64}", pinned)
    assert "dockerBuildArgs" not in image_asset(dev)
    assert image_asset(private)["dockerBuildArgs"] == {"PYTHON_IMAGE": private.stage.python_image}


def test_no_step_of_the_image_runs_on_the_target_machine() -> None:
    text = (ROOT / "runtime/worker/Dockerfile").read_text()
    _, build, final = text.split("FROM ")

    assert build.startswith("--platform=$BUILDPLATFORM ")
    assert "--require-hashes" in build
    assert "RUN" not in final

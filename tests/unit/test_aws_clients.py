"""The settings of the boto3 clients: time limits, retries, pools."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import create_loader
from botocore.validate import ParamValidationDecorator

from runtime import sdk as clients
from runtime.aws.storage import OwnClients
from runtime.contract.routes import ROUTES
from runtime.domain.errors import ConfigurationError


def test_a_model_call_is_one_request_within_the_time_limit() -> None:
    """Requirement S5.3: the SDK never pays again for a call whose reply is late."""
    client: Any = clients.create_bedrock_client(concurrency=64)
    config = client.meta.config
    assert config.retries == {"total_max_attempts": 1, "mode": "standard"}
    assert config.read_timeout <= 100
    assert config.connect_timeout <= 10
    assert config.max_pool_connections == 64
    assert config.tcp_keepalive
    assert not isinstance(client._serializer, ParamValidationDecorator)
    assert config.user_agent == "seedwright"
    client.close()


@pytest.mark.parametrize("create", [clients.create_dynamodb_client, clients.create_s3_client])
def test_storage_is_retried_within_a_time_limit(create: Any) -> None:
    client = create()
    config = client.meta.config
    assert config.retries == {"total_max_attempts": 5, "mode": "standard"}
    assert config.read_timeout <= 60
    assert config.connect_timeout <= 10
    assert config.tcp_keepalive
    client.close()


def worst_seconds(client: Any) -> float:
    """Until a request is given up: waits for every try, and the longest pauses between them."""
    config = client.meta.config
    tries = config.retries["total_max_attempts"]
    pauses = sum(min(2**number, 20) for number in range(tries - 1))
    return float(tries * (config.connect_timeout + config.read_timeout) + pauses)


def test_a_request_is_answered_before_its_function_is_ended() -> None:
    """Requirement S3.6: 503 with `Retry-After`. Lambda's own end of a function says nothing."""
    own = OwnClients(concurrency=1, timeouts=clients.REQUEST)
    shortest = min(route.function.seconds for route in ROUTES if route.function.grants)
    assert worst_seconds(own.dynamodb) < shortest
    assert worst_seconds(own.ecs) < shortest
    # What reads files has the time of a preview.
    (preview,) = (route.function for route in ROUTES if route.function.name == "preview_template")
    assert worst_seconds(own.s3) < preview.seconds
    assert worst_seconds(own.open_bedrock(340.0)) < preview.seconds


def test_the_region_is_the_one_that_containers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    client = clients.create_dynamodb_client()
    assert client.meta.region_name == "eu-central-1"
    client.close()


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        clients.create_dynamodb_client()


def test_a_profile_that_does_not_exist_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(ConfigurationError, match="profile"):
        clients.create_s3_client()


def test_importing_the_factory_does_not_import_boto3() -> None:
    code = "import sys, runtime.sdk; sys.exit('boto3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def unread_models() -> Iterator[None]:
    """The descriptions of services as a new process has them."""
    clients._service_models.cache_clear()
    yield
    clients._service_models.cache_clear()


@pytest.mark.usefixtures("unread_models")
def test_a_service_is_found_without_a_look_at_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_into: list[str] = []
    listdir = os.listdir

    def watched(path: Any) -> list[str]:
        looked_into.append(os.path.basename(path))  # noqa: PTH119 - as the SDK gives it
        return listdir(path)

    monkeypatch.setattr("os.listdir", watched)
    client = clients._create("bedrock-runtime", session=clients._session())
    client.close()
    assert set(looked_into) == {"bedrock-runtime"}
    monkeypatch.undo()
    known = create_loader().list_available_services("service-2")
    assert clients._service_models().list_available_services("service-2") == known


@pytest.mark.usefixtures("unread_models")
def test_services_of_the_user_s_own_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "models" / "own-service" / "2026-11-28"
    here.mkdir(parents=True)
    metadata = {"endpointPrefix": "own", "protocol": "json", "signatureVersion": "v4"}
    (here / "service-2.json").write_text(json.dumps({"metadata": metadata, "operations": {}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_DATA_PATH", os.pathsep.join(["/nowhere", "~/models"]))
    found = clients._service_models().load_service_model("own-service", "service-2")
    assert found["metadata"] == metadata


def test_a_service_that_nobody_knows_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no AWS client for wat"):
        clients.create_reader("wat", region="us-east-1", profile=None)

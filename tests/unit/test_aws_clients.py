"""The settings of the boto3 clients: time limits, retries, pools."""

import subprocess
import sys
from typing import Any

import pytest
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

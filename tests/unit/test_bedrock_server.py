"""Models of Bedrock that are called by OpenAI's requests: signed, or with a bearer token."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import seedwright
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import Message, ModelClient, ModelRequest
from runtime.domain.models.price_table import load_prices
from runtime.domain.roles import Role
from runtime.models.bedrock import BedrockModels
from runtime.models.bedrock_loop import open_bedrock
from runtime.sdk import create_bedrock_client
from tests.fixtures.bedrock_double import BedrockDouble, Request

MODEL = "vendor.speaks-chat-1:0"


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def on_boto3() -> ModelClient:
    return BedrockModels(
        lambda seconds: create_bedrock_client(concurrency=4, reply_seconds=seconds)
    )


OPENERS = (on_boto3, open_bedrock)


@pytest.fixture(params=OPENERS)
def models(double: BedrockDouble, request: pytest.FixtureRequest) -> Iterator[ModelClient]:
    """Of functions, whose other calls boto3 makes, and of workers."""
    del double
    client: ModelClient = request.param()
    yield client
    client.close()


def ask(api: Api, **fields: Any) -> ModelRequest:
    messages = (Message(role=Role.USER, text="Write a line about snow."),)
    return ModelRequest(model=MODEL, messages=messages, max_tokens=20, api=api, **fields)


def signature_of(sent: Request, url: str, raw: bytes) -> str:
    """What botocore signs the same request with, at the same second."""
    names = sent.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    given = {name: sent.headers[name] for name in names if name not in {"host", "x-amz-date"}}
    given.pop("x-amz-security-token", None)
    request = AWSRequest(method="POST", url=url, data=raw, headers=given)
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "testing", "session"), "bedrock", "eu-west-1")
    at = datetime.strptime(sent.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)  # type: ignore[attr-defined]
    request.headers.replace_header("X-Amz-Date", sent.headers["x-amz-date"])
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


@pytest.mark.parametrize(
    ("api", "path"), [(Api.CHAT, "chat/completions"), (Api.RESPONSES, "responses")]
)
def test_a_request_is_signed(
    models: ModelClient, double: BedrockDouble, api: Api, path: str
) -> None:
    reply = models.converse(ask(api))

    assert reply.text
    (sent,) = double.requests
    assert sent.model == MODEL
    assert "seed" not in sent.body
    authorization = sent.headers["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/bedrock/aws4_request" in authorization
    assert sent.headers["x-amz-security-token"] == "session"
    raw = json.dumps(sent.body, ensure_ascii=False, separators=(",", ":")).encode()
    assert int(sent.headers["content-length"]) == len(raw)
    url = f"{double.url}/openai/v1/{path}"
    assert authorization.endswith(f"Signature={signature_of(sent, url, raw)}")


@pytest.mark.parametrize("opened", OPENERS)
def test_a_bearer_token_goes_before_a_signature(
    opened: Callable[[], ModelClient], double: BedrockDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x")
    models = opened()
    models.converse(ask(Api.CHAT))
    models.close()
    assert double.requests[0].headers["authorization"] == "Bearer bedrock-api-key-x"


def test_other_models_go_by_converse_as_before(models: ModelClient, double: BedrockDouble) -> None:
    models.converse(ask(Api.CONVERSE))
    assert "inferenceConfig" in double.requests[0].body


def test_its_failures_are_those_of_a_server(models: ModelClient, double: BedrockDouble) -> None:
    body = {"message": "User is not authorized to perform: bedrock:InvokeModel"}
    double.faults([{"effect": "said", "status": 403, "body": body}])
    with pytest.raises(ModelError) as caught:
        models.converse(ask(Api.CHAT))
    assert (caught.value.kind, caught.value.denied) == (ModelErrorKind.FATAL, True)
    double.faults([{"effect": "timeout"}])
    with pytest.raises(ModelError) as caught:
        models.converse(ask(Api.CHAT, timeout_seconds=0.2))
    assert (caught.value.kind, caught.value.timed_out) == (ModelErrorKind.IN_DOUBT, True)


def test_the_models_row_says_by_what_it_is_called(double: BedrockDouble, tmp_path: Path) -> None:
    known = json.loads(load_prices().encode())["models"][0]
    row = {**known, "id": MODEL, "api": "chat", "regions": None, "profiles": {}}
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"models": [row]}), encoding="utf-8")

    found = seedwright.generate(
        {
            "name": "t",
            "steps": [{"id": "a", "prompt": "Write {{ index }}.", "model": MODEL}],
            "output": "records",
        },
        n=2,
        backend="bedrock",
        prices=prices,
        out=tmp_path / "out",
    )

    assert len(found) == 2
    assert all("max_completion_tokens" in each.body for each in double.requests)


@pytest.mark.parametrize("opened", OPENERS)
def test_without_credentials_nothing_is_sent(
    opened: Callable[[], ModelClient], double: BedrockDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    models = opened()
    with pytest.raises(ModelError, match="refused the credentials") as caught:
        models.converse(ask(Api.CHAT))
    models.close()
    assert caught.value.kind is ModelErrorKind.FATAL
    assert double.calls == 0

"""Both clients of Bedrock, boto3's and the one on an event loop, against the double of the endpoint
(S5.1 to S5.5).

Every row of the error table goes over HTTP, and every attempt has to be one HTTP request.
"""

import json
import socket
import ssl
import subprocess
import sys
import threading
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import boto3
import jsonschema_rs
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.hooks import HierarchicalEmitter

from runtime.domain.errors import ModelError, ModelErrorKind, SchemaRefusedError
from runtime.domain.models.calls import Message, ModelClient, ModelRequest, Usage
from runtime.domain.roles import Role
from runtime.domain.templates.provider_schema import Way
from runtime.domain.templates.service_schema import for_service
from runtime.models.bedrock import BedrockModels
from runtime.models.bedrock_loop import open_bedrock
from runtime.models.loop_models import LoopModels
from runtime.sdk import BedrockAccess, Timeouts, create_bedrock_client
from tests.fixtures import bedrock_double
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.certificates import self_signed

MODEL = "us.amazon.nova-micro-v1:0"
PROMPT = "Describe the lighthouse of the island in two sentences."
SYSTEM = "You are a patient keeper of lighthouses."
K = ModelErrorKind


Client = Callable[..., ModelClient]


def on_a_loop(url: str, *, read_timeout: float = 5, proxy: str | None = None) -> LoopModels:
    access = BedrockAccess(
        url=url,
        region="us-east-1",
        signing_name="bedrock",
        credentials=Credentials("testing", "testing"),
        token=None,
        proxy=proxy,
        authorities=None,
        events=HierarchicalEmitter(),
    )
    timeouts = Timeouts(connect=0.3, table=1, object=1, attempts=1, model=read_timeout)
    return open_bedrock(access, timeouts=timeouts)


def on_boto3(url: str, *, read_timeout: float = 5, proxy: str | None = None) -> BedrockModels:
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=0.3,
        read_timeout=read_timeout,
        max_pool_connections=16,
        proxies={"http": proxy} if proxy else None,
    )
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - no secret
        config=config,
    )
    return BedrockModels(lambda _: client)


@pytest.fixture(scope="module", params=[on_boto3, on_a_loop])
def models_for(request: pytest.FixtureRequest) -> Client:
    """A client that calls this URL."""
    way: Client = request.param
    return way


@pytest.fixture(scope="module")
def running() -> Iterator[BedrockDouble]:
    with BedrockDouble() as double:
        yield double


@pytest.fixture(scope="module")
def models(running: BedrockDouble, models_for: Client) -> Iterator[ModelClient]:
    models = models_for(running.url)
    yield models
    models.close()


@pytest.fixture
def double(running: BedrockDouble) -> BedrockDouble:
    running.reset()
    return running


def request(text: str = PROMPT, **fields: object) -> ModelRequest:
    messages = (Message(role=Role.USER, text=text),)
    values: dict[str, object] = {"model": MODEL, "messages": messages, "max_tokens": 128}
    return ModelRequest(**values | fields)  # type: ignore[arg-type]


def failure(models: ModelClient, wanted: ModelRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        models.converse(wanted or request())
    return caught.value


def tried(models: ModelClient) -> ModelError:
    """The same with a client that nobody needs afterwards."""
    try:
        return failure(models)
    finally:
        models.close()


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def test_a_request_becomes_one_converse_call(models: ModelClient, double: BedrockDouble) -> None:
    conversation = (
        Message(role=Role.USER, text=PROMPT),
        Message(role=Role.ASSISTANT, text="It is white."),
        Message(role=Role.USER, text="And its lamp?"),
    )

    reply = models.converse(request(messages=conversation, system=SYSTEM, temperature=0.0, seed=7))

    assert reply.text
    assert reply.stop_reason == "end_turn"
    (sent,) = double.requests
    assert sent.model == MODEL
    assert sent.body == {
        "messages": [
            {"role": "user", "content": [{"text": PROMPT}]},
            {"role": "assistant", "content": [{"text": "It is white."}]},
            {"role": "user", "content": [{"text": "And its lamp?"}]},
        ],
        "system": [{"text": SYSTEM}],
        "inferenceConfig": {"maxTokens": 128, "temperature": 0.0},
    }


def test_what_is_not_set_is_not_sent(models: ModelClient, double: BedrockDouble) -> None:
    models.converse(request(system=""))

    (sent,) = double.requests
    assert sent.body.keys() == {"messages", "inferenceConfig"}
    assert sent.body["inferenceConfig"] == {"maxTokens": 128}


def test_a_profile_arn_survives_the_url(models: ModelClient, double: BedrockDouble) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"

    models.converse(request(model=arn))

    assert [sent.model for sent in double.requests] == [arn]


def test_unicode_goes_both_ways(models: ModelClient, double: BedrockDouble) -> None:
    text = 'Zürich, 漢字, 🌊 \t \u2028 \\ " e\u0301'
    double.faults([{"text": text}])

    assert models.converse(request(text)).text == text
    assert double.requests[0].body["messages"][0]["content"] == [{"text": text}]


def test_one_client_serves_many_threads(models: ModelClient, double: BedrockDouble) -> None:
    prompts = [f"Item {number}" for number in range(60)]

    with ThreadPoolExecutor(12) as pool:
        first = list(pool.map(lambda text: models.converse(request(text)).text, prompts))
    again = [models.converse(request(text)).text for text in prompts]

    assert first == again
    assert len(set(first)) == 60
    assert double.stats()["paid_twice"] == 60


# ── replies ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"text": "one "}, {"text": "two"}], "one two"),
        ([{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "yes"}], "yes"),
        ([{"reasoningContent": {"reasoningText": {"text": "hm"}}}], ""),
        ([{"text": "lone \ud83d surrogate"}], "lone \ufffd surrogate"),
        ([{"text": "split \ud83c"}, {"text": "\udf0a pair"}], "split \U0001f30a pair"),
    ],
)
def test_the_text_blocks_are_the_reply(
    models: ModelClient, double: BedrockDouble, content: list[dict[str, object]], text: str
) -> None:
    double.faults([{"content": content}])

    assert models.converse(request()).text == text


def test_an_empty_reply_is_a_reply(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "empty_text"}])

    reply = models.converse(request())

    assert reply.text == ""
    assert reply.usage is not None
    assert reply.usage.output_tokens == 0


def test_a_huge_reply_arrives_whole(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "huge"}])

    assert len(models.converse(request()).text) == bedrock_double.HUGE_CHARACTERS


def test_the_stop_reason_is_handed_on(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"stop_reason": "content_filtered", "times": 1}])

    assert models.converse(request()).stop_reason == "content_filtered"
    assert models.converse(request(max_tokens=5)).stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        (
            {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
            Usage(input_tokens=11, output_tokens=7),
        ),
        (
            {
                "inputTokens": 11,
                "outputTokens": 7,
                "totalTokens": 1230,
                "cacheReadInputTokens": 1000,
                "cacheWriteInputTokens": 212,
            },
            Usage(input_tokens=11, output_tokens=7, cache_read_tokens=1000, cache_write_tokens=212),
        ),
        ({"inputTokens": 11, "totalTokens": 11}, None),
        ({"inputTokens": None, "outputTokens": 7}, None),
        ({"inputTokens": -1, "outputTokens": 7}, None),
        ({"inputTokens": 11, "outputTokens": 10**25}, None),
    ],
)
def test_usage_is_taken_as_billed(
    models: ModelClient, double: BedrockDouble, document: dict[str, object], usage: Usage | None
) -> None:
    double.faults([{"usage": document}])

    assert models.converse(request()).usage == usage


def test_missing_usage_is_none(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "no_usage"}])

    assert models.converse(request()).usage is None


# ── errors that the service answers ────────────────────────────────────────────────────────────

ANSWERS = [
    ("ThrottlingException", None, K.THROTTLED),
    ("ModelNotReadyException", None, K.THROTTLED),
    ("SomethingNewException", 429, K.THROTTLED),
    ("AccessDeniedException", 429, K.THROTTLED),
    ("throttlingexception", 400, K.THROTTLED),
    ("Throttling", 400, K.THROTTLED),
    ("ServiceQuotaExceededException", None, K.THROTTLED),
    ("ServiceUnavailableException", None, K.UNAVAILABLE),
    ("SomethingNewException", 503, K.UNAVAILABLE),
    ("ExpiredTokenException", None, K.UNAVAILABLE),
    ("ExpiredToken", 400, K.UNAVAILABLE),
    ("InternalServerException", None, K.SERVER_FAULT),
    ("SomethingNewException", 500, K.SERVER_FAULT),
    ("SomethingNewException", 599, K.SERVER_FAULT),
    ("SomethingNewException", 302, K.SERVER_FAULT),
    ("SomethingNewException", 504, K.IN_DOUBT),
    ("ModelTimeoutException", None, K.MODEL_FAILED),
    ("ModelErrorException", None, K.MODEL_FAILED),
    ("SomethingNewException", 408, K.MODEL_FAILED),
    ("SomethingNewException", 424, K.MODEL_FAILED),
    ("ValidationException", None, K.REJECTED),
    ("SomethingNewException", 400, K.REJECTED),
    ("SomethingNewException", 413, K.REJECTED),
    ("AccessDeniedException", None, K.FATAL),
    ("ResourceNotFoundException", None, K.FATAL),
    ("UnrecognizedClientException", None, K.FATAL),
    ("InvalidSignatureException", 403, K.FATAL),
    ("MissingAuthenticationTokenException", 403, K.FATAL),
]


@pytest.mark.parametrize(("code", "status", "kind"), ANSWERS)
def test_an_error_answer_is_one_request_and_one_kind(
    models: ModelClient, double: BedrockDouble, code: str, status: int | None, kind: K
) -> None:
    rule: RuleDocument = {"effect": code}
    if status is not None:
        rule["status"] = status
    double.faults([rule])

    error = failure(models)

    assert error.kind is kind
    assert error.service_code == code
    assert double.calls == 1
    assert double.stats()["paid"] == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(502, K.SERVER_FAULT), (503, K.UNAVAILABLE), (504, K.IN_DOUBT), (403, K.REJECTED)],
)
def test_a_proxys_html_page_counts_by_its_status(
    models: ModelClient, double: BedrockDouble, status: int, kind: K
) -> None:
    double.faults([{"effect": "html", "status": status}])

    assert failure(models).kind is kind
    assert double.calls == 1


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("AccessDeniedException", "allow bedrock:InvokeModel"),
        ("ResourceNotFoundException", "in this region"),
        ("UnrecognizedClientException", "credentials"),
        ("ExpiredTokenException", "renew"),
    ],
)
def test_a_fatal_message_helps(
    models: ModelClient, double: BedrockDouble, code: str, hint: str
) -> None:
    double.faults([{"effect": code}])

    message = str(failure(models))

    assert hint in message
    assert MODEL in message
    assert code in message
    assert "\n" not in message


DENIALS = [
    (
        "AccessDeniedException",
        (
            "User: arn:aws:sts::123456789012:assumed-role/worker/1 is not authorized to perform:"
            " bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x"
            " because no identity-based policy allows the bedrock:InvokeModel action"
        ),
        "the policy of this role",
    ),
    (
        "AccessDeniedException",
        (
            "Model access is denied due to User: arn:aws:sts::123456789012:assumed-role/worker/1 is"
            " not authorized to perform: aws-marketplace:ViewSubscriptions on resource: *. If you"
            " recently fixed this issue, try again after 15 minutes."
        ),
        "no subscription",
    ),
    (
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
        "under Model access",
    ),
    (
        "ResourceNotFoundException",
        (
            "Model use case details have not been submitted for this account. Fill out the"
            " Anthropic use case details form before using the model."
        ),
        "asks for a use case",
    ),
    ("AccessDeniedException", "Something that nobody has seen yet.", "15 minutes. Then resume"),
]


@pytest.mark.parametrize(("code", "said", "advice"), DENIALS)
def test_f12_a_denial_says_who_has_to_grant_what(
    models: ModelClient, double: BedrockDouble, code: str, said: str, advice: str
) -> None:
    """S5.5. Fatal, and in words what an administrator does."""
    double.faults([{"effect": code, "message": said}])

    error = failure(models)

    assert (error.kind, error.denied) == (K.FATAL, True)
    assert advice in str(error)
    assert "resume" in str(error)


@pytest.mark.parametrize(
    ("code", "said", "kind", "advice"),
    [
        (
            "ResourceNotFoundException",
            (
                "This model version has reached the end of its life. Please refer to the AWS"
                " documentation for more details."
            ),
            K.FATAL,
            "choose another model",
        ),
        (
            "ResourceNotFoundException",
            (
                "Access denied. This Model is marked by provider as Legacy and you have not been"
                " actively using the model in the last 30 days."
            ),
            K.FATAL,
            "choose another model",
        ),
        (
            "ValidationException",
            (
                f"Invocation of model ID {MODEL} with on-demand throughput isn't supported. Retry"
                " your request with the ID or ARN of an inference profile that contains this model."
            ),
            K.FATAL,
            "prefix of an inference profile",
        ),
        # Of this request alone, whatever its words:
        ("ValidationException", "The marketplace is closed.", K.REJECTED, "correct the prompt"),
        ("ValidationException", "Grammar compilation timed out.", K.REJECTED, "correct the prompt"),
    ],
)
def test_f12_a_model_that_is_not_there_says_what_to_choose(
    models: ModelClient, double: BedrockDouble, code: str, said: str, kind: K, advice: str
) -> None:
    double.faults([{"effect": code, "message": said}])

    error = failure(models)

    assert (error.kind, error.denied) == (kind, False)
    assert advice in str(error)


def test_f12_nothing_is_read_out_of_a_prompt(models: ModelClient, double: BedrockDouble) -> None:
    quoted = "You don't have access to the model with the specified model ID."
    double.faults([{"effect": "ResourceNotFoundException", "message": f"no: {quoted}"}])

    with pytest.raises(ModelError) as caught:
        models.converse(request(f"Explain to a child: {quoted}"))

    assert not caught.value.denied
    assert "administrator" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "Grammar compilation timed out.",
        "Schema is too complex.",
        "The compiled grammar is too large, which would cause performance issues.",
        "Schemas contains too many parameters with union types (17, limit: 16).",
    ],
)
def test_f12_a_schema_that_can_not_be_compiled_is_known(
    models: ModelClient, double: BedrockDouble, said: str
) -> None:
    double.faults([{"effect": "ValidationException", "message": said}])
    with pytest.raises(SchemaRefusedError) as caught:
        models.converse(request(output_schema={"type": "string"}))

    assert caught.value.kind is K.REJECTED


def test_a_refusal_says_what_the_service_said(models: ModelClient, double: BedrockDouble) -> None:
    said = "Retry your request with the ID of an\n inference profile that contains this model."
    double.faults([{"effect": "ValidationException", "message": said}])

    assert "an inference profile that contains this model." in str(failure(models))


@pytest.mark.parametrize("quoted", [PROMPT, SYSTEM, "the lighthouse of the island"])
@pytest.mark.parametrize("code", ["ValidationException", "ModelErrorException"])
def test_no_error_repeats_a_prompt(
    models: ModelClient, double: BedrockDouble, quoted: str, code: str
) -> None:
    double.faults([{"effect": code, "message": f"Value '{quoted}' is not allowed"}])

    error = failure(models, request(system=SYSTEM))

    assert quoted not in "".join(traceback.format_exception(error))
    assert code in str(error)


def test_a_short_prompt_is_not_repeated_either(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "ValidationException", "message": "Value 'my PIN 1234' is bad"}])

    error = failure(models, request("my PIN 1234"))

    assert "1234" not in "".join(traceback.format_exception(error))


# ── requests that never leave ──────────────────────────────────────────────────────────────────


def test_a_request_that_botocore_refuses_is_rejected(double: BedrockDouble) -> None:
    error = failure(on_boto3(double.url), request(stop=(["secret words"],)))

    assert error.kind is K.REJECTED
    assert "secret words" not in "".join(traceback.format_exception(error))
    assert double.calls == 0


def test_missing_credentials_are_fatal(
    double: BedrockDouble, monkeypatch: pytest.MonkeyPatch, models_for: Client
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    error = tried(
        open_bedrock()
        if models_for is on_a_loop
        else BedrockModels(lambda _: create_bedrock_client(concurrency=1))
    )

    assert error.kind is K.FATAL
    assert "credentials" in str(error)
    assert error.service_code == "NoCredentialsError"
    assert double.calls == 0


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_refused_connection_was_not_sent(models_for: Client) -> None:
    error = tried(models_for(f"http://127.0.0.1:{closed_port()}"))

    assert (error.kind, error.service_code) == (K.NOT_SENT, "EndpointConnectionError")


def test_a_connect_timeout_was_not_sent(models_for: Client) -> None:
    # A listener that accepts nothing: once its queue is full, Linux drops further SYNs.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        error = tried(models_for(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        for filler in fillers:
            filler.close()

    assert (error.kind, error.service_code) == (K.NOT_SENT, "ConnectTimeoutError")


def test_a_dead_proxy_was_not_sent(double: BedrockDouble, models_for: Client) -> None:
    error = tried(models_for(double.url, proxy=f"http://127.0.0.1:{closed_port()}"))

    assert (error.kind, error.service_code) == (K.NOT_SENT, "ProxyConnectionError")
    assert double.calls == 0


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """Shows a certificate that nobody signed to one client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def refuse_one() -> None:
            peer, _ = listener.accept()
            with peer, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(peer, server_side=True).recv(1)

        thread = threading.Thread(target=refuse_one)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_refused_certificate_was_not_sent(tmp_path: Path, models_for: Client) -> None:
    with tls_server(tmp_path) as url:
        error = tried(models_for(url))

    assert (error.kind, error.service_code) == (K.NOT_SENT, "SSLError")


@pytest.mark.parametrize(("way", "kind"), [(on_boto3, K.IN_DOUBT), (on_a_loop, K.NOT_SENT)])
def test_any_other_tls_fault_is_in_doubt_for_who_can_not_tell_when_it_was(
    double: BedrockDouble, way: Client, kind: K
) -> None:
    error = tried(way(double.url.replace("http:", "https:")))

    assert (error.kind, error.service_code) == (kind, "SSLError")


# ── replies that never arrive, or arrive broken ────────────────────────────────────────────────


def test_a_read_timeout_is_in_doubt_and_one_request(
    double: BedrockDouble, models_for: Client
) -> None:
    double.faults([{"effect": "timeout"}])

    error = tried(models_for(double.url, read_timeout=0.2))

    assert (error.kind, error.service_code) == (K.IN_DOUBT, "ReadTimeoutError")
    assert double.calls == 1
    assert double.stats()["paid"] == 1


@pytest.mark.parametrize(("effect", "paid"), [("reset_before_read", 0), ("reset_before_reply", 1)])
def test_a_reset_is_in_doubt_and_one_request(
    models: ModelClient, double: BedrockDouble, effect: str, paid: int
) -> None:
    double.faults([{"effect": effect}])

    error = failure(models)

    assert (error.kind, error.service_code) == (K.IN_DOUBT, "ConnectionClosedError")
    assert double.calls == 1
    assert double.stats()["paid"] == paid


def test_a_reply_that_ends_too_early_is_in_doubt(
    models: ModelClient, double: BedrockDouble
) -> None:
    double.faults([{"effect": "truncated"}])

    assert failure(models).kind is K.IN_DOUBT
    assert double.calls == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "17",
        '"text"',
        "<html>",
        '{"output": {"mess',
        "{}",
        '{"output": {"message": {"content": "x"}}}',
        '{"output": {"message": {"content": [{"text": 5}]}}}',
    ],
)
def test_a_200_that_is_no_completion_is_in_doubt(
    models: ModelClient, double: BedrockDouble, body: str
) -> None:
    double.faults([{"effect": "malformed_json", "text": body}])

    assert failure(models).kind is K.IN_DOUBT
    assert double.calls == 1


# ── schemas ────────────────────────────────────────────────────────────────────────────────────

REVIEW = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Review",
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 5, "maxLength": 500, "description": "the review"},
        "stars": {"type": "integer", "minimum": 0, "maximum": 99},
        "minimum": {"type": ["number", "null"], "default": 1},
        "mood": {"enum": ["glad", "sad"]},
        "since": {"const": date(2026, 1, 2)},
        "tags": {"type": "array", "items": {"type": "string", "pattern": ".+"}, "minItems": 1},
        "author": {"anyOf": [{"type": "object", "properties": {"name": {"type": "string"}}}]},
    },
    "required": ["text", "stars"],
    "additionalProperties": True,
}


def test_a_schema_is_reduced_to_what_bedrock_takes(
    models: ModelClient, double: BedrockDouble
) -> None:
    form = for_service(REVIEW)
    reply = models.converse(request(output_schema=form.schema))

    text_format = double.requests[0].body["outputConfig"]["textFormat"]
    assert text_format["type"] == "json_schema"
    assert text_format["structure"]["jsonSchema"]["name"] == "output"
    sent = json.loads(text_format["structure"]["jsonSchema"]["schema"])
    assert sent == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "the review"},
            "stars": {"type": "integer"},
            "minimum": {"type": ["number", "null"]},
            "mood": {"anyOf": [{"enum": ["glad", "sad"]}, {"type": "null"}]},
            "since": {"anyOf": [{"const": "2026-01-02"}, {"type": "null"}]},
            "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "author": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"name": {"type": "string"}},
                        "required": [],
                        "additionalProperties": False,
                    },
                    {"type": "null"},
                ]
            },
        },
        "required": ["text", "stars", "minimum", "mood", "since", "tags", "author"],
        "additionalProperties": False,
    }
    assert list(sent["properties"]) == list(REVIEW["properties"])  # type: ignore[call-overload]
    jsonschema_rs.validate(sent, json.loads(reply.text))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": ["object", "null"]},
        {"type": "array"},
        {"type": "array", "items": True},
        {"$ref": "#/$defs/a", "$defs": {"b": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"anyOf": [{"type": "string"}, {}]},
        {"oneOf": [{"type": "string"}], "anyOf": [{"type": "string"}]},
    ],
)
def test_a_schema_that_bedrock_cannot_express_is_not_sent(
    models: ModelClient, double: BedrockDouble, schema: dict[str, object]
) -> None:
    form = for_service(schema)
    assert (form.way, form.schema) == (Way.WORDS, None)
    assert form.reason
    assert json.dumps(schema, separators=(",", ":")) in form.instruction

    models.converse(request(output_schema=form.schema))

    assert "outputConfig" not in double.requests[0].body


# ── the double itself ──────────────────────────────────────────────────────────────────────────


def control(url: str, path: str, document: object = None) -> dict[str, object]:
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(f"{url}{path}", body, timeout=5) as answer:  # noqa: S310
        loaded: dict[str, object] = json.load(answer)
    return loaded


def test_the_double_runs_as_a_process_with_a_control_plane() -> None:
    command = [sys.executable, bedrock_double.__file__, "--port", "0", "--latency-ms", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        models = on_a_loop(url)
        control(url, "/__faults", [{"effect": "ModelErrorException", "prompt": "Item", "every": 5}])

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda n: outcome(models, f"Item {n}"), range(20)))
        stats = control(url, "/__stats")
        outcome(models, "Item 0")
        again = control(url, "/__stats")
        control(url, "/__reset", {})
        after = control(url, "/__stats")
        process.terminate()

    assert process.returncode == 0
    assert outcomes.count(K.MODEL_FAILED) == 4
    assert (stats["received"], stats["answered"], stats["paid_twice"]) == (20, 16, 0)
    assert isinstance(stats["max_in_flight"], int)
    assert 2 <= stats["max_in_flight"] <= 8
    assert (again["received"], again["paid"]) == (21, 17)
    assert (after["received"], after["usage"]) == (0, {})


def outcome(models: ModelClient, text: str) -> ModelErrorKind | None:
    try:
        models.converse(request(text))
    except ModelError as error:
        return error.kind
    return None


def test_rules_choose_by_model_and_stop_after_their_times(
    models: ModelClient, double: BedrockDouble
) -> None:
    double.faults([{"effect": "ThrottlingException", "model": MODEL, "times": 2}])

    kinds = [outcome(models, f"Item {number}") for number in range(4)]
    models.converse(request(model="us.amazon.nova-lite-v1:0"))

    assert kinds == [K.THROTTLED, K.THROTTLED, None, None]
    stats = double.stats()
    assert stats["usage_by_model"].keys() == {MODEL, "us.amazon.nova-lite-v1:0"}
    assert stats["in_flight"] == 0


def test_a_client_that_hangs_up_leaves_no_call_in_flight(double: BedrockDouble) -> None:
    double.faults([{"effect": "timeout", "times": 1}])
    models = on_a_loop(double.url, read_timeout=0.2)

    failure(models)

    assert models.converse(request()).text
    # The hang-up came before the second call; the double has seen it when it answered that.
    assert double.stats()["in_flight"] == 0

"""OpenAI-compatible servers through real HTTP: requests, replies, and what every failure means.

The double is the one of Bedrock, behind both of OpenAI's families; each attempt has to be one HTTP
request.
"""

import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from runtime.domain.errors import ConfigurationError, ModelError, ModelErrorKind, SchemaRefusedError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import Message, ModelClient, ModelRequest, Usage
from runtime.domain.roles import Role
from runtime.models.provider_file import ServerSettings
from runtime.models.servers import open_server
from runtime.models.transport.exchange import WireFault
from runtime.models.transport.hooks import EVERY_CALL
from runtime.models.wire import WireReply, WireRequest
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.model_calls import no_call_past_the_hook

PROMPT = "Describe the lighthouse of the island in two sentences."
SYSTEM = "You are a patient keeper of lighthouses."
MODEL = "openai/meta-llama/Llama-3.1-8B"
STARS = {
    "type": "object",
    "properties": {"stars": {"type": "integer"}},
    "required": ["stars"],
    "additionalProperties": False,
}
K = ModelErrorKind


def settings(url: str, api: Api = Api.CHAT, **fields: Any) -> ServerSettings:
    return ServerSettings(name="openai", base_url=f"{url}/v1", api=api, **fields)


def opened(url: str, api: Api = Api.CHAT, **fields: Any) -> ModelClient:
    return open_server(settings(url, api, **fields), {"KEY": "sk-secret"})


@pytest.fixture(scope="module")
def running() -> Iterator[BedrockDouble]:
    with BedrockDouble() as double:
        yield double


@pytest.fixture
def double(running: BedrockDouble) -> Iterator[BedrockDouble]:
    running.reset()
    with no_call_past_the_hook(running):
        yield running


@pytest.fixture(scope="module", params=[Api.CHAT, Api.RESPONSES])
def models(running: BedrockDouble, request: pytest.FixtureRequest) -> Iterator[ModelClient]:
    client = opened(running.url, request.param)
    yield client
    client.close()


@pytest.fixture(scope="module")
def chat(running: BedrockDouble) -> Iterator[ModelClient]:
    client = opened(running.url)
    yield client
    client.close()


def ask(text: str = PROMPT, **fields: Any) -> ModelRequest:
    messages = (Message(role=Role.USER, text=text),)
    values: dict[str, Any] = {"model": MODEL, "messages": messages, "max_tokens": 128}
    return ModelRequest(**{**values, **fields})


def failure(models: ModelClient, wanted: ModelRequest | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        models.converse(wanted or ask())
    return caught.value


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def test_a_request_becomes_one_chat_completion(chat: ModelClient, double: BedrockDouble) -> None:
    conversation = (
        Message(role=Role.USER, text=PROMPT),
        Message(role=Role.ASSISTANT, text="It is white."),
        Message(role=Role.USER, text="And its lamp?"),
    )

    reply = chat.converse(
        ask(messages=conversation, system=SYSTEM, temperature=1.5, top_p=0.9, stop=("END",), seed=7)
    )

    assert reply.text
    assert reply.stop_reason == "end_turn"
    (sent,) = double.requests
    assert sent.body == {
        "model": "meta-llama/Llama-3.1-8B",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "content": "It is white."},
            {"role": "user", "content": "And its lamp?"},
        ],
        "max_tokens": 128,
        "temperature": 1.5,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
    }
    assert "authorization" not in sent.headers


def test_a_request_becomes_one_response_that_is_not_stored(double: BedrockDouble) -> None:
    models = opened(double.url, Api.RESPONSES)

    reply = models.converse(ask(system=SYSTEM, output_schema=STARS))

    assert reply.stop_reason == "end_turn"
    (sent,) = double.requests
    assert sent.body == {
        "model": "meta-llama/Llama-3.1-8B",
        "input": [{"role": "user", "content": PROMPT}],
        "instructions": SYSTEM,
        "max_output_tokens": 128,
        "store": False,
        "text": {
            "format": {"type": "json_schema", "name": "output", "strict": True, "schema": STARS}
        },
    }
    models.close()


def test_what_a_server_is_told_beside_it(double: BedrockDouble) -> None:
    extra = {"provider": {"require_parameters": True}}
    models = opened(
        double.url,
        key="KEY",
        headers={"x-title": "Seedwright"},
        limit_field="max_completion_tokens",
        seed=False,
        extra=extra,
    )

    models.converse(ask(output_schema=STARS))

    (sent,) = double.requests
    assert sent.headers["authorization"] == "Bearer sk-secret"
    assert sent.headers["x-title"] == "Seedwright"
    assert sent.body["provider"] == extra["provider"]
    assert sent.body["max_completion_tokens"] == 128
    assert sent.body["response_format"]["json_schema"]["schema"] == STARS
    assert sent.body.keys().isdisjoint({"max_tokens", "seed"})
    models.close()


def test_a_key_has_the_header_that_the_server_wants(double: BedrockDouble) -> None:
    models = opened(double.url, key="KEY", key_header="api-key")

    models.converse(ask())

    (sent,) = double.requests
    assert sent.headers["api-key"] == "sk-secret"
    assert "authorization" not in sent.headers
    models.close()


def test_a_key_that_is_missing_or_would_be_seen_is_refused() -> None:
    away = ServerSettings(name="far", base_url="https://far.example/v1", key="NONE")
    with pytest.raises(ConfigurationError, match=r"far at far\.example wants a key: set NONE"):
        open_server(away, {})
    clear = replace(away, base_url="http://far.example/v1", key="KEY")
    with pytest.raises(ConfigurationError, match="would carry the key in the clear"):
        open_server(clear, {"KEY": "sk"})
    open_server(replace(away, free=True), {}).close()


def test_openai_itself_gets_the_field_that_its_models_take() -> None:
    for url, field in (
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://notopenai.example/v1", "max_tokens"),
    ):
        client: Any = open_server(
            ServerSettings(name="openai", base_url=url, key="KEY"), {"KEY": "sk"}
        )
        assert field.encode() in client._families[Api.CHAT].encode(ask()).body
        client.close()


def test_unicode_and_lone_surrogates_go_both_ways(chat: ModelClient, double: BedrockDouble) -> None:
    text = 'Zürich, 漢字, 🌊 \t \u2028 \\ " e\u0301'
    double.faults([{"text": text}])

    assert chat.converse(ask(f"{text}\ud800")).text == text
    assert double.requests[0].body["messages"][0]["content"] == f"{text}\ufffd"


# ── replies ────────────────────────────────────────────────────────────────────────────────────


def test_cached_tokens_are_taken_out_of_the_prompts(
    models: ModelClient, double: BedrockDouble
) -> None:
    usage = {"inputTokens": 30, "outputTokens": 12, "cacheReadInputTokens": 70}
    double.faults([{"usage": usage}])

    reply = models.converse(ask())

    assert reply.usage == Usage(input_tokens=30, output_tokens=12, cache_read_tokens=70)


def test_a_reply_that_was_cut_or_filtered_says_so(
    models: ModelClient, double: BedrockDouble
) -> None:
    assert models.converse(ask(max_tokens=2)).stop_reason == "max_tokens"
    double.faults([{"stop_reason": "content_filtered"}])
    assert models.converse(ask()).stop_reason == "content_filtered"


def test_a_reply_without_usage_has_no_bill(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "no_usage"}])
    assert models.converse(ask()).usage is None


def test_a_reply_may_be_large(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "huge"}])
    assert len(models.converse(ask()).text) == 4 * 2**20


def said(double: BedrockDouble, body: dict[str, Any]) -> None:
    double.faults([{"effect": "said", "status": 200, "body": body}])


MESSAGES: list[tuple[dict[str, Any], tuple[str, str | None, str]]] = [
    # openai-python src/openai/types/chat/chat_completion_message.py
    ({"content": None, "refusal": "I can't."}, ("I can't.", None, "refusal")),
    # vLLM and llama.cpp
    ({"content": "4", "reasoning_content": "2 + 2"}, ("4", "2 + 2", "end_turn")),
    # Ollama openai/openai.go, OpenRouter
    ({"content": "4", "reasoning": "2 + 2"}, ("4", "2 + 2", "end_turn")),
    # Mistral's thinking models: content in parts
    (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "2 + 2"}]},
                {"type": "text", "text": "4"},
            ]
        },
        ("4", "2 + 2", "end_turn"),
    ),
]


@pytest.mark.parametrize(("message", "read"), MESSAGES)
def test_what_a_message_of_a_chat_says(
    chat: ModelClient,
    double: BedrockDouble,
    message: dict[str, Any],
    read: tuple[str, str | None, str],
) -> None:
    said(double, {"choices": [{"message": message, "finish_reason": "stop"}]})
    reply = chat.converse(ask())
    assert (reply.text, reply.reasoning, reply.stop_reason) == read


def test_what_the_items_of_a_response_say(double: BedrockDouble) -> None:
    """openai-python src/openai/types/responses: reasoning, message, refusal."""
    models = opened(double.url, Api.RESPONSES)
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "2 + 2"}]}
    text = {"type": "message", "content": [{"type": "output_text", "text": "4"}]}
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}

    said(double, {"status": "completed", "output": [thought, text]})
    reply = models.converse(ask())
    assert (reply.text, reply.reasoning, reply.stop_reason) == ("4", "2 + 2", "end_turn")
    said(double, {"status": "completed", "output": [refusal]})
    reply = models.converse(ask())
    assert (reply.text, reply.stop_reason) == ("I can't.", "refusal")
    said(double, {"status": "failed", "error": None, "output": []})
    assert failure(models).kind is K.MODEL_FAILED
    models.close()


# ── failures ───────────────────────────────────────────────────────────────────────────────────

FAILURES: list[tuple[RuleDocument, ModelErrorKind]] = [
    ({"effect": "ThrottlingException"}, K.THROTTLED),
    ({"effect": "insufficient_quota"}, K.NO_CREDIT),
    ({"effect": "credits", "status": 402}, K.NO_CREDIT),
    ({"effect": "invalid_api_key"}, K.FATAL),
    ({"effect": "AccessDeniedException"}, K.FATAL),
    ({"effect": "ResourceNotFoundException"}, K.FATAL),
    ({"effect": "ValidationException"}, K.REJECTED),
    ({"effect": "context_length_exceeded"}, K.TOO_LONG),
    ({"effect": "content_filter"}, K.FILTERED),
    ({"effect": "InternalServerException"}, K.SERVER_FAULT),
    ({"effect": "InternalServerException", "status": 502}, K.SERVER_FAULT),
    ({"effect": "ServiceUnavailableException"}, K.UNAVAILABLE),
    ({"effect": "ServiceUnavailableException", "status": 529}, K.UNAVAILABLE),
    ({"effect": "ModelTimeoutException"}, K.IN_DOUBT),
    ({"effect": "ModelTimeoutException", "status": 504}, K.IN_DOUBT),
    ({"effect": "html", "status": 502}, K.SERVER_FAULT),
    ({"effect": "html", "status": 404}, K.FATAL),
    ({"effect": "moved", "status": 307, "headers": {"location": "/v2"}}, K.FATAL),
    ({"effect": "malformed_json"}, K.IN_DOUBT),
    ({"effect": "malformed_json", "text": "[]"}, K.IN_DOUBT),
    ({"effect": "malformed_json", "text": "{}"}, K.IN_DOUBT),
    ({"effect": "truncated"}, K.IN_DOUBT),
    ({"effect": "reset_before_read"}, K.IN_DOUBT),
    ({"effect": "reset_before_reply"}, K.IN_DOUBT),
]


@pytest.mark.parametrize(("rule", "kind"), FAILURES, ids=str)
def test_a_failure_has_its_kind_and_is_one_request(
    models: ModelClient, double: BedrockDouble, rule: RuleDocument, kind: ModelErrorKind
) -> None:
    double.faults([rule])

    error = failure(models)

    assert error.kind is kind
    assert double.calls == 1
    assert "\n" not in str(error)
    assert not error.timed_out


SAID: dict[str, tuple[int, dict[str, Any], ModelErrorKind]] = {
    # vllm/entrypoints/openai/engine/protocol.py: a number as the code, and words alone
    "vllm, too long": (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 4096 tokens. However, you"
                " requested 5000 tokens. Please reduce the length of the messages.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        },
        K.TOO_LONG,
    ),
    # vLLM before 0.10: the error at the top
    "old vllm, no model": (
        404,
        {"object": "error", "message": "The model `x` does not exist.", "code": 404},
        K.FATAL,
    ),
    # ggml-org/llama.cpp tools/server/server-common.cpp
    "llama.cpp, too long": (
        400,
        {"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error"}},
        K.TOO_LONG,
    ),
    # ollama/ollama openai/openai.go: a null as the code
    "ollama, no model": (
        404,
        {"error": {"message": "model 'x' not found", "type": "not_found_error", "code": None}},
        K.FATAL,
    ),
    # OpenRouterTeam/ai-sdk-provider src/schemas/error-response.test.ts, docs of its errors
    "openrouter, no credit": (
        402,
        {
            "error": {
                "message": "This request requires more credits, or fewer max_tokens.",
                "code": 402,
                "metadata": {"provider_name": None},
            },
            "user_id": "user_1",
        },
        K.NO_CREDIT,
    ),
    "openrouter, moderation": (
        403,
        {"error": {"message": "flagged", "code": 403, "metadata": {"reasons": ["violence"]}}},
        K.FILTERED,
    ),
    # BerriAI/litellm tests of Azure's exceptions: what is inside counts
    "azure, filter": (
        400,
        {
            "error": {
                "message": "The response was filtered.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        K.FILTERED,
    ),
    "azure, no deployment": (
        404,
        {"error": {"code": "DeploymentNotFound", "message": "The deployment does not exist."}},
        K.FATAL,
    ),
    "openai, words of an empty purse": (
        429,
        {"error": {"message": "You exceeded your current quota, please check your plan."}},
        K.NO_CREDIT,
    ),
    "a bare text": (400, {"error": "bad"}, K.REJECTED),
    # OpenRouter's errors after a model began come with status 200
    "openrouter, in a success": (
        200,
        {"error": {"code": 502, "message": "Provider returned error"}},
        K.MODEL_FAILED,
    ),
}


@pytest.mark.parametrize("name", SAID, ids=str)
def test_what_servers_say(models: ModelClient, double: BedrockDouble, name: str) -> None:
    status, body, kind = SAID[name]
    double.faults([{"effect": "said", "status": status, "body": body}])

    assert failure(models).kind is kind


def test_an_error_of_one_choice_is_no_completion(chat: ModelClient, double: BedrockDouble) -> None:
    for choice in (
        {"error": {"code": 502, "message": "x"}, "message": {"content": "half"}},
        {"finish_reason": "error", "message": {"content": "half"}},
    ):
        double.faults([{"effect": "said", "status": 200, "body": {"choices": [choice]}}])
        assert failure(chat).kind is K.MODEL_FAILED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        (
            {
                "date": "Sat, 28 Nov 2026 12:00:00 GMT",
                "retry-after": "Sat, 28 Nov 2026 12:01:30 GMT",
            },
            90.0,
        ),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_a_server_says_when_to_come_back(
    chat: ModelClient, double: BedrockDouble, headers: dict[str, str], seconds: float | None
) -> None:
    double.faults([{"effect": "ThrottlingException", "headers": headers}])
    error = failure(chat)
    assert (error.kind, error.retry_after) == (K.THROTTLED, seconds)


def test_who_wants_hours_has_used_up_a_quota(chat: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "ThrottlingException", "headers": {"retry-after": "86400"}}])
    assert failure(chat).kind is K.QUOTA_USED_UP
    rule: RuleDocument = {
        "effect": "ServiceUnavailableException",
        "headers": {"retry-after": "86400"},
    }
    double.faults([rule])
    error = failure(chat)
    assert (error.kind, error.retry_after) == (K.UNAVAILABLE, 600)


REFUSED_SCHEMAS: list[RuleDocument] = [
    {"effect": "ValidationException", "message": "unknown field response_format"},
    {"effect": "ValidationException", "message": "Failed to parse grammar"},
    # llama.cpp, as its server says it
    {"effect": "said", "message": "generation failed: JSON schema error at #: unrecognized type"},
    {"effect": "said", "status": 404, "message": "No endpoints take response_format"},
    {
        "effect": "said",
        "status": 422,
        "body": {"error": {"message": "bad", "param": "response_format.json_schema"}},
    },
]


@pytest.mark.parametrize("rule", REFUSED_SCHEMAS, ids=str)
def test_a_server_without_schemas_is_told_from_a_bad_prompt(
    chat: ModelClient, double: BedrockDouble, rule: RuleDocument
) -> None:
    double.faults([rule])
    assert isinstance(failure(chat, ask(output_schema=STARS)), SchemaRefusedError)
    assert not isinstance(failure(chat), SchemaRefusedError)


def test_a_key_is_named_and_never_shown(double: BedrockDouble) -> None:
    message = "Incorrect API key provided: sk-secret"
    double.faults([{"effect": "invalid_api_key", "message": message}])
    models = opened(double.url, key="KEY")

    error = failure(models)

    assert error.denied
    assert "sk-secret" not in str(error)
    assert "sk-secret" not in repr(vars(models))
    models.close()


def test_a_prompt_that_is_quoted_is_not_shown(models: ModelClient, double: BedrockDouble) -> None:
    quoting = f"Invalid request: {PROMPT}"
    double.faults([{"effect": "ValidationException", "message": quoting}])
    error = failure(models)
    assert "lighthouse" not in "".join(traceback.format_exception(error))
    assert "lighthouse" not in str(error)

    double.faults([{"effect": "ValidationException", "message": "top_k must be positive"}])
    assert "top_k must be positive" in str(failure(models))


# ── how far a request has got ──────────────────────────────────────────────────────────────────


@contextmanager
def listening(answer: Any, closed: Any = lambda: None) -> Iterator[str]:
    """A server that gives each connection to `answer`, closes it then, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        answer(connection)
                    closed()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_nobody_there_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    models = opened(url)
    error = failure(models)
    assert error.kind is K.FATAL, "tests/unit/test_server_advice.py has the rest"
    assert "nothing listens at 127.0.0.1" in str(error)
    models.close()


def test_a_name_that_leads_nowhere_is_not_sent() -> None:
    models = opened("http://a..b:1")
    error = failure(models)
    assert error.kind is K.NOT_SENT
    assert "check that it runs" in str(error)
    models.close()


def test_a_connection_that_is_closed_at_once_is_in_doubt() -> None:
    """The request may have been written before the server hung up."""
    with listening(lambda connection: connection.recv(1)) as url:
        models = opened(url)
        assert failure(models).kind is K.IN_DOUBT
        models.close()


def test_a_reply_that_comes_drop_by_drop_ends_with_the_time_that_it_has() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.03)

    with listening(drip) as url:
        models = opened(url)
        began = time.monotonic()
        error = failure(models, ask(timeout_seconds=0.3))
        took = time.monotonic() - began
        models.close()
    assert (error.kind, error.timed_out) == (K.IN_DOUBT, True)
    assert 0.25 < took < 1.5


def test_no_reply_in_time_is_presumed_spent(models: ModelClient, double: BedrockDouble) -> None:
    double.faults([{"effect": "timeout"}])
    error = failure(models, ask(timeout_seconds=0.2))
    assert (error.kind, error.timed_out) == (K.IN_DOUBT, True)
    assert "call_timeout" in str(error)
    double.faults([])
    assert models.converse(ask()).text, "the connection is not used again"


def test_a_kept_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """The server closes after each reply without saying so: the next call opens a new one."""
    calls = []
    closed = threading.Semaphore(0)
    completion = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'

    def once(connection: socket.socket) -> None:
        calls.append(connection.recv(65536))
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(completion)}\r\n\r\n"
        connection.sendall(head.encode() + completion)

    with listening(once, closed.release) as url:
        models = opened(url)
        for number in range(1, 4):
            assert models.converse(ask()).text == "hi"
            assert len(calls) == number
            assert closed.acquire(timeout=10)
        models.close()


# ── who looks on ───────────────────────────────────────────────────────────────────────────────


class Act:
    """A `WireHook` that does to a call what a test says."""

    def __init__(self, act: WireReply | Exception) -> None:
        self._act = act

    def before(self, request: ModelRequest, wire: WireRequest) -> WireReply:
        del request, wire
        if isinstance(self._act, Exception):
            raise self._act
        return self._act

    def after(
        self, request: ModelRequest, wire: WireRequest, result: WireReply | WireFault
    ) -> WireReply | WireFault:
        del request, wire
        return result


def test_who_looks_on_may_answer_or_stop_a_call(chat: ModelClient, double: BedrockDouble) -> None:
    with EVERY_CALL.watched_by(Act(WireReply(status=429))):
        assert failure(chat).kind is K.THROTTLED
    with EVERY_CALL.watched_by(Act(ValueError(PROMPT))):
        error = failure(chat)
    assert (error.kind, error.service_code) == (K.NOT_SENT, "ValueError")
    assert PROMPT not in str(error)
    assert double.calls == 0
    assert chat.converse(ask()).text

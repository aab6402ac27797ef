"""Replies of the service: any answer to a call is a reply with a true usage, or a `ModelError`."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from runtime.domain.errors import ModelError
from runtime.domain.models.calls import Message, ModelReply, ModelRequest, Usage
from runtime.domain.models.retry import RULES
from runtime.domain.roles import Role
from runtime.models.bedrock import BedrockModels
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line, pick

PROMPT: Final = "Tell nobody that the lighthouse keeper's name is Ottoline."
STATUSES: Final = (*(200,) * 12, 204, 301, 400, 403, 404, 408, 413, 424, 429, 500, 503, 504, 599)
CODES: Final = (
    *("ThrottlingException", "ValidationException", "AccessDeniedException", "ModelErrorException"),
    *("InternalServerException", "ServiceUnavailableException", "ExpiredTokenException", ""),
)
STOP_REASONS: Final = (
    *("end_turn", "max_tokens", "stop_sequence", "tool_use", "content_filtered"),
    *("guardrail_intervened", "malformed_model_output", "a new one", ""),
)
MOST_TOKENS: Final = 2**63 - 1


class _Body(io.BytesIO):
    """As urllib3's response streams."""

    def stream(self, **_: Any) -> Any:
        while chunk := self.read(65536):
            yield chunk


class Replies:
    """Bedrock's client with an answer of ours below boto3."""

    name = "replies"

    def __init__(self) -> None:
        client = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - no secret
            config=Config(retries={"total_max_attempts": 1}),
        )
        # Its stubs say that a hook gives nothing; what this one gives is the response.
        client.meta.events.register("before-send.bedrock-runtime", cast("Any", self._answer))
        self._models = BedrockModels(lambda _: client)
        self._case: Mapping[str, Any] = {}
        self._request = ModelRequest(
            model="us.amazon.nova-micro-v1:0",
            messages=(Message(role=Role.USER, text=PROMPT),),
            max_tokens=20,
        )

    def close(self) -> None:
        self._models.close()

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """An answer, most often one that is nearly right."""
        status = rng.choice(STATUSES)
        body = json.dumps(_completion(rng) if status == 200 else _error(rng))
        if rng.random() < 0.1:
            body = words.change_text(rng, body)
        return {
            "status": status,
            "code": rng.choice(CODES) if status != 200 or rng.random() < 0.05 else "",
            "body": pick(rng, (40, lambda: body), (1, lambda: ""), (1, lambda: words.text(rng))),
        }

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """One call that gets this answer."""
        self._case = case
        try:
            reply = self._models.converse(self._request)
        except ModelError as error:
            demand(error.kind in RULES, f"no rule for {error.kind}")
            one_line(str(error))
            pieces = (PROMPT[at : at + 16] for at in range(len(PROMPT) - 15))
            demand(not any(piece in str(error) for piece in pieces), "the prompt is quoted")
            return f"refused: {error.kind}"
        _check_reply(reply)
        return "reply" if reply.usage else "reply without usage"

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        status = self._case["status"]
        headers = {"content-type": "application/json", "x-amzn-RequestId": "1"}
        if isinstance(self._case["code"], str) and self._case["code"]:
            headers["x-amzn-ErrorType"] = self._case["code"]
        body = str(self._case["body"]).encode(errors="surrogatepass")
        code = status if isinstance(status, int) and 100 <= status < 1000 else 200
        return AWSResponse(request.url, code, cast("Any", headers), _Body(body))


def _check_reply(reply: ModelReply) -> None:
    demand(isinstance(reply.text, str), f"a text that is {type(reply.text).__name__}")
    demand(reply.reasoning is None or isinstance(reply.reasoning, str), "reasoning is no text")
    demand(
        isinstance(reply.stop_reason, str),
        f"a stop reason that is {type(reply.stop_reason).__name__}",
    )
    for each in (reply.text, reply.reasoning or "", reply.stop_reason):
        try:
            each.encode()
        except UnicodeEncodeError:
            demand(holds=False, problem="half of a surrogate pair")
    if reply.usage is not None:
        _check_usage(reply.usage)


def _check_usage(usage: Usage) -> None:
    for field in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        tokens = getattr(usage, field)
        demand(type(tokens) is int, f"{field} is {type(tokens).__name__}")
        demand(0 <= tokens <= MOST_TOKENS, f"{field} is {tokens}")


def _completion(rng: Random) -> Any:
    content = [_block(rng) for _ in range(1 + words.short(rng) // 2)]
    message: Any = {"role": "assistant", "content": content}
    completion: dict[str, Any] = {
        "output": {"message": message},
        "stopReason": rng.choice(STOP_REASONS),
        "usage": _usage(rng),
        "metrics": {"latencyMs": 5},
    }
    if rng.random() < 0.25:
        completion.pop(rng.choice(list(completion)))
    return words.change(rng, completion) if rng.random() < 0.3 else completion


def _block(rng: Random) -> Any:
    return pick(
        rng,
        (8, lambda: {"text": words.text(rng)}),
        (2, lambda: {"reasoningContent": {"reasoningText": {"text": words.text(rng)}}}),
        (1, lambda: {"reasoningContent": {"redactedContent": "AAAA"}}),
        (1, lambda: {"toolUse": {"toolUseId": "1", "name": "x", "input": words.value(rng)}}),
        (1, lambda: {words.name(rng): words.value(rng)}),
        (1, lambda: words.value(rng)),
    )


def _usage(rng: Random) -> Any:
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    usage: dict[str, Any] = {name: rng.randrange(2000) for name in names}
    usage["totalTokens"] = 7
    for _ in range(words.short(rng) // 2):
        odd = rng.choice(names)
        usage[odd] = pick(
            rng,
            (3, lambda: words.number(rng)),
            (2, lambda: -rng.randrange(1, 1000)),
            (1, lambda: words.value(rng)),
        )
    if rng.random() < 0.2:
        usage.pop(rng.choice(names))
    return usage if rng.random() < 0.95 else words.value(rng)


def _error(rng: Random) -> Any:
    said = rng.choice((words.text(rng), f"bad: {PROMPT}", PROMPT[5:40], "x" * 3000, "a\nb"))
    return pick(
        rng,
        (8, lambda: {rng.choice(("message", "Message")): said}),
        (1, lambda: {"__type": rng.choice(CODES), "message": words.value(rng)}),
        (1, lambda: words.value(rng)),
    )


def open_kind(_folder: Path) -> Replies:
    """The kind."""
    return Replies()

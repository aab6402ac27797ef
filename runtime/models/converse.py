"""Converse, Bedrock's own API family: what is asked, and what is read out of a reply."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParser, create_parser

from runtime.domain.jobs.record import clean_text
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.models.bedrock_errors import bedrock_error
from runtime.models.usage import usage_of
from runtime.models.wire import WireReply, WireRequest

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime.type_defs import (
        ConverseRequestTypeDef,
        InferenceConfigurationTypeDef,
    )


# ── request ────────────────────────────────────────────────────────────────────────────────────


def converse_arguments(request: ModelRequest) -> "ConverseRequestTypeDef":
    """The arguments of a boto3 client's `converse`."""
    inference: InferenceConfigurationTypeDef = {"maxTokens": request.max_tokens}
    if request.temperature is not None:
        inference["temperature"] = request.temperature
    if request.top_p is not None:
        inference["topP"] = request.top_p
    if request.stop:
        inference["stopSequences"] = list(request.stop)
    arguments: ConverseRequestTypeDef = {
        "modelId": request.model,
        "messages": [
            {"role": message.role.value, "content": [{"text": clean_text(message.text)}]}
            for message in request.messages
        ],
        "inferenceConfig": inference,
    }
    if request.system:
        arguments["system"] = [{"text": clean_text(request.system)}]
    if request.output_schema is not None:
        # A YAML template may hold dates in an enum; `default` writes them as the text they were.
        text = json.dumps(request.output_schema, default=str)
        arguments["outputConfig"] = {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "output", "schema": text}},
            }
        }
    return arguments


# ── reply ──────────────────────────────────────────────────────────────────────────────────────


def converse_reply(response: Any) -> ModelReply:
    """Raises `KeyError` or `TypeError` when the answer is not a completion."""
    blocks = response["output"]["message"]["content"]
    return ModelReply(
        text=clean_text("".join(block.get("text") or "" for block in blocks)),
        reasoning=clean_text("\n\n".join(_thoughts(blocks))) or None,
        usage=_usage(response.get("usage")),
        stop_reason=response.get("stopReason") or "end_turn",
    )


def _thoughts(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The readable blocks of reasoning; a provider may encrypt others."""
    for block in blocks:
        content: Any = block.get("reasoningContent") or {}
        text = (content.get("reasoningText") or {}).get("text")
        if text:
            yield text


def _usage(usage: Mapping[str, object] | None) -> Usage | None:
    if not usage:
        return None
    return usage_of(
        input_tokens=usage.get("inputTokens"),
        output_tokens=usage.get("outputTokens"),
        cache_read=usage.get("cacheReadInputTokens", 0),
        cache_write=usage.get("cacheWriteInputTokens", 0),
    )


# ── over HTTP, without boto3 ───────────────────────────────────────────────────────────────────

_OPERATION: Final = "Converse"
_ERRORS_FROM: Final = 301
"""Statuses from here on are errors, as botocore has it."""


class Converse:
    """An `ApiFamily`. botocore reads what an error is, so that both ways know the same ones."""

    def __init__(self) -> None:
        self._errors: ResponseParser = create_parser("rest-json")

    def encode(self, request: ModelRequest) -> WireRequest:
        arguments: dict[str, Any] = dict(converse_arguments(request))
        model = quote(arguments.pop("modelId"), safe="-._~")
        return WireRequest(
            method="POST",
            path=f"/model/{model}/converse",
            headers={"Content-Type": "application/json"},
            body=_dump(arguments),
        )

    def decode(self, reply: WireReply, request: ModelRequest) -> ModelReply:
        if reply.status >= _ERRORS_FROM:
            raise bedrock_error(self._refusal(reply), request)
        try:
            return converse_reply(_load(reply.body))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the call was paid
            raise bedrock_error(exc, request) from None

    def _refusal(self, reply: WireReply) -> ClientError:
        headers: Any = HTTPHeaders.from_dict(reply.headers)
        parts = {"status_code": reply.status, "headers": headers, "body": reply.body}
        no_shape: Any = None  # it is the same for all operations
        return ClientError(self._errors.parse(parts, no_shape), _OPERATION)


def _dump(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # lone surrogates, which only the escapes of the standard library carry
        return json.dumps(document).encode()


def _load(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # the same
        return json.loads(body)

"""Models on Amazon Bedrock, through the Converse API.

One `converse` is at most one HTTP request, as long as the client was built with
`retries={"total_max_attempts": 1}`: Converse has no idempotency token, so a retry inside the SDK
would pay twice without anybody knowing. Retrying is the worker's business.

What a failure means, and how a user reads it, is in `bedrock_errors`.
"""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from runtime.domain.errors import ModelError, ModelErrorKind, SeedwrightError
from runtime.domain.jobs.record import clean_text
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import ModelClient, ModelReply, ModelRequest, Usage
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.models.bedrock_errors import is_quotation, model_error
from runtime.models.usage import usage_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_bedrock_runtime.type_defs import (
        ContentBlockOutputTypeDef,
        ConverseRequestTypeDef,
        ConverseResponseTypeDef,
        InferenceConfigurationTypeDef,
        TokenUsageTypeDef,
    )


_OPENAI: Final = frozenset({Api.CHAT, Api.RESPONSES})


class BedrockModels:
    """A `ModelClient` on `bedrock-runtime` clients, which must not retry by themselves.

    `open_client` makes one that waits so many seconds for a reply: botocore knows that only of a
    client. There are few, one for each limit of tokens, and the first is made at once, so that a
    missing region is known before anything is begun.

    Models whose row says so are called by OpenAI's requests, at the same endpoint.
    """

    def __init__(self, open_client: "Callable[[float], BedrockRuntimeClient]") -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._clients = {SHORTEST_SECONDS: open_client(SHORTEST_SECONDS)}
        self._server: ModelClient | None = None

    def converse(self, request: ModelRequest) -> ModelReply:
        try:
            if request.api in _OPENAI:
                return self._openai().converse(request)
            return _reply(self._client(request.timeout_seconds).converse(**_arguments(request)))
        except ModelError:
            raise
        except SeedwrightError as exc:  # nothing was sent
            raise ModelError(ModelErrorKind.FATAL, str(exc), service_code=exc.code) from exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, a call may have been paid
            # The SDK's or the service's text may quote a prompt: then no traceback shows it.
            quoting = is_quotation(exc, request)
            raise model_error(exc, request, quoting=quoting) from (None if quoting else exc)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        if self._server is not None:
            self._server.close()

    def _client(self, seconds: float) -> "BedrockRuntimeClient":
        rounded = float(math.ceil(seconds))
        with self._lock:
            if rounded not in self._clients:
                self._clients[rounded] = self._open_client(rounded)
            return self._clients[rounded]

    def _openai(self) -> ModelClient:
        from runtime.models.bedrock_server import (  # noqa: PLC0415 - few models need it
            open_bedrock_server,
        )

        with self._lock:
            if self._server is None:
                meta = self._clients[SHORTEST_SECONDS].meta
                connections: int = meta.config.max_pool_connections  # type: ignore[attr-defined]
                self._server = open_bedrock_server(meta.endpoint_url, meta.region_name, connections)
            return self._server


# ── request ────────────────────────────────────────────────────────────────────────────────────


def _arguments(request: ModelRequest) -> "ConverseRequestTypeDef":
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
            {"role": message.role.value, "content": [{"text": message.text}]}
            for message in request.messages
        ],
        "inferenceConfig": inference,
    }
    if request.system:
        arguments["system"] = [{"text": request.system}]
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


def _reply(response: "ConverseResponseTypeDef") -> ModelReply:
    """Raises `KeyError` or `TypeError` when the answer is not a completion."""
    blocks = response["output"]["message"]["content"]
    return ModelReply(
        text=clean_text("".join(block.get("text", "") for block in blocks)),
        reasoning=clean_text("\n\n".join(_thoughts(blocks))) or None,
        usage=_usage(response.get("usage")),
        stop_reason=response.get("stopReason", "end_turn"),
    )


def _thoughts(blocks: "Sequence[ContentBlockOutputTypeDef]") -> Iterator[str]:
    """The readable blocks of reasoning; a provider may encrypt others."""
    for block in blocks:
        text = block.get("reasoningContent", {}).get("reasoningText", {}).get("text")
        if text:
            yield text


def _usage(usage: "TokenUsageTypeDef | None") -> Usage | None:
    if not usage:
        return None
    return usage_of(
        input_tokens=usage.get("inputTokens"),
        output_tokens=usage.get("outputTokens"),
        cache_read=usage.get("cacheReadInputTokens", 0),
        cache_write=usage.get("cacheWriteInputTokens", 0),
    )

"""OpenAI's Chat Completions, which most servers speak: a pure codec.

Shapes were compared with vLLM (`vllm/entrypoints/openai/engine/protocol.py`), Ollama
(`openai/openai.go`), llama.cpp (`tools/server/server-common.cpp`) and OpenRouter's own provider
(`src/schemas/error-response.ts` of OpenRouterTeam/ai-sdk-provider).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.domain.jobs.record import clean_text
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.models.dialect import (
    SCHEMA_NAME,
    Dialect,
    encoded,
    read_by,
    turns_of,
    wire_name,
)
from runtime.models.openai_errors import failed_inside
from runtime.models.usage import usage_from
from runtime.models.wire import WireReply, WireRequest

_SEEDS: Final = 2**31
"""Some servers keep a seed in 32 bits with a sign."""

_STOP_REASONS: Final = {
    None: "end_turn",
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "content_filtered",
    "tool_calls": "malformed_tool_use",
    "function_call": "malformed_tool_use",
}
"""In Converse's words. Nobody asked for a tool."""


class ChatCompletions:
    """An `ApiFamily`."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def encode(self, request: ModelRequest) -> WireRequest:
        messages = turns_of(request)
        if request.system:
            messages.insert(0, {"role": "system", "content": clean_text(request.system)})
        body: dict[str, object] = {
            "model": wire_name(self._dialect, request),
            "messages": messages,
            self._dialect.limit_field: request.max_tokens,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.stop:
            body["stop"] = list(request.stop)
        if self._dialect.sends_seed:
            body["seed"] = request.seed % _SEEDS
        if request.output_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": SCHEMA_NAME,
                    "strict": True,
                    "schema": request.output_schema,
                },
            }
        return encoded(self._dialect, "/chat/completions", body)

    def decode(self, reply: WireReply, request: ModelRequest) -> ModelReply:
        return read_by(self._read, self._dialect, reply, request)

    def _read(self, document: Mapping[str, Any], request: ModelRequest) -> ModelReply:
        choice = document["choices"][0]
        reason = choice.get("finish_reason")
        if choice.get("error") or reason == "error":  # OpenRouter's, of the provider behind it
            error = choice.get("error")
            given = error if isinstance(error, Mapping) else {}
            raise failed_inside(given, request, self._dialect.server)
        message = choice["message"]
        text, thoughts = _texts(message.get("content"))
        refusal = message.get("refusal")
        reasoning = message.get("reasoning_content") or message.get("reasoning") or thoughts
        return ModelReply(
            text=clean_text(text or (refusal if isinstance(refusal, str) else "")),
            reasoning=clean_text(reasoning) or None if isinstance(reasoning, str) else None,
            usage=_usage(document.get("usage")),
            stop_reason="refusal" if refusal else _STOP_REASONS.get(reason, str(reason)),
        )


def _texts(content: str | Sequence[Mapping[str, Any]] | None) -> tuple[str, str]:
    """The text of a reply and the thoughts in it: content may come in parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    said = [part.get("text") or "" for part in content if part.get("type") != "thinking"]
    thoughts = [_texts(part["thinking"])[0] for part in content if part.get("type") == "thinking"]
    return "".join(said), "".join(thoughts)


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    return usage_from(
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        usage.get("total_tokens"),
        usage.get("prompt_tokens_details"),
    )

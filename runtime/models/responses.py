"""OpenAI's Responses, by which its newer models are called: a pure codec.

Shapes were compared with openai-python (`src/openai/types/responses/response.py`) and vLLM
(`vllm/entrypoints/openai/responses/protocol.py`). Nothing is left with the service: `store` is
false, and a conversation goes along whole.
"""

from collections.abc import Iterator, Mapping
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

_CUT_SHORT: Final = {
    "max_output_tokens": "max_tokens",
    "content_filter": "content_filtered",
}
"""Why a response is incomplete, in Converse's words."""


class Responses:
    """An `ApiFamily`."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def encode(self, request: ModelRequest) -> WireRequest:
        body: dict[str, object] = {
            "model": wire_name(self._dialect, request),
            "input": turns_of(request),
            "max_output_tokens": request.max_tokens,
            "store": False,
        }
        if request.system:
            body["instructions"] = clean_text(request.system)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.output_schema is not None:
            body["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": SCHEMA_NAME,
                    "strict": True,
                    "schema": request.output_schema,
                }
            }
        return encoded(self._dialect, "/responses", body)

    def decode(self, reply: WireReply, request: ModelRequest) -> ModelReply:
        return read_by(self._read, self._dialect, reply, request)

    def _read(self, document: Mapping[str, Any], request: ModelRequest) -> ModelReply:
        if document.get("status") in {"failed", "cancelled"}:
            raise failed_inside({}, request, self._dialect.server)
        output = document["output"]
        refusal = "".join(_parts(output, "message", "content", "refusal"))
        text = "".join(_parts(output, "message", "content", "text"))
        summary = [*_parts(output, "reasoning", "summary", "text")]
        thoughts = [*_parts(output, "reasoning", "content", "text")] or summary
        cut = document.get("incomplete_details") or {}
        reason = str(cut.get("reason"))
        if document.get("status") == "incomplete":
            stop_reason = _CUT_SHORT.get(reason, reason)
        else:
            stop_reason = "refusal" if refusal else "end_turn"
        return ModelReply(
            text=clean_text(text or refusal),
            reasoning=clean_text("\n\n".join(thoughts)) or None,
            usage=_usage(document.get("usage")),
            stop_reason=stop_reason,
        )


def _parts(output: Any, kind: str, field: str, name: str) -> Iterator[str]:
    """The texts called `name` in the parts of every item of that kind."""
    for item in output:
        if item.get("type") == kind:
            for part in item.get(field) or ():
                if isinstance(part.get(name), str):
                    yield part[name]


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if not usage:
        return None
    return usage_from(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("total_tokens"),
        usage.get("input_tokens_details"),
    )

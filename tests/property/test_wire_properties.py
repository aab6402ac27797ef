"""Whatever a server answers, a codec gives a reply or an error of ours, and shows no prompt."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import ModelError
from runtime.domain.models.calls import Message, ModelReply, ModelRequest, Usage
from runtime.domain.roles import Role
from runtime.models.chat import ChatCompletions
from runtime.models.dialect import Dialect
from runtime.models.responses import Responses
from runtime.models.usage import usage_from
from runtime.models.wire import ApiFamily, WireReply
from tests.fixtures.openai_dialect import CHAT, as_openai

PROMPT = "The lighthouse keeper's private diary begins here."
DIALECT = Dialect(provider="openai", server="server.example")
FAMILIES: dict[str, ApiFamily] = {
    CHAT: ChatCompletions(DIALECT),
    "responses": Responses(DIALECT),
}
REQUEST = ModelRequest(
    model="openai/m", messages=(Message(role=Role.USER, text=PROMPT),), max_tokens=9
)
COMPLETION: dict[str, Any] = {
    "output": {"message": {"content": [{"text": "Hello."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 1},
}

leaves = st.none() | st.booleans() | st.integers(-2, 10**12) | st.text(max_size=8)
leaves |= st.sampled_from([PROMPT, 1.5, "length", "error", "message"])
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=12), max_size=3
)
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 422, 429, 500, 503, 999])


def decoded(family: ApiFamily, reply: WireReply) -> ModelReply | ModelError:
    try:
        return family.decode(reply, REQUEST)
    except ModelError as error:
        return error


def check(family: ApiFamily, reply: WireReply) -> None:
    found = decoded(family, reply)
    if isinstance(found, ModelError):
        assert "lighthouse" not in str(found)
        assert "\n" not in str(found)
        assert found.__cause__ is None
        assert found.retry_after is None or 0 <= found.retry_after <= 600
        return
    assert isinstance(found.text, str)
    assert found.reasoning is None or isinstance(found.reasoning, str)
    assert found.usage is None or found.usage.total >= 0


@pytest.mark.parametrize("family", FAMILIES)
@given(status=statuses, body=st.binary(max_size=40), given_headers=headers)
def test_any_bytes(family: str, status: int, body: bytes, given_headers: dict[str, str]) -> None:
    check(FAMILIES[family], WireReply(status=status, headers=given_headers, body=body))


@pytest.mark.parametrize("family", FAMILIES)
@given(status=statuses, data=st.data())
def test_a_completion_with_anything_in_any_place(
    family: str, status: int, data: st.DataObject
) -> None:
    document = as_openai(family, "m", COMPLETION)
    node: Any = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        inside = node[key]
        if not isinstance(inside, dict | list) or not inside or data.draw(st.booleans()):
            node[key] = data.draw(values)
            break
        node = inside
    check(FAMILIES[family], WireReply(status=status, body=json.dumps(document).encode()))


@pytest.mark.parametrize("family", FAMILIES)
@given(status=statuses, error=values)
def test_any_error(family: str, status: int, error: object) -> None:
    body = json.dumps({"error": error}).encode()
    check(FAMILIES[family], WireReply(status=status, body=body))


counts = st.integers(0, 10**6)


@given(prompt=counts, reply=counts, thoughts=counts, cached=counts)
def test_n3_a_bill_has_every_token_that_the_server_counted(
    prompt: int, reply: int, thoughts: int, cached: int
) -> None:
    cached = min(cached, prompt)
    usage = usage_from(prompt, reply, prompt + reply + thoughts, {"cached_tokens": cached})
    assert usage == Usage(
        input_tokens=prompt - cached, output_tokens=reply + thoughts, cache_read_tokens=cached
    )

"""Bedrock's own OpenAI-compatible side, for models that don't speak Converse.

It is the same endpoint, below `/openai/v1`, signed as every request to AWS, or with the bearer
token that Bedrock issues as an API key.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final

from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.names import BEDROCK
from runtime.models.chat import ChatCompletions
from runtime.models.dialect import Dialect
from runtime.models.http_models import Endpoint, HttpModels
from runtime.models.responses import Responses
from runtime.models.wire import WireRequest
from runtime.sdk import sign_for_bedrock

BEARER_TOKEN: Final = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - the SDK's name of a variable

_PATH: Final = "/openai/v1"


def open_bedrock_server(endpoint_url: str, region: str, connections: int) -> ModelClient:
    """A client of the endpoint by Chat Completions and Responses."""
    dialect = Dialect(
        provider=BEDROCK, server="Bedrock", limit_field="max_completion_tokens", sends_seed=False
    )
    base_url = f"{endpoint_url.rstrip('/')}{_PATH}"
    return HttpModels(
        Endpoint(base_url=base_url, server="Bedrock", authorize=_authorization(base_url, region)),
        families={Api.CHAT: ChatCompletions(dialect), Api.RESPONSES: Responses(dialect)},
        usual=Api.CHAT,
        connections=connections,
    )


def _authorization(base_url: str, region: str) -> Callable[[WireRequest], Mapping[str, str]]:
    token = os.environ.get(BEARER_TOKEN)
    if token:
        return lambda _wire: {"authorization": f"Bearer {token}"}
    sign = sign_for_bedrock(region)
    return lambda wire: sign(wire.method, f"{base_url}{wire.path}", wire.headers, wire.body)

"""What differs between servers of one API family, and what both of OpenAI's families share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from runtime.domain.errors import ModelError
from runtime.domain.jobs.record import clean_text
from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.domain.models.names import name_at
from runtime.models.openai_errors import error_in, failed_inside, refused, unreadable
from runtime.models.wire import WireReply, WireRequest

_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}

SCHEMA_NAME: Final = "output"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """`provider` is the provider's name here, `server` what users read of it,
    `base_path` where its endpoints are below the provider's base URL.

    `limit_field` is where Chat Completions say how long a reply may be: OpenAI's own models refuse
    `max_tokens`, and Ollama ignores everything else, so that a reply had no end. `extra` are fields
    of every request. `about_key` is what to do where the server wants another key.
    """

    provider: str
    server: str
    base_path: str = ""
    limit_field: str = "max_tokens"
    sends_seed: bool = True
    extra: Mapping[str, object] = field(default_factory=dict)
    about_key: str = ""


def encoded(dialect: Dialect, path: str, body: Mapping[str, object]) -> WireRequest:
    """The request with this body, as it goes to the server."""
    # A YAML template may hold dates in an enum; `default` writes them as the text they were.
    data = orjson.dumps({**dialect.extra, **body}, default=str)
    return WireRequest(
        method="POST", path=f"{dialect.base_path}{path}", headers=_HEADERS, body=data
    )


def wire_name(dialect: Dialect, request: ModelRequest) -> str:
    """What the server calls the model."""
    return name_at(dialect.provider, request.model)


def turns_of(request: ModelRequest) -> list[dict[str, object]]:
    """The messages of a conversation, as both families have them."""
    return [
        {"role": message.role.value, "content": clean_text(message.text)}
        for message in request.messages
    ]


def completion_in(dialect: Dialect, reply: WireReply, request: ModelRequest) -> Mapping[str, Any]:
    """The document of a success. Raises `ModelError` for everything else."""
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP's own classes
        raise refused(reply, request, dialect.server, about_key=dialect.about_key)
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        # Not chained: the parser's error holds the text.
        raise unreadable(request, dialect.server) from None
    if not isinstance(document, dict):
        raise unreadable(request, dialect.server)
    if document.get("error"):
        raise failed_inside(error_in(document), request, dialect.server)
    return document


def read_by(
    read: Callable[[Mapping[str, Any], ModelRequest], ModelReply],
    dialect: Dialect,
    reply: WireReply,
    request: ModelRequest,
) -> ModelReply:
    """`read` applied to the document of a success. Raises `ModelError` where it finds no completion
    in it.
    """
    document = completion_in(dialect, reply, request)
    try:
        return read(document, request)
    except ModelError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError):
        raise unreadable(request, dialect.server) from None

"""One call of a model: what is asked, what comes back, and the port that makes the call.

Sizes are tokens as the provider bills them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runtime.domain.errors import ModelError
from runtime.domain.models.abilities import Api
from runtime.domain.models.timeouts import SHORTEST_SECONDS
from runtime.domain.roles import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    role: Role
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """One paid attempt. `messages` alternate and begin with the user's.

    `output_schema` (JSON Schema, in the form that the provider takes) is set only for models that
    constrain their output to it.
    `stop` are texts that end the reply, and are not part of it.
    `seed` makes a sampler repeatable where a model has one to set; others ignore it.
    `timeout_seconds` is how long the reply is waited for.
    `api` is the family of requests that the model is called by; None: its provider's usual one.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    output_schema: Mapping[str, object] | None = None
    seed: int = 0
    timeout_seconds: float = SHORTEST_SECONDS
    api: Api | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Billed tokens of one call. `input_tokens` excludes what the cache served or stored."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    @property
    def total(self) -> int:
        """All tokens of the call."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReply:
    """A completion. `usage` is None when the provider did not say (then the worst case is paid).

    `stop_reason` is Converse's word: end_turn, stop_sequence, max_tokens, … `reasoning` is what
    the provider keeps apart from the text.
    """

    text: str
    usage: Usage | None
    stop_reason: str = "end_turn"
    reasoning: str | None = None


class ModelClient(Protocol):
    """Calls a model once. Thread safe. No retries: each call is at most one paid request."""

    def converse(self, request: ModelRequest) -> ModelReply:
        """Complete `request`. Raises `ModelError`, and nothing else."""
        ...

    def close(self) -> None: ...


class BegunCall(Protocol):
    """A call that was begun in the background."""

    def withdraw(self) -> bool:
        """Take it back, if no byte of it was written: then it never ends and is not billed."""
        ...


@runtime_checkable
class BackgroundModels(ModelClient, Protocol):
    """A client that needs no thread for each call."""

    def begin(
        self, request: ModelRequest, ended: Callable[[ModelReply | ModelError], None]
    ) -> BegunCall:
        """Call a model once. `ended` is called once, from another thread, unless the call was
        withdrawn.
        """
        ...

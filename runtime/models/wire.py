"""A model call as one HTTP exchange: what is sent, what comes back, and who knows how to read it.

An API family is a pure codec. Who sends is another matter: it takes a `WireRequest`, makes one
request of it, and gives the `WireReply` back to the family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runtime.domain.models.calls import ModelReply, ModelRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class WireRequest:
    """`path` is below the provider's base URL."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class WireReply:
    """Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class ApiFamily(Protocol):
    """One way in which models are called. Does no I/O."""

    def encode(self, request: ModelRequest) -> WireRequest: ...

    def decode(self, reply: WireReply, request: ModelRequest) -> ModelReply:
        """What the reply says. Raises `ModelError`, and nothing else."""
        ...

"""A model call as one HTTP exchange: what is sent, what comes back, and who knows how to read it.

An API family is a pure codec. Who sends is another matter: it takes a `WireRequest`, makes one
request of it, and gives the `WireReply` back to the family, or says by `lost` how far it got.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from runtime.domain.errors import ModelError, ModelErrorKind
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


_NOT_SENT: Final = "no connection to {server} for {model}: check that it runs, its URL and proxy"
_REFUSED_CERTIFICATE: Final = (
    "{server} shows a certificate that nobody here trusts: check its URL, or name the bundle of"
    " authorities in AWS_CA_BUNDLE"
)
_TIMED_OUT: Final = (
    "no reply of {model} in time, the call may be billed: wait longer (call_timeout), or lower"
    " max_tokens"
)
_LOST: Final = "the reply of {model} was lost, the call may be billed: check the network"


def lost(
    model: str,
    server: str,
    *,
    written: bool,
    code: str,
    timed_out: bool = False,
    bad_certificate: bool = False,
) -> ModelError:
    """The error for an exchange that gave no reply. `written` says whether a byte of the request
    has left: if not, nobody can bill it.
    """
    if not written:
        text = _REFUSED_CERTIFICATE if bad_certificate else _NOT_SENT
        kind, timed_out = ModelErrorKind.NOT_SENT, False
    else:
        text = _TIMED_OUT if timed_out else _LOST
        kind = ModelErrorKind.IN_DOUBT
    message = f"{text.format(model=model, server=server)} ({code})"
    return ModelError(kind, message, service_code=code, timed_out=timed_out)

"""What one exchange on the event loop comes to: a reply, or a fault that says how far it got."""

from dataclasses import dataclass
from typing import Protocol

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import ModelRequest
from runtime.models.wire import WireReply, WireRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class WireFault:
    """No reply. `kind` is NOT_SENT where no byte of the request was written, else IN_DOUBT; `code`
    is botocore's name for what happened. `refused` says that nobody listens at the address, and
    `first` that no call of this client was ever answered.
    """

    kind: ModelErrorKind
    code: str
    timed_out: bool = False
    refused: bool = False
    first: bool = False


class Failures(Protocol):
    """What a provider's calls are that there is nothing to decode of."""

    def fault(self, fault: WireFault, request: ModelRequest) -> ModelError:
        """The error of a call without a reply."""
        ...

    def broken(self, error: Exception, request: ModelRequest) -> ModelError:
        """The error of a call that was stopped before a byte of it was written: no credentials, or
        a hook that refuses it.
        """
        ...


class WireHook(Protocol):
    """Sees every request just before it is written, and what came of it. It may answer itself."""

    def before(self, request: ModelRequest, wire: WireRequest) -> WireReply | WireFault | None: ...

    def after(
        self, request: ModelRequest, wire: WireRequest, result: WireReply | WireFault
    ) -> WireReply | WireFault: ...

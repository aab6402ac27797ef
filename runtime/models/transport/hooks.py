"""The one place where every model call passes, before it is written and after it has ended.

Who wants to see or to stop calls registers with the events of an AWS session, under these names, as
for every other call to AWS: `events.register(BEFORE_CALL, handler)`.
"""

from typing import Any, Final

from runtime.domain.models.calls import ModelRequest
from runtime.models.transport.exchange import WireFault
from runtime.models.wire import WireReply, WireRequest

BEFORE_CALL: Final = "before-model-call"
"""Handlers get `request` and `wire`. The first that gives a `WireReply` or a `WireFault` answers in
the place of the model; one that raises ends the call, unsent."""

AFTER_CALL: Final = "after-model-call"
"""Handlers get `request`, `wire` and `result`, and may give another result."""


class SessionEvents:
    """A `WireHook` on the events of a session."""

    def __init__(self, events: Any) -> None:
        self._events = events

    def before(self, request: ModelRequest, wire: WireRequest) -> WireReply | WireFault | None:
        answer: WireReply | WireFault | None
        _, answer = self._events.emit_until_response(BEFORE_CALL, request=request, wire=wire)
        return answer

    def after(
        self, request: ModelRequest, wire: WireRequest, result: WireReply | WireFault
    ) -> WireReply | WireFault:
        for _, other in self._events.emit(AFTER_CALL, request=request, wire=wire, result=result):
            result = other or result
        return result

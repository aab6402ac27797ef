"""The one place where every model call passes, before it is written and after it has ended.

Who wants to see or to stop all calls of the process looks on by `EVERY_CALL`. Who is about those of
one AWS session registers with its events, under these names, as for every other call to AWS:
`events.register(BEFORE_CALL, handler)`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from runtime.domain.models.calls import ModelRequest
from runtime.models.transport.exchange import WireFault, WireHook
from runtime.models.wire import WireReply, WireRequest

BEFORE_CALL: Final = "before-model-call"
"""Handlers get `request` and `wire`. The first that gives a `WireReply` or a `WireFault` answers in
the place of the model; one that raises ends the call, unsent."""

AFTER_CALL: Final = "after-model-call"
"""Handlers get `request`, `wire` and `result`, and may give another result."""


class Hooks:
    """A `WireHook` of others, some of which come and go."""

    def __init__(self, *hooks: WireHook) -> None:
        self._hooks = hooks

    @contextmanager
    def watched_by(self, hook: WireHook) -> Iterator[None]:
        """While the block runs, calls are seen by this one, too."""
        self._hooks = (*self._hooks, hook)
        try:
            yield
        finally:
            self._hooks = tuple(each for each in self._hooks if each is not hook)

    def before(self, request: ModelRequest, wire: WireRequest) -> WireReply | WireFault | None:
        for hook in self._hooks:
            answer = hook.before(request, wire)
            if answer:
                return answer
        return None

    def after(
        self, request: ModelRequest, wire: WireRequest, result: WireReply | WireFault
    ) -> WireReply | WireFault:
        for hook in self._hooks:
            result = hook.after(request, wire, result)
        return result


EVERY_CALL: Final = Hooks()
"""Of all model calls over HTTP that this process makes on the event loop."""


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

"""From an event that AWS sends to a handler of ours. What fails is logged and raised: Lambda sends
the event again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import ports_of_process
from runtime.service.observability import log_failure, observe

Event = Mapping[str, Any]
AnswerT = TypeVar("AnswerT")


class EventHandler(Generic[AnswerT]):
    """An event handler as Lambda calls it."""

    def __init__(self, operation: Callable[[Event, ApiPorts], AnswerT]) -> None:
        self.operation = operation
        self.__doc__ = operation.__doc__

    def __call__(self, event: Event, context: object = None) -> AnswerT:
        """The Lambda handler."""
        request_id = str(getattr(context, "aws_request_id", ""))
        return self.handle(event, ports_of_process(), request_id=request_id)

    def handle(self, event: Event, ports: ApiPorts, *, request_id: str = "") -> AnswerT:
        """Handle one event with these ports."""
        with observe(self.operation.__module__, request_id):
            try:
                return self.operation(event, ports)
            except Exception as error:
                log_failure("event not handled", error)
                raise


def event_handler(operation: Callable[[Event, ApiPorts], AnswerT]) -> EventHandler[AnswerT]:
    """Make a function an event handler."""
    return EventHandler(operation)

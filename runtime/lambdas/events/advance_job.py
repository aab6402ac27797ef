"""The state machine of a sharded job asks what is next; `runtime/service/rounds.py` decides."""

from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.events.event_handler import Event, event_handler
from runtime.service.rounds import Answer, next_step


@event_handler
def lambda_handler(event: Event, ports: ApiPorts) -> Answer:
    """What the state machine does next, and what it asks with the next time."""
    return next_step(ports, event)

"""The state machine of a sharded job asks what is next."""

from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.events.event_handler import Event, event_handler
from runtime.service.recovery import Counts


@event_handler
def lambda_handler(event: Event, ports: ApiPorts) -> Counts:
    """What the state machine does next."""
    raise NotImplementedError

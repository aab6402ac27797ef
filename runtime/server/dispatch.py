"""From an event of the local server to an answer of the handlers: the part of API Gateway that
knows the routes.
"""

from typing import Any

from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import Response
from runtime.lambdas.router import endpoint_of, match


class LocalDispatch:
    """The handlers with local ports. Thread safe, as they are."""

    def __init__(self, ports: ApiPorts) -> None:
        self._ports = ports

    def __call__(self, method: str, path: str, event: dict[str, Any]) -> Response:
        """Answer an event, for a method and a path that have a route."""
        found = match(method, path)
        if found is None:
            raise LookupError(f"no route for {method}")
        route, parameters = found
        routed = {**event, "routeKey": route.key, "pathParameters": parameters}
        return endpoint_of(route).respond(routed, self._ports)

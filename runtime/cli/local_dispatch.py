"""From a request of the local server to an answer of the handlers: what API Gateway does on AWS.

token ─▶ route ─▶ event (payload format 2.0) ─▶ handler
 401      404
"""

import base64
import hmac
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

from runtime.domain.api_ports import ApiPorts
from runtime.lambdas.http import Response
from runtime.lambdas.router import endpoint_of, match, methods_of

_SCHEME: Final = "bearer "


class LocalDispatch:
    """The handlers with local ports, for whoever has the token. Thread safe."""

    def __init__(self, ports: ApiPorts, *, token: str, user: str) -> None:
        self._ports = ports
        self._token = token
        self._user = user

    def __call__(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Response:
        """Answer a request. Header names are lower case."""
        found = match(method, path)
        if found is None:
            return _no_route(path)
        route, parameters = found
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": route.key,
            "rawPath": path,
            "headers": dict(headers),
            "queryStringParameters": dict(query),
            "pathParameters": parameters,
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "http": {"method": method, "path": path},
            },
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        if self._is_signed_in(headers):
            claims = {"sub": self._user}
            event["requestContext"]["authorizer"] = {"jwt": {"claims": claims}}
        return endpoint_of(route).respond(event, self._ports)

    def _is_signed_in(self, headers: Mapping[str, str]) -> bool:
        given = headers.get("authorization", "")
        token = given[len(_SCHEME) :] if given.lower().startswith(_SCHEME) else ""
        return hmac.compare_digest(token.encode(), self._token.encode())


def _no_route(path: str) -> Response:
    allowed = methods_of(path)
    status = HTTPStatus.METHOD_NOT_ALLOWED if allowed else HTTPStatus.NOT_FOUND
    message = f"{path} takes {', '.join(allowed)}" if allowed else "there is no such operation"
    error = {"code": "no_such_operation", "message": message, "details": []}
    headers = {"content-type": "application/json"}
    return {
        "statusCode": int(status),
        "headers": {**headers, "allow": ", ".join(allowed)} if allowed else headers,
        "body": orjson.dumps({"error": error}).decode(),
    }

"""A request as the event that API Gateway would make of it: HTTP API, payload format 2.0."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

_PRIVATE: Final = frozenset({"authorization"})
"""Headers that end here: nothing behind the gateway needs a token, so nothing can log one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """One request off the wire. `path` is what stands before the question mark, still quoted;
    header names are as they came, and may come twice.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    client: str
    """The client's address."""


def gateway_event(
    request: HttpRequest, *, request_id: str, now: datetime, claims: Mapping[str, str] | None
) -> dict[str, Any]:
    """The event, without what only the route says: `routeKey` and `pathParameters` are for whoever
    dispatches it. Headers and query parameters that come twice are joined by commas. A body that is
    not UTF-8 text comes in base64. `claims` is None for a caller who is not known.
    """
    headers = _joined((name.lower(), value) for name, value in request.headers)
    parameters = _joined(parse_qsl(request.query, keep_blank_values=True, errors="replace"))
    context: dict[str, Any] = {
        "accountId": "local",
        "apiId": "local",
        "domainName": headers.get("host", ""),
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.client,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "stage": "$default",
        "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now.timestamp() * 1000),
    }
    if claims is not None:
        context["authorizer"] = {"jwt": {"claims": dict(claims), "scopes": None}}
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": {name: value for name, value in headers.items() if name not in _PRIVATE},
        "requestContext": context,
        **_body(request.body),
    }
    return {**event, "queryStringParameters": parameters} if parameters else event


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes) -> dict[str, Any]:
    if not body:
        return {"isBase64Encoded": False}
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}

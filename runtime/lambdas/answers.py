"""What goes out: an answer or a refusal, as API Gateway takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

from runtime.domain.error_statuses import status_of
from runtime.domain.errors import InputError, SeedwrightError
from runtime.lambdas.api_model import ApiModel
from runtime.service.observability import count_error, log_failure

RETRY_AFTER_SECONDS: Final = 2
MAX_DETAILS: Final = 20

_OWN_FAULT: Final = "something went wrong on our side; give the request id when you report it"
_BUSY: Final = "the service is busy: try again in a moment"

Response = dict[str, Any]
"""What Lambda returns to API Gateway: statusCode, headers and body."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer that is not the endpoint's usual one. A text has its content-type in `headers`."""

    body: ApiModel | str | None
    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)


def response_of(answer: Answer, request_id: str) -> Response:
    """An answer as API Gateway takes it."""
    headers = {
        # Answers are a user's own data.
        "cache-control": "no-store",
        "x-request-id": request_id,
        **answer.headers,
    }
    if answer.body is None or isinstance(answer.body, str):
        return {
            "statusCode": int(answer.status),
            "headers": headers,
            "body": answer.body or "",
        }
    return {
        "statusCode": int(answer.status),
        "headers": {"content-type": "application/json", **headers},
        "body": answer.body.model_dump_json(),
    }


def refusal_of(error: Exception, request_id: str) -> Response:
    """What an error answers. A message is passed on only where it is meant for the user."""
    status = status_of(error)
    count_error(status)
    headers: dict[str, str] = {}
    details: list[dict[str, str]] = []
    code = error.code if isinstance(error, SeedwrightError) else SeedwrightError.code
    message = str(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_failure("request failed", error, status=int(status))
        message = _OWN_FAULT
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        code = SeedwrightError.code
    if status == HTTPStatus.BAD_GATEWAY:
        message = "the model could not be called: check the model and the account's access to it"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        message = _BUSY
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, InputError):
        shown = error.problems[:MAX_DETAILS]
        details = [{"field": place, "message": problem} for place, problem in shown]
    body = orjson.dumps({"error": {"code": code, "message": message, "details": details}})
    return {
        "statusCode": int(status),
        "headers": {
            "content-type": "application/json",
            "cache-control": "no-store",
            "x-request-id": request_id,
            **headers,
        },
        "body": body.decode(),
    }

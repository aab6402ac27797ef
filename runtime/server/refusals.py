"""What the local server refuses and how it says so: one error, as the API's own errors look."""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from runtime.domain.error_statuses import status_of
from runtime.domain.errors import NotFoundError, SeedwrightError

RETRY_AFTER_SECONDS: Final = 2

_log = logging.getLogger(__name__)


class RefusalError(Exception):
    """A request that ends with this status."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers

    @property
    def body(self) -> bytes:
        """The answer's JSON."""
        error = {"code": self.code, "message": str(self), "details": []}
        return json.dumps({"error": error}).encode()


def check_method(method: str, allowed: Sequence[str]) -> None:
    """Raises `RefusalError` when a path doesn't take the method; it takes none: there is no such
    path. Who answers GET answers HEAD.
    """
    if not allowed:
        raise refusal_of(NotFoundError("there is no such operation: check method and path"))
    if method in allowed:
        return
    names = [*allowed, "HEAD"] if "GET" in allowed and "HEAD" not in allowed else [*allowed]
    raise RefusalError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        f"this path takes {', '.join(names)}",
        headers=[("allow", ", ".join(names))],
    )


def bad_request(message: str) -> RefusalError:
    """A request that is not proper HTTP."""
    return RefusalError(HTTPStatus.BAD_REQUEST, "bad_request", message)


def own_fault() -> RefusalError:
    """A defect, which has been logged."""
    return RefusalError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        SeedwrightError.code,
        "something went wrong in the local server: see its log",
    )


def refusal_of(error: SeedwrightError) -> RefusalError:
    """What an error means to a client. What is the server's own fault is logged."""
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("object not served", exc_info=error)
        return own_fault()
    busy = status is HTTPStatus.SERVICE_UNAVAILABLE
    headers = [("retry-after", str(RETRY_AFTER_SECONDS))] if busy else []
    return RefusalError(status, error.code, str(error), headers=headers)

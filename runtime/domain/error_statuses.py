"""What an error is over HTTP, both ways: for the handlers, for the local server, for a client.

It stands in the domain because that is all that the three have in common: a client knows no
service and a handler no client. Statuses are data of the standard library.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from runtime.domain.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    ModelError,
    MonthlyBudgetError,
    NotFoundError,
    OutputCheckError,
    RenderError,
    SeedQuotaError,
    SeedwrightError,
    StorageBusyError,
    StorageFullError,
    StorageUnavailableError,
    TemplateNotFoundError,
    TooLargeError,
    UnauthenticatedError,
)

STATUS_OF: Final[Mapping[type[SeedwrightError], HTTPStatus]] = {
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    MonthlyBudgetError: HTTPStatus.PAYMENT_REQUIRED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    TemplateNotFoundError: HTTPStatus.NOT_FOUND,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InputError: HTTPStatus.BAD_REQUEST,
    RenderError: HTTPStatus.BAD_REQUEST,
    OutputCheckError: HTTPStatus.BAD_REQUEST,
    ConflictError: HTTPStatus.CONFLICT,
    SeedQuotaError: HTTPStatus.CONFLICT,
    LimitError: HTTPStatus.TOO_MANY_REQUESTS,
    ModelError: HTTPStatus.BAD_GATEWAY,
    StorageBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
}
"""Of classes that share a status the first is what the status means to a client."""

_ERROR_OF: Final = {status: kind for kind, status in reversed(list(STATUS_OF.items()))}


def status_of(error: BaseException) -> HTTPStatus:
    """Which answer an error is; the first class in the error's line of ancestors decides. What is
    not in the table is the system's own fault: 500.
    """
    return next(
        (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def error_class_of(status: int) -> type[SeedwrightError]:
    """What a refusal with this status is to a client. Anything from 500 on may pass; any other
    status that no error has is a mistake of the request.
    """
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return StorageUnavailableError
    return next((kind for known, kind in _ERROR_OF.items() if known == status), InputError)

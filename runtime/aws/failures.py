"""boto3's errors as this project's, one function per storage service.

The error code and the HTTP status decide, never the text: it changes without notice, and it may
quote what a user stored.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from runtime.domain.errors import (
    ConflictError,
    NotFoundError,
    ObjectExistsError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
)

SDK_ERRORS: Final = (ClientError, BotoCoreError, ResponseParserError)
"""Everything that a boto3 call raises on a failure."""

CONDITION_FAILED: Final = "ConditionalCheckFailedException"
TRANSACTION_CANCELED: Final = "TransactionCanceledException"
CONDITIONAL_CONFLICT: Final = "ConditionalRequestConflict"
"""S3: another conditional write of the same key is under way."""

CONDITION_REASON: Final = "ConditionalCheckFailed"
"""Why a part of a transaction was refused: its condition did not hold."""
CONFLICT_REASON: Final = "TransactionConflict"
"""The same: somebody else was writing to the item at that moment."""

_BUSY_CODES: Final = frozenset(
    {
        "LimitExceededException",
        "OperationAborted",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
        CONDITIONAL_CONFLICT,
    }
)
"""Too many requests, or somebody else is writing: both pass within moments."""
_PASSING_CODES: Final = _BUSY_CODES | {
    "BadDigest",  # what arrived is not what was sent; so is XAmzContentChecksumMismatch
    "IncompleteBody",
    "RequestTimeout",
    "XAmzContentChecksumMismatch",
}
_PASSING_REASONS: Final = frozenset(
    {"ProvisionedThroughputExceeded", "ThrottlingError", CONFLICT_REASON}
)
_PASSING_ERRORS: Final = (
    BotoConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    ResponseParserError,
)
_MISSING_OBJECT: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_HTTP_TOO_MANY_REQUESTS: Final = 429
_HTTP_SERVER_ERROR: Final = 500
_HTTP_BUSY: Final = frozenset({_HTTP_TOO_MANY_REQUESTS, 503})


def error_code(exc: BaseException) -> str:
    """The service's error code, or the class of an error that never reached the service."""
    if isinstance(exc, ClientError):
        return str(exc.response.get("Error", {}).get("Code", ""))
    return type(exc).__name__


def refused_item(exc: ClientError) -> dict[str, Any] | None:
    """The item, in DynamoDB's own types, that made a condition fail (ALL_OLD)."""
    return cast("dict[str, Any]", exc.response).get("Item")


def cancellations(exc: BaseException) -> list[tuple[str, dict[str, Any] | None]]:
    """Why each part of a cancelled transaction was refused ("None" if it was not), and the item, in
    DynamoDB's own types, that stood in its way. Empty for any other error.
    """
    if not isinstance(exc, ClientError) or error_code(exc) != TRANSACTION_CANCELED:
        return []
    reasons = cast("dict[str, Any]", exc.response).get("CancellationReasons", ())
    return [(str(reason.get("Code")), reason.get("Item")) for reason in reasons]


def dynamodb_error(exc: BaseException, *, table: str) -> StorageError:
    """What a failed DynamoDB call means for the caller."""
    code = error_code(exc)
    if code == CONDITION_FAILED:
        return ConflictError(f"table {table}: another writer was first; read again and retry")
    if any(reason in _PASSING_REASONS for reason, _ in cancellations(exc)):
        return _busy(f"table {table}", code)
    if _may_pass(exc, code):
        return _passing(f"table {table}", exc, code)
    return StorageError(
        f"table {table} refused the request ({code}): check its name, region and permissions"
    )


def s3_error(exc: BaseException, *, where: str) -> StorageError:
    """What a failed S3 call on the key or prefix `where` means for the caller."""
    code = error_code(exc)
    if code in _MISSING_OBJECT:
        return NotFoundError(f"no object {where}: check the key")
    if code == "PreconditionFailed":
        return ObjectExistsError(f"object {where} exists already and is not overwritten")
    if _may_pass(exc, code):
        return _passing(f"object {where}", exc, code)
    return StorageError(
        f"the bucket refused the request for {where} ({code}):"
        " check its name, region and permissions"
    )


@contextmanager
def s3_errors(where: str) -> Iterator[None]:
    """Turn what boto3 raises inside the block into this project's errors."""
    try:
        yield
    except SDK_ERRORS as exc:
        raise s3_error(exc, where=where) from exc


def s3_key_error(code: str, *, where: str) -> StorageError:
    """What the code of one key means that a batch deletion could not remove."""
    if code in _BUSY_CODES:
        return _busy(f"object {where}", code)
    if code in _PASSING_CODES or code == "InternalError":
        return _unavailable(f"object {where}", code)
    return StorageError(f"object {where} can't be deleted ({code}): check the role's permissions")


def _unavailable(what: str, code: str) -> StorageUnavailableError:
    return StorageUnavailableError(f"{what} is not available now ({code}): try again")


def _busy(what: str, code: str) -> StorageBusyError:
    return StorageBusyError(f"{what} is busy now ({code}): try again")


def _passing(what: str, exc: BaseException, code: str) -> StorageUnavailableError:
    if code in _BUSY_CODES or _http_status(exc) in _HTTP_BUSY:
        return _busy(what, code)
    return _unavailable(what, code)


def _http_status(exc: BaseException) -> int:
    if not isinstance(exc, ClientError):
        return 0
    return exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _may_pass(exc: BaseException, code: str) -> bool:
    if isinstance(exc, ClientError):
        status = _http_status(exc)
        overloaded = status == _HTTP_TOO_MANY_REQUESTS or status >= _HTTP_SERVER_ERROR
        return overloaded or code in _PASSING_CODES
    return isinstance(exc, _PASSING_ERRORS)

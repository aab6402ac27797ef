"""What went wrong with the Hub, as errors of the tree. Decided by class and status; of what the Hub
says itself a short plain piece is quoted, without the token.

No error keeps its cause: the messages of huggingface_hub quote signed URLs, by which files can be
written, and whatever a server has echoed.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from runtime.domain.error_statuses import error_class_of
from runtime.domain.errors import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    LimitError,
    NotFoundError,
    SeedwrightError,
    StorageError,
    StorageUnavailableError,
    UnauthenticatedError,
)
from runtime.hub.target import Target

_MAX_QUOTED: Final = 300
_AGAIN: Final = "push again, what has arrived is not sent a second time"


def failure(error: Exception, target: Target, token: str) -> SeedwrightError:
    """The error that a user reads in the place of what huggingface_hub raised."""
    known = (_known(each, target, token) for each in chain(error))
    found = next((each for each in known if each is not None), None)
    if found is not None:
        return found
    if isinstance(error, RuntimeError):  # of hf_xet, which has no class of its own
        return StorageUnavailableError(f"the upload to {target.endpoint} failed: {_AGAIN}")
    return no_hub(target)


def _known(error: BaseException, target: Target, token: str) -> SeedwrightError | None:
    match error:
        case SeedwrightError():
            return error
        case HfHubHTTPError():
            return _refusal(error, target, token)
        case OfflineModeIsEnabled():
            return ConfigurationError("HF_HUB_OFFLINE is set: unset it to push")
        case httpx2.TransportError():
            return StorageUnavailableError(
                f"the connection to {target.endpoint} failed: check the network, then {_AGAIN}"
            )
        case OSError(filename=str() as name):
            return StorageError(f"could not read {name}: check the disk and its permissions")
    return None


def no_hub(target: Target) -> StorageError:
    """An answer that can't be read."""
    return StorageError(
        f"{target.endpoint} gave an answer that a Hub does not give: check the endpoint"
    )


def no_token(target: Target) -> UnauthenticatedError:
    """Nobody has said who pushes."""
    return UnauthenticatedError(f"there is no token for {target.endpoint}: {_get_token(target)}")


def _get_token(target: Target) -> str:
    return (
        f"create one that may write at {target.endpoint}/settings/tokens, then set HF_TOKEN or run "
        "`hf auth login`"
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from: an upload wraps its own."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _refusal(error: HfHubHTTPError, target: Target, token: str) -> SeedwrightError:
    status, said = int(error.response.status_code), _quoted(error.server_message, token)
    if status == HTTPStatus.UNAUTHORIZED:
        return UnauthenticatedError(f"{target.endpoint} refused the token: {_get_token(target)}")
    kind = ConflictError if status == HTTPStatus.PRECONDITION_FAILED else error_class_of(status)
    what = _MEANING.get(kind, "the Hub refused the push of {repo}: correct it and push again")
    return kind(f"{what.format(repo=target.repo)} (HTTP {status}{said})")


_MEANING: Final[Mapping[type[SeedwrightError], str]] = {
    ForbiddenError: "the token may not write to {repo}: give it write access, or choose an owner "
    "under whom it may",
    NotFoundError: "{repo} is not a dataset that the token can see: the name may belong to "
    "something else, choose another one",
    ConflictError: "{repo} was changed meanwhile: push again",
    LimitError: f"the Hub takes no more requests now: wait, then {_AGAIN}",
    StorageUnavailableError: f"the Hub failed: wait, then {_AGAIN}",
}


def _quoted(text: str | None, token: str) -> str:
    if not text:
        return ""
    shown = " ".join(text.replace(token, "…").split())
    return f": {shown[:_MAX_QUOTED]}{'…' if len(shown) > _MAX_QUOTED else ''}"

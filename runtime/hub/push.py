"""The way to the Hub for all others: huggingface_hub is an extra, imported when it is needed."""

from runtime.domain.errors import ConfigurationError
from runtime.hub.observer import Pushed, PushObserver
from runtime.hub.selection import Selection
from runtime.hub.target import Target


def push(
    selection: Selection, target: Target, *, token: str | None, observer: PushObserver
) -> Pushed:
    """Push files to a dataset repository, or go on with a push that was cut.

    Raises `ConfigurationError` without huggingface_hub; `UnauthenticatedError`, `ForbiddenError`,
    `NotFoundError`, `ConflictError`, `LimitError`, `InputError` for what the Hub refuses;
    `StorageUnavailableError` where it can't be reached, `StorageError` for answers that are none.
    """
    try:
        from runtime.hub.uploads import push_files  # noqa: PLC0415 - half a second, and an extra
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            "a push needs huggingface_hub, which is not installed: run "
            '`pip install "seedwright[hub]"`'
        ) from exc
    return push_files(selection, target, token, observer)

"""The way to seeds of the Hub: huggingface_hub is an extra, imported when it is needed."""

from pathlib import Path

from runtime.domain.errors import ConfigurationError
from runtime.hub.repository import Fetched, HubSeeds


def fetch_seeds(seeds: HubSeeds, folder: Path) -> Fetched:
    """Download the files that are meant into `folder`.

    Raises `ConfigurationError` without huggingface_hub; `UnauthenticatedError`, `ForbiddenError`,
    `NotFoundError`, `LimitError`, `InputError` for what the Hub doesn't give;
    `StorageUnavailableError` where it can't be reached, `StorageError` for answers that are none.
    """
    try:
        from runtime.hub.downloads import download_seeds  # noqa: PLC0415 - half a second, an extra
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"{seeds} needs huggingface_hub, which is not installed: run "
            '`pip install "seedwright[hub]"`'
        ) from exc
    return download_seeds(seeds, folder)

"""The folder that `seedwright serve` keeps everything in.

DIR/token       the development token, readable by its owner only
DIR/address     where the API was served last
DIR/lock        held by the process that serves
DIR/log.jsonl   what handlers and worker logged
DIR/storage     jobs, templates, seeds and datasets, see runtime.local.storage
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runtime.client.profiles import LOCAL_PROFILE, Profile, folder_of
from runtime.disk import locked, open_lock, write_private
from runtime.domain.errors import ConfigurationError

_TOKEN_BYTES = 32


def default_data_folder(environment: Mapping[str, str]) -> Path:
    """`~/.local/share/seedwright`, or below `XDG_DATA_HOME`."""
    return folder_of(environment, "XDG_DATA_HOME", ".local/share")


class DataFolder:
    """One folder. Methods raise `ConfigurationError`, or `StorageError` for the disk's faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.storage = path / "storage"
        self._token = path / "token"
        self._address = path / "address"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and be the only process that serves from it until the end of the
        block, or of the process. Raises `ConfigurationError` when another one does.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = open_lock(self.path / "lock")
        except OSError as exc:
            raise ConfigurationError(
                f"--data {self.path}: can't be used ({exc.strerror}): choose another folder"
            ) from exc
        taken = ConfigurationError(
            f"another `seedwright serve` uses {self.path}: stop it, or choose another --data"
        )
        with locked(descriptor, self.path, taken=taken):
            yield

    def token(self) -> str:
        """The development token, created on first use."""
        found = self._read(self._token)
        if found is None:
            found = secrets.token_urlsafe(_TOKEN_BYTES)
            write_private(self._token, found.encode())
        return found

    def remember(self, url: str) -> Profile:
        """Store where the API is served; the profile that leads there."""
        write_private(self._address, url.encode())
        return Profile(name=LOCAL_PROFILE, api_url=url, access_token=self.token())

    def profile(self) -> Profile | None:
        """The profile of the API that was served from here last; None: none ever was."""
        url, token = self._read(self._address), self._read(self._token)
        if url is None or token is None:
            return None
        return Profile(name=LOCAL_PROFILE, api_url=url, access_token=token)

    @staticmethod
    def _read(path: Path) -> str | None:
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"{path} can't be read: delete it") from exc
        if not text:
            raise ConfigurationError(f"{path} is damaged: delete it")
        return text

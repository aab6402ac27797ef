"""The folder that `seedwright serve` keeps everything in.

DIR/token       the development token, readable by its owner only
DIR/address     where the API was served last
DIR/lock        held by the process that serves
DIR/log.jsonl   what handlers and worker logged
DIR/storage     jobs, templates, seeds and datasets, see runtime.local.storage

All of it is for its owner alone: a folder that others could read is closed to them, and one that
others could write to may hold what they have put there.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.client.profiles import LOCAL_PROFILE, Profile
from runtime.disk import PRIVATE, folder_of, locked, open_lock, write_private
from runtime.domain.errors import ConfigurationError

_TOKEN_BYTES: Final = 32
_PRIVATE_FOLDER: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


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
        block, or of the process. What the process creates meanwhile is for its owner alone.

        Raises `ConfigurationError` when another process serves from it, or when others could have
        put something there.
        """
        try:
            self.path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._forget_what_others_had()
            _close_to_others(self.path)
            descriptor = open_lock(self.path / "lock")
        except OSError as exc:
            raise ConfigurationError(
                f"--data {self.path}: can't be used ({exc.strerror}): choose another folder"
            ) from exc
        taken = ConfigurationError(
            f"another `seedwright serve` uses {self.path}: stop it, or choose another --data"
        )
        with locked(descriptor, self.path, taken=taken), _private_files():
            yield

    def _forget_what_others_had(self) -> None:
        """Delete a token and an address that others could have read or written. Before rights are
        taken from them: afterwards nobody can tell.
        """
        _check_own(self.path, self.path.stat())
        for path in (self._token, self._address):
            if os.path.lexists(path) and not _is_private(path):
                path.unlink()

    def token(self) -> str:
        """The development token, created on first use."""
        found = self._read(self._token) if _is_private(self._token) else None
        if found is None:
            found = secrets.token_urlsafe(_TOKEN_BYTES)
            write_private(self._token, found.encode())
        return found

    def remember(self, url: str) -> Profile:
        """Store where the API is served; the profile that leads there."""
        write_private(self._address, url.encode())
        return Profile(name=LOCAL_PROFILE, api_url=url, access_token=self.token())

    def profile(self) -> Profile | None:
        """The profile of the API that was served from here last; None: none ever was.

        Raises `ConfigurationError` for a token or an address that somebody else may have written.
        """
        for path in (self._token, self._address):
            if path.exists() and not _is_private(path):
                raise ConfigurationError(
                    f"{path} can be read or was written by others: start `seedwright serve` again"
                )
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


def _is_private(path: Path) -> bool:
    """Whether this is a file, not a link, of this user that nobody else may read or write."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & _OTHERS
    )


def _close_to_others(folder: Path) -> None:
    """Take every right on a folder that has been open from others, with all that is in it. Raises
    `OSError`, `ConfigurationError` for what this user can't have put there.
    """
    found = folder.stat()
    _check_own(folder, found)
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _OTHERS:
        return
    folder.chmod(_PRIVATE_FOLDER)
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in [*folders, *files]):
            status = path.lstat()
            if mode & _OTHERS_WRITE:
                _check_own(path, status)
            if stat.S_ISLNK(status.st_mode):
                raise ConfigurationError(f"{path} is a link: delete it, or choose another --data")
            path.chmod(_PRIVATE_FOLDER if stat.S_ISDIR(status.st_mode) else PRIVATE)


def _check_own(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user: choose another --data")


@contextmanager
def _private_files() -> Iterator[None]:
    """Whatever this process and those that it starts create is for their owner alone."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)

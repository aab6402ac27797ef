"""Files of this machine: how one is replaced, how one is locked, and what a failure is called.

Every file that must be whole is written beside its place under a random name and renamed there,
so a reader sees the old or the new content, after a kill too. No file is written through a link
that somebody planted: new files are created with O_EXCL, locks are opened with O_NOFOLLOW.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from runtime.domain.errors import SeedwrightError, StorageError, StorageFullError

PRIVATE: Final = 0o600
"""The mode of files that only their owner may read."""

_SHARED: Final = 0o666
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_errors(action: str) -> Iterator[None]:
    """Turn any `OSError` of the block into `StorageFullError` or `StorageError`.

    `action` completes "could not …"; it holds a path or a key, never content.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in _DISK_FULL:
            raise StorageFullError(
                f"could not {action}: no space left, free some and run again"
            ) from exc
        name = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
        raise StorageError(
            f"could not {action} ({name}): check the disk and its permissions"
        ) from exc


# ── replacing ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def replacing(
    target: Path, *, mode: int = _SHARED, durable: bool = False, action: str | None = None
) -> Iterator[BinaryIO]:
    """A new file that takes the place of `target` at the end of the block, and is removed if the
    block fails. Its folder is created.

    `mode` is cut by the umask. With `durable` content and name are synced: the new file survives a
    power cut. Raises `StorageError`; `action` replaces "write {target}" in its message.
    """
    with disk_errors(action or f"write {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        if durable:
            sync_folder(target.parent)


def write_private(path: Path, body: bytes) -> None:
    """Replace a file all at once by one that only its owner can read. Raises `StorageError`."""
    with replacing(path, mode=PRIVATE, durable=True) as file:
        file.write(body)


def replace_by_link(source: Path, target: Path) -> None:
    """`target` becomes `source`, all at once and where it can be without a copy.

    Raises `StorageError`.
    """
    with disk_errors(f"write {target}"):
        temporary = _beside(target)
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            with source.open("rb") as content, replacing(target) as file:
                shutil.copyfileobj(content, file)
            return
        try:
            temporary.replace(target)
        finally:
            # A rename of two names of one file does nothing, so the second name may still be there.
            temporary.unlink(missing_ok=True)


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target` while they replaced it. Only for a file
    that nobody else may be replacing. Raises `OSError`.
    """
    with suppress(FileNotFoundError):
        for each in target.parent.iterdir():
            if each.name.startswith(f".{target.name}.") and each.name.endswith(".part"):
                each.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    """A name in the folder of `target` that nobody can know before."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")


# ── folders ────────────────────────────────────────────────────────────────────────────────────


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents durably. Raises `OSError`."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ── locks ──────────────────────────────────────────────────────────────────────────────────────


def open_lock(path: Path) -> int:
    """A descriptor of the lock file `path`, which is created. Raises `OSError`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the lock of an open file could be had; it ends when the file is closed, and with the
    process. Raises `OSError`.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(descriptor: int, what: Path, *, taken: SeedwrightError | None = None) -> Iterator[None]:
    """Hold the lock of an open file for the block, then close it.

    With `taken` that error is raised at once when another process holds the lock; without it the
    lock is waited for. `what` is named in a `StorageError`.
    """
    try:
        with disk_errors(f"lock {what}"):
            if taken is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            elif not try_lock(descriptor):
                raise taken
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock file `path`, hold it for the block. Raises `StorageError`."""
    with disk_errors(f"lock {path}"):
        descriptor = open_lock(path)
    with locked(descriptor, path):
        yield


def folder_of(environment: Mapping[str, str], variable: str, default: str) -> Path:
    """Seedwright's folder below an XDG base folder, such as `~/.config/seedwright`."""
    base = environment.get(variable)
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / default
    return root / "seedwright"

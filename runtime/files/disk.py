"""Temporary files without a name, and what goes wrong with them."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from runtime.domain.errors import StorageError

_BUFFER_BYTES: Final = 256 * 1024


class _Descriptor(io.FileIO):
    """Closed when nobody holds it, without a warning: that is what it is for."""

    def __del__(self) -> None:
        self.close()


class _NamelessFile(io.BufferedRandom):
    """So is its buffer, whichever of the two goes first."""

    def __del__(self) -> None:
        self.close()


def temporary_file(things: str = "seeds") -> io.BufferedRandom:
    """A new file for `things`, to be written and read, that nobody else can open. It is gone when
    it is closed, or when nobody holds it. Raises `StorageError`.
    """
    with disk_errors("create", things), TemporaryFile(buffering=0) as file:
        return _NamelessFile(_Descriptor(os.dup(file.fileno()), "r+b"), _BUFFER_BYTES)


def shared_file(file: BinaryIO) -> io.BufferedRandom | None:
    """A file of `temporary_file` once more, to be closed by itself; None for any other file. They
    have one position: read it with `os.pread`. Raises `StorageError`.
    """
    if not isinstance(file, _NamelessFile):
        return None
    with disk_errors("open"):
        file.flush()
        return _NamelessFile(_Descriptor(os.dup(file.fileno()), "r+b"), _BUFFER_BYTES)


def check_room(file: BinaryIO, size: int, things: str = "seeds") -> None:
    """Whether `size` more bytes fit on the disk of a temporary file. Raises `StorageError`."""
    with disk_errors("ask for room", things):
        disk = os.fstatvfs(file.fileno())
    room = disk.f_bavail * disk.f_frsize
    if size > room:
        raise StorageError(
            f"{things} need {size // 10**6} MB on the disk, and {room // 10**6} MB are free: make"
            " room in the folder for temporary files, or name another in TMPDIR"
        )


def size_left(file: BinaryIO) -> int | None:
    """Bytes from here to the end of a file of the disk; None for anything else."""
    try:
        status = os.fstat(file.fileno())
        return status.st_size - file.tell() if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError):
        return None


@contextmanager
def disk_errors(what: str, things: str = "seeds") -> Iterator[None]:
    """Turn every reason why a temporary file can't be used into `StorageError`."""
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"{things} can't be kept on the disk ({what}: {exc.strerror}): make room in the folder"
            " for temporary files, or name another in TMPDIR"
        ) from exc

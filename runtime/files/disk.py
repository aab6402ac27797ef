"""Temporary files without a name, and what goes wrong with them."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Final

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

"""Texts on the disk, read again by number: 8 bytes of memory each, and a buffer."""

import os
from array import array
from typing import Final

from runtime.disk import disk_errors
from runtime.files.disk import temporary_file

_BUFFER_BYTES: Final = 256 * 1024
_ACTION: Final = "keep texts to be compared in the folder for temporary files (TMPDIR names it)"


class TextSpool:
    """Texts in a file without a name, which is gone with the process."""

    def __init__(self) -> None:
        self._file = temporary_file("texts to be compared")
        self._ends = array("Q", [0])
        self._written = 0
        self._waiting = bytearray()

    def append(self, text: str) -> None:
        """Keep the next text. Raises `StorageError`, as `StorageFullError` if the disk is full:
        then the text isn't kept.
        """
        encoded = text.encode()
        if len(self._waiting) + len(encoded) > _BUFFER_BYTES:
            self._write()
        self._waiting += encoded
        self._ends.append(self._ends[-1] + len(encoded))

    def read(self, place: int) -> str:
        """The text that was kept after so many others. Raises `StorageError`."""
        start, end = self._ends[place], self._ends[place + 1]
        if start >= self._written:
            found = bytes(self._waiting[start - self._written : end - self._written])
        else:
            with disk_errors(_ACTION):
                found = os.pread(self._file.fileno(), end - start, start)
        return found.decode()

    def _write(self) -> None:
        with disk_errors(_ACTION):
            while self._waiting:
                size = os.pwrite(self._file.fileno(), self._waiting, self._written)
                self._written += size
                del self._waiting[:size]

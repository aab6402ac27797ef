"""The document child seen from its parent: one process for many files, a fresh one after a death.

    file ──socket──▶ child ──lines──▶ rows

What the child says is bounded and read as plain data (document_child.py says how it answers).
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from runtime.confinement import start_child
from runtime.domain.errors import ConfigurationError, SeedError
from runtime.domain.seeds.readers import MAX_ROW_CHARACTERS
from runtime.files.lines import Lines, plain_words

MEMORY_BYTES: Final = 768 * 1024 * 1024
"""By which the child may grow while it reads."""
CPU_SECONDS: Final = 60
"""Processor time of one file: of the longest text there may be, twice over."""
PDF_CPU_SECONDS: Final = 300
"""The same of a PDF, whose pages are programs."""
FILE_SECONDS: Final = 900.0
"""How long one file may take, on a machine that is busy."""
SILENT_SECONDS: Final = 60.0
"""How long the child may say nothing."""

_ENDING_SECONDS: Final = 2.0
"""Between the end of what a process says and its own."""
_LINE_BYTES: Final = MAX_ROW_CHARACTERS + 1024 * 1024
_MAX_ROWS: Final = 2**31


class NotReadError(Exception):
    """Why a file gives no rows, in words for its owner."""


class DocumentProcess:
    """Reads one file after the other. To be closed."""

    def __init__(self, *, pdf: bool) -> None:
        self._pdf = pdf
        self._child: _Child | None = None

    def read(self, file: int, request: Mapping[str, Any]) -> tuple[int, Iterator[Sequence[Any]]]:
        """How many rows a file has, and the rows as the child sends them. They have to be taken
        before the next file is read.

        Raises `NotReadError`; and the rows `SeedError` if the child is killed before the last.
        """
        count, child = self._begin(file, request)
        return count, self._rows(count if request["wanted"] else 0, child)

    def _rows(self, count: int, child: "_Child") -> Iterator[Sequence[Any]]:
        for _ in range(count):
            kind, value = child.next()
            if kind != "r" or not isinstance(value, list):
                raise SeedError("the process that reads documents was ended: run it again")
            yield value
        if child.next()[0] != ".":
            self.close()

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _begin(self, file: int, request: Mapping[str, Any]) -> "tuple[int, _Child]":
        while True:
            fresh = self._child is None
            child = self._child = self._child or _Child(pdf=self._pdf)
            kind, value = child.ask(file, request)
            if kind == "=" and isinstance(value, int) and 0 <= value <= _MAX_ROWS:
                return value, child
            if kind == "e":
                raise NotReadError(plain_words(value))
            hopeless = fresh or child.took_too_long()
            self.close()
            if hopeless:
                raise NotReadError("damaged, or it needs too much memory or time to read")
            # What earlier files have left in the process may be what this one died of.


class _Child:
    """One process and the socket to it. It may abort, hang or say anything."""

    def __init__(self, *, pdf: bool) -> None:
        arguments = [*map(str, (MEMORY_BYTES, MAX_ROW_CHARACTERS)), *["pdf"] * pdf]
        try:
            self._process, self._socket = start_child("runtime.files.document_child", *arguments)
        except OSError as exc:
            raise ConfigurationError(f"no process to read documents: {exc.strerror}") from exc
        self._lines = Lines(
            self._socket.fileno(), longest=_LINE_BYTES, silent_seconds=SILENT_SECONDS
        )
        self._each = iter(self._lines)

    def ask(self, file: int, request: Mapping[str, Any]) -> tuple[str, Any]:
        """Hand the descriptor of a file over; the first line that says how it went."""
        self._lines.allow(FILE_SECONDS)
        self._socket.settimeout(SILENT_SECONDS)
        cpu = PDF_CPU_SECONDS if request["kind"] == "pdf" else CPU_SECONDS
        with suppress(OSError):
            os.lseek(file, 0, os.SEEK_SET)
            socket.send_fds(self._socket, [orjson.dumps({**request, "cpu_seconds": cpu})], [file])
            self._socket.settimeout(None)
            while True:
                kind, value = self.next()
                if kind != "p":
                    # Rows take as long as whoever takes them.
                    self._lines.allow(float("inf"))
                    return kind, value
        return "", None

    def next(self) -> tuple[str, Any]:
        """The next line; none when there is no more."""
        return next(self._each, ("", None))

    def took_too_long(self) -> bool:
        """Whether it was ended for that, or goes on and says nothing, or nonsense."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_ENDING_SECONDS) == -signal.SIGXCPU
        return True

    def kill(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

"""Lines that a process writes which reads what strangers wrote: a byte that says what a line is, a
JSON value, a line end. The process may abort, hang or say anything, so what it sends is bounded and
read as plain data.
"""

import os
import select
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

import orjson

from runtime.domain.plain_text import plain_line

_READ_BYTES: Final = 256 * 1024
_MAX_WORDS_CHARACTERS: Final = 300


class Lines:
    """The lines that arrive at a descriptor. They end where the other side does, where it writes
    none, or one above `longest` bytes, says nothing for `silent_seconds`, or goes on after the
    deadline.
    """

    def __init__(self, descriptor: int, *, longest: int, silent_seconds: float) -> None:
        self._descriptor = descriptor
        self._longest = longest
        self._silent_seconds = silent_seconds
        self._deadline = float("inf")

    def allow(self, seconds: float) -> None:
        """Set the deadline: so many seconds from now."""
        self._deadline = monotonic() + seconds

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Kind and value of each line, as far as they are such lines."""
        rest = b""
        while chunk := self._read():
            *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            for line in whole:
                try:
                    value = orjson.loads(line[1:]) if line[1:] else None
                except orjson.JSONDecodeError:
                    return
                yield chr(line[0]) if line else "", value
            if len(rest) > self._longest:
                return

    def _read(self) -> bytes:
        """The next bytes; none at the end, and none when it has been silent for too long."""
        seconds = min(self._silent_seconds, self._deadline - monotonic())
        waiting = select.poll()  # select takes no descriptor above 1023
        waiting.register(self._descriptor, select.POLLIN)
        if seconds <= 0 or not waiting.poll(seconds * 1000):
            return b""
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except ConnectionError:
            return b""


def write_line(descriptor: int, kind: bytes, value: object = None) -> None:
    """Write one line. Raises `OSError`."""
    body = b"" if value is None else orjson.dumps(value)
    write_all(descriptor, b"%b%b\n" % (kind, body))


def write_all(descriptor: int, body: bytes) -> None:
    """Write all of it. Raises `OSError`."""
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def plain_words(text: object) -> str:
    """Words of an untrusted process, as one line that can be printed."""
    return " ".join(plain_line(str(text)).split())[:_MAX_WORDS_CHARACTERS]

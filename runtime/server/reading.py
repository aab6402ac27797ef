"""Reads from a connection, and gives up on a client that takes its time: a connection that sends a
byte now and then would otherwise keep a place for ever.

    idle ──first byte──▶ head, HEAD_SECONDS ──▶ body, BODY_SECONDS and as long as it comes at
                                                MIN_BYTES_PER_SECOND
"""

import io
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD_SECONDS: Final = 10.0
"""From the first byte of a request to the end of its head."""

BODY_SECONDS: Final = 30.0
MIN_BYTES_PER_SECOND: Final = 20_000


class TimedReader(io.RawIOBase):
    """What comes in on a socket. Reading raises `TimeoutError` after `idle_seconds` without a
    byte, and when what is expected has not come in time.
    """

    def __init__(
        self, connection: socket.socket, *, idle_seconds: float | None, head_seconds: float
    ) -> None:
        self._connection = connection
        self._idle_seconds = idle_seconds
        self._head_seconds = head_seconds
        self._deadline: float | None = None
        self._in_body = False

    def expect_head(self) -> None:
        """The next byte begins a request; until then the connection is idle."""
        self._deadline, self._in_body = None, False

    def expect_body(self) -> None:
        """The head has been read."""
        self._deadline, self._in_body = monotonic() + BODY_SECONDS, True

    def expect_end(self, seconds: float) -> None:
        """Nothing that comes from now on matters."""
        self._deadline, self._in_body = monotonic() + seconds, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._connection.settimeout(self._seconds_left())
        try:
            size = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._idle_seconds)  # of answers
        if self._deadline is None:
            self._deadline = monotonic() + self._head_seconds
        elif self._in_body:
            self._deadline += size / MIN_BYTES_PER_SECOND
        return size

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return self._idle_seconds
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the client takes too long")
        return left if self._idle_seconds is None else min(left, self._idle_seconds)

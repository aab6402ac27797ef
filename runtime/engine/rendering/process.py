"""The process of the render child and the socket to it."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

from runtime.confinement import start_child
from runtime.domain.errors import ConfigurationError

LENGTH_BYTES: Final = 4
"""Before each frame: its length, big endian."""


class ChildProcess:
    """One process and the socket to it. Every failure of the socket is an `OSError`, and a reply
    that is too large a `ValueError`; after either the child is of no more use.
    """

    def __init__(self, arguments: Sequence[str], reply_bytes: int) -> None:
        self._reply_bytes = reply_bytes
        self._buffer = bytearray()
        try:
            self.process, self._socket = start_child("runtime.engine.rendering.child", *arguments)
        except OSError as exc:
            raise ConfigurationError(
                f"the render process can't be started: {exc.strerror}"
            ) from exc

    def send(self, body: bytes, seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._socket.sendall(len(body).to_bytes(LENGTH_BYTES) + body)

    def receive(self, seconds: float) -> bytes:
        deadline = monotonic() + seconds
        self._fill(LENGTH_BYTES, deadline)
        end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES])
        if end > self._reply_bytes:
            raise ValueError("a reply is too large")
        self._fill(end, deadline)
        body = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return body

    def kill(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._buffer) < size:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("the child is gone")
            self._buffer += received

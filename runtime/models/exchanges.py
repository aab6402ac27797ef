"""Sockets that know how far an exchange has got, and end it at its deadline.

urllib3 waits for each piece of a reply anew, so a server that sends a byte now and then would hold
a call for ever; and it does not tell whether a byte of a request had left when it failed, which is
what decides about money. So each connection has its socket in a shell that counts what it writes
and gives every read what is left of the time.
"""

import io
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


@dataclass(slots=True)
class Exchange:
    """One request and its reply. `deadline` is monotonic seconds."""

    deadline: float
    written: int = 0
    """Bytes of the request that have left."""

    def left(self) -> float:
        """Seconds that are left. Raises `TimeoutError` when none are."""
        seconds = self.deadline - monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline of the exchange has passed")
        return seconds


class _Present(threading.local):
    exchange: Exchange | None = None


_PRESENT: Final = _Present()


def begin(seconds: float) -> Exchange:
    """The exchange that this thread begins now."""
    _PRESENT.exchange = Exchange(deadline=monotonic() + seconds)
    return _PRESENT.exchange


class _Shell:
    """A connected socket, plain or TLS, behind what http.client does with one."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._readers = 0
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sendall(self, data: bytes) -> None:
        exchange = _PRESENT.exchange
        view = memoryview(data)
        while view:
            if exchange is not None:
                self._inner.settimeout(exchange.left())
            sent = self._inner.send(view)
            view = view[sent:]
            if exchange is not None:
                exchange.written += sent

    def makefile(self, *_mode: object, **_options: object) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def recv_into(self, buffer: Any) -> int:
        if _PRESENT.exchange is not None:
            self._inner.settimeout(_PRESENT.exchange.left())
        return self._inner.recv_into(buffer)

    def close(self) -> None:
        """As sockets do it: what is being read stays open until it is read."""
        self._closed = True
        self._close_unused()

    def done_reading(self) -> None:
        self._readers -= 1
        self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and self._readers <= 0:
            with suppress(OSError):
                self._inner.close()


class _Reader(io.RawIOBase):
    def __init__(self, shell: _Shell) -> None:
        self._shell = shell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._shell.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._shell.done_reading()


class _Watched:
    """Of a connection: its socket is put into the shell once it is connected, so that neither TLS
    nor the tunnel of a proxy count as bytes of a request.
    """

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _Shell(self.sock)


class _PlainConnection(_Watched, HTTPConnection):
    pass


class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS: Final = {"http": _PlainPool, "https": _TlsPool}
"""For `PoolManager.pool_classes_by_scheme`."""

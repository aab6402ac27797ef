"""The connections to one address: those that wait for a request, and requests that wait for one."""

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Final

from runtime.domain.errors import ModelErrorKind
from runtime.models.transport.connection import Connection
from runtime.models.transport.exchange import WireFault
from runtime.models.transport.opening import (
    Address,
    OpeningError,
    OpenSocket,
    connect_socket,
    open_connection,
)

IDLE_SECONDS: Final = 50.0
"""A connection that was silent for longer is not asked again: whoever is on the way may have
forgotten it, and a request that is lost there may have been paid."""

MAX_OPENING: Final = 128
"""Connections that are being opened at a time."""

CLOSED: Final = WireFault(kind=ModelErrorKind.NOT_SENT, code="Closed")
"""For a request that a client no longer makes."""

Taker = Callable[[Connection], bool]
"""Takes a connection; False: it has no use for one any more."""


class Connections:
    """Belongs to the thread of its loop."""

    def __init__(self, address: Address, open_socket: OpenSocket = connect_socket) -> None:
        self._address = address
        self._open_socket = open_socket
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._waiting: deque[tuple[Taker, Callable[[WireFault], None]]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._poll = select.poll()
        self._is_closed = False

    def take(self, taker: Taker, failed: Callable[[WireFault], None]) -> None:
        """Give `taker` a connection, now or as soon as there is one, or say why there is none."""
        if self._is_closed:
            failed(CLOSED)
            return
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()  # the youngest: the others may get too old
            if now - connection.idle_since > IDLE_SECONDS or not self._is_usable(connection):
                connection.close()
            else:
                if not taker(connection):
                    self._freed(connection)
                return
        self._waiting.append((taker, failed))
        self._open_more()

    async def close(self) -> None:
        """Hang up everywhere, and give up what waits for a connection."""
        self._is_closed = True
        while self._waiting:
            self._waiting.popleft()[1](CLOSED)
        for task in self._opening:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        while self._open or self._opening:  # noqa: ASYNC110 - for a turn of the loop or two
            await asyncio.sleep(0)

    def _is_usable(self, connection: Connection) -> bool:
        """Whether it is open and silent. The loop may not have read yet that it was closed."""
        if not connection.is_open:
            return False
        number = connection.descriptor
        self._poll.register(number, select.POLLIN)
        try:
            return not self._poll.poll(0)
        finally:
            self._poll.unregister(number)

    def _open_more(self) -> None:
        while len(self._opening) < min(len(self._waiting), MAX_OPENING):
            task = asyncio.get_running_loop().create_task(self._open_one())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open_one(self) -> None:
        try:
            connection = await open_connection(self._address, self._make, self._open_socket)
        except OpeningError as exc:
            if self._waiting:
                self._waiting.popleft()[1](exc.fault)
        else:
            self._open.add(connection)
            self._freed(connection)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not self._is_closed:
            self._open_more()

    def _make(self) -> Connection:
        return Connection(self._freed, self._lost)

    def _freed(self, connection: Connection) -> None:
        if self._is_closed or not connection.is_open:
            connection.close()
            return
        while self._waiting:
            if self._waiting.popleft()[0](connection):
                return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        while connection.idle_since - self._idle[0].idle_since > IDLE_SECONDS:
            self._idle.popleft().close()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

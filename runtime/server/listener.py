"""The API over HTTP on this machine: what API Gateway, its authorizer and S3's signed URLs are
on AWS. It knows no operation and imports no handler; whoever starts it hands in how to dispatch.

    with Listener("127.0.0.1", 8080) as listener:
        service = bootstrap.local_api(directory, base_url=listener.base_url, …)
        server = ApiServer(listener, api=service.api, dispatch=…, methods_of=…, token=…, user=…)
        server.start()
        …
        server.stop()

The address is taken by `Listener`, so that port 0 (any free one) is known before the first signed
URL is created. One thread accepts, each connection has a thread of its own.
"""

import ipaddress
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from http.server import ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from runtime.domain.errors import ConfigurationError
from runtime.local.api import LocalApi
from runtime.server.connection import Connection
from runtime.server.pages import Page
from runtime.server.reading import HEAD_SECONDS
from runtime.server.service import MAX_BODY_BYTES, Dispatch, Service, one_token

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 64
"""Connections at a time. One more takes the place of the one that has kept this server waiting for
longest, and is closed at once where none has for long.
"""

IDLE_SECONDS: Final = 30.0
"""After how long without a byte a connection is closed."""

STOP_SECONDS: Final = 10.0
"""How long `stop` waits for answers that are being written."""


class Phase(IntEnum):
    """What a connection is busy with, in the order in which it loses its place."""

    WAITING = 0
    """For a request, or for the rest of its head."""
    READING = 1
    """A body comes."""
    ANSWERING = 2
    """An answer is made or sent."""


PATIENCE_SECONDS: Final[Mapping[Phase, float]] = {
    Phase.WAITING: 0.0,
    Phase.READING: 10.0,
    Phase.ANSWERING: 120.0,
}
"""For how long a connection keeps its place from others that want one. A head comes at once from
whoever means it, so the longest-waiting connection without one goes first."""

_ACCEPT_POLL_SECONDS: Final = 0.1
_CUT_SECONDS: Final = 1.0
"""How long threads may take to see that their connection was broken off."""
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Listener:
    """An address that is taken and not yet served: whoever connects now waits for `ApiServer`.

    `port` 0 takes any free one. An address that other machines can reach is refused unless
    `allow_remote` says that this is meant; requests may then come under any name. `base_url` is
    where clients reach it, unless `public_url` says otherwise (a proxy or a name in front of it).

    Raises `ConfigurationError` when the address can't be taken.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        allow_remote: bool = False,
        public_url: str | None = None,
    ) -> None:
        family, address = _resolve(host, port)
        self._is_local = ipaddress.ip_address(address).is_loopback
        if not (self._is_local or allow_remote):
            raise ConfigurationError(
                f"{host} can be reached by other machines: use 127.0.0.1, or say that it is meant"
            )
        self.server = _Server(family)
        try:
            self.server.take((address, port))
        except (OSError, OverflowError) as exc:
            self.server.server_close()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise ConfigurationError(
                f"{host}:{port} can't be taken ({reason}): choose another port, 0 takes a free one"
            ) from exc
        self.port: Final = self.server.server_port
        self.base_url: Final = (public_url or self._url(address)).rstrip("/")

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server: a name of this machine, whatever the port (a
        tunnel may have another one). Any name will do where other machines were let in.
        """
        if not self._is_local:
            return True
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name.strip("[]").lower() in _LOCAL_NAMES

    def close(self) -> None:
        """Give the address back; a second call is harmless."""
        self.server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _url(self, address: str) -> str:
        # "All addresses" is not one to connect to.
        if ipaddress.ip_address(address).is_unspecified:
            address = "::1" if ":" in address else "127.0.0.1"
        return f"http://{f'[{address}]' if ':' in address else address}:{self.port}"


class ApiServer:
    """Serves a listener from `start` to `stop`. `api` is what its handlers work with.

    `dispatch` answers an event of API Gateway, which lacks `routeKey` and `pathParameters` only;
    `methods_of` are the methods of a path. Both are called from several threads at once. Whoever
    sends `token` as a bearer token is `user`: the subject in the event's claims. Without the token
    there are no claims, and it is the operation that refuses.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        api: LocalApi,
        dispatch: Dispatch,
        methods_of: Callable[[str], Sequence[str]],
        token: str,
        user: str,
        pages: Mapping[str, Page] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        idle_seconds: float = IDLE_SECONDS,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self._server = listener.server
        service = Service(
            dispatch=dispatch,
            methods_of=methods_of,
            claims_of=one_token(token, user=user),
            links=api.links,
            objects=api.objects,
            clock=api.clock,
            new_id=api.new_id,
            is_own_name=listener.is_own_name,
            pages=pages or {},
            max_body_bytes=max_body_bytes,
        )
        members = {"service": service, "timeout": idle_seconds, "head_seconds": head_seconds}
        self._server.RequestHandlerClass = type("ServiceConnection", (_Tracked,), members)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_ACCEPT_POLL_SECONDS,),
            name="api-server",
            daemon=True,
        )

    def start(self) -> None:
        """Answer from now on, in the background."""
        self._thread.start()

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Take nothing new, let what is being answered end, close every connection. Answers that
        take longer than `seconds` are broken off. A second call is harmless.
        """
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.end_connections(seconds)


class _Server(ThreadingHTTPServer):
    """Keeps count of its connections, so that it can end them."""

    daemon_threads = True
    block_on_close = False  # `end_connections` waits, with a deadline
    request_queue_size = 128

    def __init__(self, family: socket.AddressFamily) -> None:
        self.address_family = family
        super().__init__(("", 0), Connection, bind_and_activate=False)
        self._changed = threading.Condition()
        self._connections: dict[socket.socket, tuple[Phase, float]] = {}
        """What each is busy with, and since when."""
        self._stopping = False

    def take(self, address: tuple[str, int]) -> None:
        """Bind and listen. Raises `OSError`."""
        self.server_address = address
        self.server_bind()
        self.server_activate()

    def server_bind(self) -> None:
        # Without the base class's look-up of the host's name, which may ask the network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = map(str, self.server_address[:2])  # type: ignore[assignment]
        self.server_port = int(self.server_port)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            room = len(self._connections) < MAX_CONNECTIONS or self._make_room()
            if room:
                self._connections[request] = Phase.WAITING, monotonic()
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._connections.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        _log.debug("connection lost", exc_info=True)

    def _make_room(self) -> bool:
        """Take the place of a connection that others have waited for long enough; whether there
        was one.
        """
        now = monotonic()
        late = [
            (phase, since, request)
            for request, (phase, since) in self._connections.items()
            if now - since >= PATIENCE_SECONDS[phase]
        ]
        if not late:
            return False
        *_, request = min(late, key=lambda each: each[:2])
        del self._connections[request]
        _cut(request)
        return True

    def enter(self, request: socket.socket, phase: Phase) -> bool:
        """Note what a connection is busy with. False: the server stops, answer no more."""
        with self._changed:
            known = self._connections.get(request)
            if known is not None and known[0] is not phase:
                self._connections[request] = phase, monotonic()
            return not self._stopping

    def end_connections(self, seconds: float) -> None:
        """Close idle connections at once and busy ones when they have answered, or after
        `seconds`.
        """
        with self._changed:
            self._stopping = True
            for request, (phase, _) in self._connections.items():
                if phase is Phase.WAITING:
                    _cut(request)
            self._changed.wait_for(lambda: not self._connections, timeout=seconds)
            for request in self._connections:
                _cut(request)
            self._changed.wait_for(lambda: not self._connections, timeout=_CUT_SECONDS)


class _Tracked(Connection):
    """A connection that says what it is busy with."""

    server: _Server

    def parse_request(self) -> bool:
        return super().parse_request() and self.server.enter(self.connection, Phase.READING)

    def answering(self) -> None:
        self.server.enter(self.connection, Phase.ANSWERING)

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if not self.server.enter(self.connection, Phase.WAITING):
            self.close_connection = True


def _cut(request: socket.socket) -> None:
    with suppress(OSError):  # it has gone by itself
        request.shutdown(socket.SHUT_RDWR)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as exc:
        raise ConfigurationError(
            f"{host} is not an address of this machine: use 127.0.0.1"
        ) from exc
    family, *_, address = found[0]
    return family, str(address[0])

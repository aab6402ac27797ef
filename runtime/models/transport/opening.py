"""How a connection comes about: names, sockets, proxies, TLS. No byte of a request is written here,
so whatever fails here was not sent.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from runtime.domain.errors import ModelErrorKind
from runtime.models.transport.connection import Connection
from runtime.models.transport.exchange import WireFault
from runtime.models.transport.off_loop import off_loop

OpenSocket = Callable[[str, int], Awaitable[socket.socket]]
_P = TypeVar("_P", bound=asyncio.Protocol)
_PORTS: Final = {"http": 80, "https": 443}
_MAX_PROXY_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where requests go. `tls` is for what is behind an https URL, the proxy's too."""

    url: SplitResult
    proxy: SplitResult | None = None
    proxy_headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    connect_seconds: float

    @property
    def host(self) -> str:
        """As the Host header has it: without the port that goes without saying."""
        name = self.url.hostname or ""
        name = f"[{name}]" if ":" in name else name
        port = self.url.port
        return name if port in {None, _PORTS[self.url.scheme]} else f"{name}:{port}"

    @property
    def target(self) -> str:
        """What stands before the path in a request: a proxy of plain HTTP reads the whole URL."""
        is_forwarded = self.proxy is not None and self.url.scheme == "http"
        return f"http://{self.host}" if is_forwarded else ""


def address_of(
    url: str,
    *,
    proxy: str | None,
    trust: Callable[[], ssl.SSLContext],
    connect_seconds: float,
) -> Address:
    """The address behind a URL. `trust` is asked where there is TLS on the way. Credentials of the
    proxy stand in its URL, as elsewhere.
    """
    parts = urlsplit(proxy) if proxy else None
    is_secret = "https" in {urlsplit(url).scheme, parts.scheme if parts else None}
    headers = {}
    if parts is not None and parts.username and parts.password:
        pair = f"{unquote(parts.username)}:{unquote(parts.password)}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return Address(
        url=urlsplit(url),
        proxy=parts,
        proxy_headers=headers,
        tls=trust() if is_secret else None,
        connect_seconds=connect_seconds,
    )


class OpeningError(Exception):
    """No connection."""

    def __init__(self, fault: WireFault) -> None:
        super().__init__(fault.code)
        self.fault = fault


async def open_connection(
    address: Address, make: Callable[[], Connection], open_socket: OpenSocket
) -> Connection:
    """A connection that may be asked. Raises `OpeningError`."""
    try:
        async with asyncio.timeout(address.connect_seconds):
            return await _open(address, make, open_socket)
    except TimeoutError as exc:
        raise _failed("ConnectTimeoutError") from exc
    except ssl.SSLError as exc:
        raise _failed("SSLError") from exc
    except (OSError, ValueError, _ProxyRefusedError) as exc:  # no name, such as "a..b", is a value
        name = "EndpointConnectionError" if address.proxy is None else "ProxyConnectionError"
        refused = address.proxy is None and isinstance(exc, ConnectionRefusedError)
        raise _failed(name, refused=refused) from exc


def _failed(code: str, *, refused: bool = False) -> OpeningError:
    return OpeningError(WireFault(kind=ModelErrorKind.NOT_SENT, code=code, refused=refused))


async def _open(
    address: Address, make: Callable[[], Connection], open_socket: OpenSocket
) -> Connection:
    first = address.proxy or address.url
    tls = address.tls if first.scheme == "https" else None
    is_tunnel = address.proxy is not None and address.url.scheme == "https"
    sock = await open_socket(first.hostname or "", first.port or _PORTS[first.scheme])
    if not is_tunnel:
        _, connection = await _wrap(sock, make, tls, first)
        return connection
    transport, greeting = await _wrap(sock, _Greeting, tls, first)
    try:
        await greeting.ask(address)
        connection = make()
        loop = asyncio.get_running_loop()
        tls = cast("ssl.SSLContext", address.tls)
        name = address.url.hostname
        wrapped = await loop.start_tls(transport, connection, tls, server_hostname=name)
    except BaseException:
        transport.abort()
        raise
    connection.connection_made(cast("asyncio.BaseTransport", wrapped))
    return connection


async def _wrap(
    sock: socket.socket, make: Callable[[], _P], tls: ssl.SSLContext | None, at: SplitResult
) -> tuple[asyncio.Transport, _P]:
    loop = asyncio.get_running_loop()
    name = at.hostname if tls is not None else None
    return await loop.create_connection(make, sock=sock, ssl=tls, server_hostname=name)


# ── sockets ────────────────────────────────────────────────────────────────────────────────────


async def connect_socket(host: str, port: int) -> socket.socket:
    """A connected TCP socket: the addresses of a name are tried one after the other. Raises
    `OSError`.
    """
    loop = asyncio.get_running_loop()
    last: OSError | None = None
    for family, kind, protocol, _, at in await _resolved(host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await loop.sock_connect(sock, at)
        except OSError as exc:
            sock.close()
            last = exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last or OSError("no address")


async def _resolved(host: str, port: int) -> list[Any]:
    try:  # a number needs nobody to be asked
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return await off_loop(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


# ── proxies ────────────────────────────────────────────────────────────────────────────────────


class _ProxyRefusedError(Exception):
    """The proxy opens no tunnel."""


class _Greeting(asyncio.Protocol):
    """Asks a proxy for a tunnel."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._answer.done():
            return
        if b"\r\n\r\n" in self._buffer or len(self._buffer) > _MAX_PROXY_ANSWER:
            self._answer.set_result(self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def ask(self, address: Address) -> None:
        """Raises `_ProxyRefusedError` or `OSError`."""
        name = address.url.hostname or ""
        name = f"[{name}]" if ":" in name else name
        at = f"{name}:{address.url.port or _PORTS[address.url.scheme]}"
        lines = "".join(f"{name}: {text}\r\n" for name, text in address.proxy_headers.items())
        self._transport.write(f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{lines}\r\n".encode())
        words = (await self._answer).split(b"\r\n", 1)[0].split(b" ")
        if len(words) < 2 or words[1] != b"200":  # noqa: PLR2004 - version and status
            raise _ProxyRefusedError

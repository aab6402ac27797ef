"""Models behind a base URL: one `converse` is one HTTP request, never followed nor sent again."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from os import environ
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.exceptions import SSLError as TransportSSLError

from runtime.domain.errors import ConfigurationError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.models.exchanges import POOLS, begin
from runtime.models.wire import ApiFamily, WireReply, WireRequest, lost
from runtime.proxies import proxy_of

CONNECT_SECONDS: Final = 5.0
USER_AGENT: Final = "seedwright"

_MAX_REPLY_BYTES: Final = 32 * 2**20
_BUNDLES: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
"""Variables that name a file of authorities: the SDK's own, in its order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """`headers` go with every request, the key among them, so they are never shown."""

    base_url: str
    server: str
    """What users read of it."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorize: Callable[[WireRequest], Mapping[str, str]] | None = None
    """Headers that a request needs beside them, such as a signature. Raises what the SDK does."""


class HttpModels:
    """A `ModelClient` on one endpoint. `families` are the ways it can be called, `usual` that of a
    request that names none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        families: Mapping[Api, ApiFamily],
        usual: Api,
        connections: int,
    ) -> None:
        """Raises `ConfigurationError` for a bundle of authorities that can't be read."""
        self._endpoint = endpoint
        self._families = families
        self._usual = usual
        self._pool = _make_pool(endpoint.base_url, connections)

    def converse(self, request: ModelRequest) -> ModelReply:
        family = self._families.get(request.api or self._usual, self._families[self._usual])
        return family.decode(self._send(family.encode(request), request), request)

    def close(self) -> None:
        self._pool.clear()

    def _send(self, wire: WireRequest, request: ModelRequest) -> WireReply:
        """Make the one request. Raises `ModelError`."""
        headers = {"user-agent": USER_AGENT, **self._endpoint.headers, **wire.headers}
        if self._endpoint.authorize is not None:
            headers |= self._endpoint.authorize(wire)
        exchange = begin(request.timeout_seconds)
        try:
            response = self._pool.request(
                wire.method,
                f"{self._endpoint.base_url}{wire.path}",
                body=wire.body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            try:
                body = response.read(_MAX_REPLY_BYTES + 1)
            except BaseException:
                response.close()  # half of a reply is left in the connection
                raise
            if len(body) > _MAX_REPLY_BYTES:
                response.close()
            response.release_conn()
        except (HTTPError, OSError, ValueError) as exc:
            raise lost(
                request.model,
                self._endpoint.server,
                written=exchange.written > 0,
                code=type(exc).__name__,
                timed_out=isinstance(exc, (ReadTimeoutError, TimeoutError)),
                bad_certificate=isinstance(exc, TransportSSLError),
            ) from None  # its text may hold the URL, with what a user wrote into it
        if len(body) > _MAX_REPLY_BYTES:
            raise lost(request.model, self._endpoint.server, written=True, code="too large")
        given = {name.lower(): value for name, value in response.headers.items()}
        return WireReply(status=response.status, headers=given, body=body)


def _make_pool(url: str, connections: int) -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=None)
    proxy = proxy_of(url)
    trusted = _trusted() if urlsplit(url).scheme == "https" else None
    manager: urllib3.PoolManager
    if proxy is None:
        manager = urllib3.PoolManager(
            num_pools=1, maxsize=connections, timeout=timeout, ssl_context=trusted
        )
    else:
        manager = urllib3.ProxyManager(
            proxy, num_pools=1, maxsize=connections, timeout=timeout, ssl_context=trusted
        )
    manager.pool_classes_by_scheme = POOLS
    return manager


def _trusted() -> ssl.SSLContext:
    """Whose certificates are taken: those of the bundle that the environment names, else those that
    the system and the AWS SDK know.
    """
    context = ssl.create_default_context()
    named = next((environ[name] for name in _BUNDLES if environ.get(name)), None)
    try:
        if named is not None:
            context = ssl.create_default_context(cafile=named)
        else:
            context.load_verify_locations(str(files("botocore").joinpath("cacert.pem")))
    except OSError as exc:
        raise ConfigurationError(f"the bundle of authorities {named} can't be read") from exc
    return context

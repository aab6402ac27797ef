"""A client of the API: one request after another, over HTTP, with every refusal as one line.

What may be sent again is a matter of what a repetition could do. A connection that was never made
has done nothing: every request is tried again. A lost reply, or a service that is busy, is tried
again only where the request is `repeatable`: it reads, or the API knows its repetition.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from runtime.client.profiles import login_command
from runtime.domain.addresses import is_loopback
from runtime.domain.error_statuses import error_class_of
from runtime.domain.errors import (
    ConfigurationError,
    InputError,
    LimitError,
    SeedwrightError,
    StorageUnavailableError,
    UnauthenticatedError,
)
from runtime.proxies import proxy_of

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 35.0
"""API Gateway ends a request after 30 seconds."""

ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.2
MAX_PAUSE_SECONDS: Final = 10.0

MAX_PAGE: Final = 100
"""Items that one answer of a list may hold."""

YAML: Final = "application/yaml"
"""RFC 9512."""

_MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
_BUSY: Final = frozenset({429, 502, 503, 504})
_NOT_SENT: Final = (NewConnectionError, ConnectTimeoutError)
_REPEATABLE: Final = frozenset({"GET", "DELETE"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer. `body` is parsed JSON, the text of YAML, or None where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def error_code(self) -> str | None:
        """The API's own code of a refusal; None where something before the API refused."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code")) if isinstance(error, dict) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """How a client waits: `sleep` takes seconds, `jitter` gives 0 to 1."""

    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random

    def before(self, attempt: int, retry_after: str | None = None) -> None:
        """Wait before attempt number `attempt` + 1: what the service asked for, or exponentially
        longer each time.
        """
        if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
            self.sleep(min(float(retry_after[:6]), MAX_PAUSE_SECONDS))
            return
        longest = min(FIRST_PAUSE_SECONDS * 2**attempt, MAX_PAUSE_SECONDS)
        self.sleep(longest * (0.5 + self.jitter() / 2))


class ApiClient:
    """The API of one profile. Raises errors of the tree, each with a line that helps."""

    def __init__(
        self, url: str, token: Callable[[], str | None], *, pauses: Pauses | None = None
    ) -> None:
        """`token` is asked before every request: one that is about to end can be renewed."""
        self.url = url
        self.pauses = pauses or Pauses()
        self._token = token
        self._pool = make_pool(url)

    def get(self, path: str, **query: object) -> Any:
        """The body of the answer to a GET; a query parameter that is None is left out."""
        found = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urlencode(found)}" if found else path).body

    def post(self, path: str, body: Any = None, *, repeatable: bool = False) -> Any:
        """The body of the answer to a POST."""
        return self.call("POST", path, body=body, repeatable=repeatable).body

    def items(
        self, path: str, name: str, *, limit: int | None = None, **query: object
    ) -> Iterator[Any]:
        """The items of a list of the API, at most `limit`, page by page as they are needed."""
        return islice(self._items(path, name, min(limit or MAX_PAGE, MAX_PAGE), query), limit)

    def _items(self, path: str, name: str, size: int, query: Mapping[str, object]) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            with understood("a list"):
                page = self.get(path, limit=size, cursor=cursor, **query)
                found, cursor = list(page[name]), page["next_cursor"]
            yield from found
            if cursor is None:
                return

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> Reply:
        """Send a request, again where that is safe, and give its answer. Raises what was refused:
        see `error_class_of`; `StorageUnavailableError` when the API can't be reached or is busy.
        """
        again = repeatable or method in _REPEATABLE
        sent = {"accept": "application/json", "user-agent": "seedwright", **(headers or {})}
        token = self._token()
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        data = None if body is None else orjson.dumps(body)
        if data is not None:
            sent["content-type"] = "application/json"
        attempt = 0
        while True:
            last = attempt == ATTEMPTS - 1
            try:
                reply = self._send(method, path, data, sent)
            except HTTPError as exc:
                if last or isinstance(exc, SSLError) or not (again or is_not_sent(exc)):
                    raise self._unreachable(exc) from exc
                self.pauses.before(attempt)
            else:
                if last or not (again and _is_busy(reply)):
                    return self._checked(reply)
                self.pauses.before(attempt, reply.headers.get("retry-after"))
            attempt += 1

    def _send(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        # Without redirects: the token goes to this URL only.
        response = self._pool.request(
            method,
            f"{self.url}{path}",
            body=data,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=True,
        )
        try:
            raw = response.read(_MAX_REPLY_BYTES)
        finally:
            response.release_conn()
        found = {name.lower(): value for name, value in response.headers.items()}
        return Reply(
            status=response.status, headers=found, body=self._parsed(raw, response.status, found)
        )

    def _parsed(self, raw: bytes, status: int, headers: Mapping[str, str]) -> Any:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        try:
            if kind == YAML:
                return raw.decode()
            return orjson.loads(raw) if raw else None
        except ValueError as exc:
            if status in _BUSY:  # a gateway's own page
                return None
            raise self._not_the_api(status) from exc

    def _checked(self, reply: Reply) -> Reply:
        if reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return reply
        if reply.status < HTTPStatus.BAD_REQUEST:
            raise self._not_the_api(reply.status)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise UnauthenticatedError(
                f"{self.url} does not accept the token: run `{login_command(self.url)}`"
            )
        message = _message(reply.body) or f"HTTP {reply.status}"
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            request_id = reply.headers.get("x-request-id")
            message += f" (request id {request_id})" if request_id else ""
        kind = error_class_of(reply.status)
        if kind is InputError:
            raise InputError(message, problems=_problems(reply.body))
        raise kind(message)

    def _unreachable(self, exc: HTTPError) -> SeedwrightError:
        if isinstance(exc, SSLError):
            return ConfigurationError(
                f"{self.url}: no trusted connection: check the URL and the certificate"
            )
        if not is_not_sent(exc):
            return StorageUnavailableError(f"{self.url}: the answer was lost: try again")
        hint = "is `seedwright serve` running?" if is_loopback(self.url) else "check the URL"
        return StorageUnavailableError(f"{self.url} can't be reached: {hint}")

    def _not_the_api(self, status: int) -> ConfigurationError:
        return ConfigurationError(
            f"{self.url} answered with HTTP {status} and is not the API: check the URL"
        )


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Raises `ConfigurationError` where the block finds an answer of another shape than it reads:
    of another version of the API, or of something that is none.
    """
    try:
        yield
    except SeedwrightError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        raise ConfigurationError(
            f"the API's answer is not {what} that this version understands: update seedwright"
        ) from exc


def segment(text: str) -> str:
    """Text that a user gave as one segment of a path, such as an id. One that is not an id is
    refused by the API; here it only has to stay one segment.
    """
    return quote(text.strip() or "-", safe="")


def make_pool(url: str) -> urllib3.PoolManager:
    """Connections to a URL, through the proxy that the environment names for it."""
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    proxy = proxy_of(url)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, retries=False, timeout=timeout)
    return urllib3.PoolManager(retries=False, timeout=timeout)


def is_not_sent(exc: HTTPError) -> bool:
    """Whether a request certainly reached nobody."""
    return isinstance(exc, _NOT_SENT)


def _is_busy(reply: Reply) -> bool:
    # A limit of the user's own does not pass by waiting some seconds, a throttle does.
    return reply.status in _BUSY and reply.error_code != LimitError.code


def _problems(body: Any) -> list[tuple[str, str]]:
    """Fields that a refusal names, each with what is expected."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [
        (str(each.get("field")), str(each.get("message")))
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict)
    ]


def _message(body: Any) -> str | None:
    """What a refusal says: the API's shape, or that of the gateway before it."""
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else body.get("message")
    return message if isinstance(message, str) else None

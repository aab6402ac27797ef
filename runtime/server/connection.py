"""One connection to the local server: from HTTP to the operation or object it is for, and back.

    request ─▶ Host ─▶ body's length ─┬─▶ /objects    signed URLs, answered here
                421        411 413    └─▶ the rest    as an event to the handlers, with claims for
                                                      whoever has the token

Refusals have the shape of the API's errors. A connection whose request was not read to its end is
closed after the answer: what is left on it is nobody's next request.
"""

import logging
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedReader
from typing import ClassVar, Final
from urllib.parse import parse_qsl, quote, unquote

from runtime.domain.errors import SeedwrightError, TooLargeError
from runtime.local.links import OBJECTS_PATH
from runtime.server.gateway import HttpRequest, gateway_event
from runtime.server.pages import Page
from runtime.server.reading import HEAD_SECONDS, TimedReader
from runtime.server.refusals import (
    RefusalError,
    bad_request,
    check_method,
    own_fault,
    refusal_of,
)
from runtime.server.service import Service
from runtime.server.uploads import receive_upload

_log = logging.getLogger(__name__)

_COPY_BYTES: Final = 256 * 1024
_MAX_DIGITS: Final = 100
"""Of a number of bytes; one that is longer is not meant."""
_LINGER_BYTES: Final = 16 * 2**20
_LINGER_SECONDS: Final = 2.0
_BEARER: Final = "bearer "
_OBJECT_METHODS: Final = ("GET", "HEAD")


def _headers(policy: str) -> tuple[tuple[str, str], ...]:
    return (
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", policy),
    )


_SAFE_HEADERS: Final = _headers("default-src 'none'; sandbox")
"""Whatever a user has uploaded runs nothing and is shown as nothing."""


class Connection(BaseHTTPRequestHandler):
    """One connection, in a thread of its own. Subclasses have a `service`."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"
    timeout: ClassVar[float | None] = 30.0
    """Seconds without a byte after which a connection is given up."""
    head_seconds: ClassVar[float] = HEAD_SECONDS
    wbufsize = _COPY_BYTES

    service: Service
    headers: Message

    def setup(self) -> None:
        super().setup()
        self._reader = TimedReader(
            self.connection, idle_seconds=self.timeout, head_seconds=self.head_seconds
        )
        self.rfile.close()
        self.rfile = BufferedReader(self._reader, _COPY_BYTES)
        self._unread = 0
        """Bytes of the request's body that are still on the connection; -1: nobody knows."""
        self._answered = False

    def handle_one_request(self) -> None:
        self._reader.expect_head()
        super().handle_one_request()

    def answering(self) -> None:
        """The request has been read, or needs not be: the rest is up to this server."""

    # ── requests ───────────────────────────────────────────────────────────────────────────────

    def answer(self) -> None:
        """Answer the request whose head has been read. Raises nothing but what ends a connection:
        `OSError`.
        """
        self._unread, self._answered = -1, False
        self._reader.expect_body()
        try:
            path, query = self._target()
            self._unread = self._body_length()
            if path == OBJECTS_PATH or path.startswith(f"{OBJECTS_PATH}/"):
                self._answer_object(path, query)
            elif (page := self.service.pages.get(path)) is not None and self._wants(page):
                self._answer_page(page)
            else:
                self._answer_operation(path, query)
        except RefusalError as refusal:
            self._refuse(refusal)
        except SeedwrightError as error:
            self._refuse(refusal_of(error))
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - a client gets an answer whatever happens
            _log.exception("request failed by a defect")
            self._refuse(own_fault())
        if self._unread:
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """The client waits for this before it sends the body."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - the base class finds methods by these names

    def _target(self) -> tuple[str, str]:
        """Path and query of the request, if it is one for this server."""
        hosts = self.headers.get_all("host", [])
        # A page of another site can make a browser ask for that site's name at this address (DNS
        # rebinding): it would see the answers.
        if len(hosts) != 1 or not self.service.is_own_name(hosts[0]):
            raise RefusalError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong_host",
                "this server is not reached under that name: use the URL that it printed",
            )
        if not self.path.startswith("/"):
            raise bad_request("the request's target has to be a path")
        # Not urlsplit, to which `//x/y` is a host.
        path, _, query = self.path.partition("?")
        return path, query

    def _body_length(self) -> int:
        if "transfer-encoding" in self.headers:
            raise RefusalError(
                HTTPStatus.LENGTH_REQUIRED, "length_required", "send the body with its length"
            )
        given = self.headers.get_all("content-length", ["0"])
        number = given[0].isascii() and given[0].isdigit() and len(given[0]) <= _MAX_DIGITS
        if len(set(given)) != 1 or not number:
            raise bad_request("the content-length is not a number of bytes")
        return int(given[0])

    def _read(self, size: int) -> bytes:
        """At most `size` bytes of the body, none when it is read. Raises `OSError`."""
        chunk = self.rfile.read1(min(size, self._unread)) if self._unread else b""
        if self._unread and not chunk:
            raise ConnectionResetError("the client is gone")
        self._unread -= len(chunk)
        return chunk

    def _read_all(self) -> bytes:
        if self._unread > self.service.max_body_bytes:
            raise refusal_of(
                TooLargeError(
                    f"the body has {self._unread} bytes; at most"
                    f" {self.service.max_body_bytes} are taken"
                )
            )
        body = bytearray()
        while chunk := self._read(_COPY_BYTES):
            body += chunk
        return bytes(body)

    # ── operations ─────────────────────────────────────────────────────────────────────────────

    def _answer_operation(self, path: str, query: str) -> None:
        method = "GET" if self.command == "HEAD" else str(self.command)
        check_method(method, self.service.methods_of(path))
        given = self.headers.get("authorization", "")
        token = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else ""
        request = HttpRequest(
            method=method,
            path=path,
            query=query,
            headers=self.headers.items(),
            body=self._read_all(),
            client=str(self.client_address[0]),
        )
        event = gateway_event(
            request,
            request_id=self.service.new_id(),
            now=self.service.clock.now(),
            claims=self.service.claims_of(token),
        )
        self.answering()
        answer = self.service.dispatch(method, path, event)
        body = str(answer.get("body") or "").encode()
        headers = [(str(name), str(value)) for name, value in answer.get("headers", {}).items()]
        self._send(HTTPStatus(answer["statusCode"]), headers, body)

    # ── pages ──────────────────────────────────────────────────────────────────────────────────

    def _wants(self, page: Page) -> bool:
        """Programs that ask for JSON are told where nothing is, as by the API on AWS."""
        return not page.for_browsers or "text/html" in self.headers.get("accept", "").lower()

    def _answer_page(self, page: Page) -> None:
        check_method(str(self.command), ("GET", "HEAD"))
        headers = [("content-type", page.content_type), *_headers(page.policy)]
        self._send(HTTPStatus.OK, headers, page.body())

    # ── objects ────────────────────────────────────────────────────────────────────────────────

    def _answer_object(self, path: str, query: str) -> None:
        if path == OBJECTS_PATH:
            check_method(str(self.command), ("POST",))
            if "content-length" not in self.headers:
                raise RefusalError(
                    HTTPStatus.LENGTH_REQUIRED, "length_required", "send the form with its length"
                )
            self._receive()
        else:
            check_method(str(self.command), _OBJECT_METHODS)
            key = unquote(path.removeprefix(f"{OBJECTS_PATH}/"), errors="surrogateescape")
            self._give(key, dict(parse_qsl(query, keep_blank_values=True)))

    def _receive(self) -> None:
        receive_upload(
            self._read,
            content_type=self.headers.get("content-type", ""),
            content_length=self._unread,
            links=self.service.links,
            objects=self.service.objects,
        )
        self._send(HTTPStatus.NO_CONTENT, _SAFE_HEADERS, b"")

    def _give(self, key: str, query: Mapping[str, str]) -> None:
        file_name = self.service.links.check_download(key, query)
        with self.service.objects.open_reader(key) as reader:
            size = reader.seek(0, 2)
            reader.seek(0)
            name = quote(file_name, safe="")
            headers = [
                ("content-type", "application/octet-stream"),
                ("content-disposition", f"attachment; filename*=UTF-8''{name}"),
                *_SAFE_HEADERS,
            ]
            self._send_head(HTTPStatus.OK, headers, size)
            if self.command != "HEAD":
                shutil.copyfileobj(reader, self.wfile, _COPY_BYTES)

    # ── answers ────────────────────────────────────────────────────────────────────────────────

    def _send(self, status: HTTPStatus, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self._send_head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, headers: Sequence[tuple[str, str]], size: int) -> None:
        self._answered = True
        self.answering()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("content-length", str(size))
        if self._unread:
            self.send_header("connection", "close")
        self.end_headers()

    def _refuse(self, refusal: RefusalError) -> None:
        if self._answered:  # half an answer can only be broken off
            raise ConnectionAbortedError("an answer could not be ended")
        headers = [("content-type", "application/json"), *_SAFE_HEADERS, *refusal.headers]
        self._send(refusal.status, headers, refusal.body)
        if self._unread:
            self._linger()

    def _linger(self) -> None:
        """Read on for a moment: if the connection was closed on a client that still sends, its
        system would throw the answer away.
        """
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self._reader.expect_end(_LINGER_SECONDS)
            left = _LINGER_BYTES
            while left > 0 and (chunk := self.rfile.read1(_COPY_BYTES)):
                left -= len(chunk)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses: a request line, a head, a method that it can't read."""
        del message, explain
        self._unread = -1
        self.close_connection = True
        status = HTTPStatus(code)
        self._refuse(RefusalError(status, "bad_request", status.phrase.lower()))

    def version_string(self) -> str:
        return "seedwright"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Nothing: request lines hold signatures. What fails is logged where it fails."""

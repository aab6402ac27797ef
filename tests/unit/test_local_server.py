"""The local server over real sockets: events, signed URLs, refusals, limits, stopping."""

import base64
import http.client
import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from runtime.bootstrap import LocalService
from runtime.domain.errors import ConfigurationError, NotFoundError, StorageBusyError, StorageError
from runtime.lambdas.router import endpoint_of, match, methods_of
from runtime.server import listener as server_module
from runtime.server.listener import ApiServer, Listener, Phase
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import api_event
from tests.fixtures.local_api import open_local_api

TOKEN = "a-development-token"  # noqa: S105 - opens nothing
JOB_ID = "4f9c1f0e-6a53-4a0e-9d57-3f0a6a1f0c11"
KEY = "seed-data/local/Größe & co.csv"
MEBIBYTE = 2**20
TO_JOBS = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n"


@dataclass
class Reply:
    """An answer off the wire. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal, whose shape is checked."""
        assert self.headers["content-type"] == "application/json"
        assert self.json.keys() == {"error"}
        assert self.json["error"].keys() == {"code", "message", "details"}
        return str(self.json["error"]["code"])


@dataclass
class World:
    """A running server, and what its dispatch was asked."""

    service: LocalService
    listener: Listener
    server: ApiServer
    events: list[dict[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)

    def dispatch(self, method: str, path: str, event: dict[str, Any]) -> dict[str, Any]:
        self.events.append(event)
        if path == "/slow":
            self.waiting.set()
            assert self.gate.wait(30)
        if path == "/broken":
            raise ZeroDivisionError
        body = json.dumps({"method": method, "path": path})
        headers = {"content-type": "application/json", "x-answer": "yes"}
        return {"statusCode": 201, "headers": headers, "body": body}

    @staticmethod
    def methods_of(path: str) -> list[str]:
        return {"/nothing": [], "/jobs": ["GET", "POST"], "/post": ["POST"]}.get(path, ["GET"])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.listener.port, timeout=20)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        with closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            return read_reply(connection)

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.listener.port), timeout=20) as client:
            client.sendall(request)
            return read_to_end(client)


def read_reply(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(status=response.status, headers=headers, body=response.read())


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.005)


@contextmanager
def serving(directory: Path, clock: ManualClock, **options: Any) -> Iterator[World]:
    with Listener(port=0) as listener:
        service = open_local_api(directory, clock, base_url=listener.base_url)
        world = World(service=service, listener=listener, server=None)  # type: ignore[arg-type]
        world.server = ApiServer(
            listener,
            api=service.api,
            **{
                "dispatch": world.dispatch,
                "methods_of": world.methods_of,
                "token": TOKEN,
                "user": "local",
                **options,
            },
        )
        world.server.start()
        try:
            yield world
        finally:
            world.gate.set()
            world.server.stop()
            service.close()


@pytest.fixture
def world(tmp_path: Path, clock: ManualClock) -> Iterator[World]:
    with serving(tmp_path / "data", clock) as running:
        yield running


# ── events ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_becomes_the_event_of_a_gateway(world: World, clock: ManualClock) -> None:
    reply = world.call(
        "POST",
        "/jobs?limit=5&tag=a&tag=b%20c&empty=",
        body='{"name": "Größe"}'.encode(),
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "Idempotency-Key": "k-1",
            "User-Agent": "test",
        },
    )

    assert (reply.status, reply.json) == (201, {"method": "POST", "path": "/jobs"})
    assert reply.headers["x-answer"] == "yes"
    (event,) = world.events
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/jobs"
    assert event["rawQueryString"] == "limit=5&tag=a&tag=b%20c&empty="
    assert event["queryStringParameters"] == {"limit": "5", "tag": "a,b c", "empty": ""}
    assert event["headers"]["idempotency-key"] == "k-1"
    assert event["headers"]["content-type"] == "application/json"
    assert (event["body"], event["isBase64Encoded"]) == ('{"name": "Größe"}', False)
    context = event["requestContext"]
    assert context["authorizer"]["jwt"]["claims"] == {"sub": "local"}
    assert context["requestId"] == str(UUID(int=1, version=4))
    assert context["http"] == {
        "method": "POST",
        "path": "/jobs",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert context["timeEpoch"] == int(clock.now().timestamp() * 1000)


def test_an_event_has_the_keys_of_the_real_one(world: World) -> None:
    """What the tests of the handlers use stands for what API Gateway sends."""
    world.call(
        "POST",
        "/jobs?limit=5",
        body=b"{}",
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    (event,) = world.events
    real = api_event("POST", "/jobs", query={"limit": "5"}, body={})
    assert real.keys() - event.keys() == {"routeKey"}
    assert real["requestContext"].keys() - event["requestContext"].keys() == {"routeKey"}
    assert real["requestContext"]["http"].keys() == event["requestContext"]["http"].keys()


def test_the_token_stays_with_the_server(world: World) -> None:
    world.call("GET", "/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert TOKEN not in json.dumps(world.events)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        "Bearer é",
    ],
)
def test_without_the_token_there_are_no_claims(world: World, given: str | None) -> None:
    """S2.1: the operation answers 401 then."""
    world.call("GET", "/jobs", headers={} if given is None else {"Authorization": given})
    (event,) = world.events
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(world: World, scheme: str) -> None:
    world.call("GET", "/jobs", headers={"Authorization": f"{scheme} {TOKEN}"})
    assert "authorizer" in world.events[0]["requestContext"]


def test_an_empty_token_opens_nothing(tmp_path: Path, clock: ManualClock) -> None:
    with serving(tmp_path, clock, token="") as world:
        world.call("GET", "/jobs", headers={"Authorization": "Bearer "})
        assert "authorizer" not in world.events[0]["requestContext"]


def test_a_body_that_is_no_text_comes_in_base64(world: World) -> None:
    world.call("POST", "/jobs", body=b"\xff\x00")
    event = world.events[0]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\xff\x00"


def test_a_path_stays_quoted(world: World) -> None:
    world.call("GET", "/jobs/a%2Fb%20c")
    assert world.events[0]["rawPath"] == "/jobs/a%2Fb%20c"


def test_the_real_operations_answer(world: World, tmp_path: Path, clock: ManualClock) -> None:
    """From a signed form to the list of files, as a client goes."""
    ports = world.service.api

    def dispatch(method: str, path: str, event: dict[str, Any]) -> Mapping[str, Any]:
        found = match(method, path)
        assert found is not None
        route, parameters = found
        event["pathParameters"] = parameters
        return endpoint_of(route).respond(event, ports)

    with serving(tmp_path / "other", clock, dispatch=dispatch, methods_of=methods_of) as other:
        ports = other.service.api
        assert other.call("GET", "/health").json == {"status": "ok"}
        assert other.call("GET", "/jobs").status == 401
        assert other.call("GET", f"/jobs/{JOB_ID}", headers=signed_in()).status == 404
        asked = other.call(
            "POST",
            "/seed-data/upload-url",
            body=b'{"filename": "products.csv"}',
            headers=signed_in(),
        )
        assert asked.status in {200, 201}, asked.body
        form = next(each for each in _maps(asked.json) if "url" in each and "fields" in each)
        assert post_form(other, form["url"], form["fields"], b"product\nKettle\n").status == 204
        listed = other.call("GET", "/seed-data", headers=signed_in())
        assert b"products.csv" in listed.body


def _maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _maps(each)


def signed_in() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


# ── refusals ───────────────────────────────────────────────────────────────────────────────────


def test_no_such_path(world: World) -> None:
    reply = world.call("GET", "/nothing")
    assert (reply.status, reply.code) == (404, "not_found")
    assert world.events == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_method_that_a_path_does_not_take(world: World, method: str) -> None:
    reply = world.call(method, "/jobs")
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, POST, HEAD"
    assert world.events == []


def test_head_is_get_without_its_body(world: World) -> None:
    reply = world.call("HEAD", "/jobs")
    assert (reply.status, reply.body) == (201, b"")
    assert reply.headers["content-length"] == str(len('{"method": "GET", "path": "/jobs"}'))
    assert world.events[0]["requestContext"]["http"]["method"] == "GET"
    refused = world.call("HEAD", "/post")
    assert (refused.status, refused.headers["allow"], refused.body) == (405, "POST", b"")


def test_a_defect_is_a_500_that_says_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    reply = world.call("GET", "/broken")
    assert (reply.status, reply.code) == (500, "internal")
    assert b"division" not in reply.body
    assert "request failed by a defect" in caplog.text


def test_a_body_that_is_too_large_is_refused_unread(tmp_path: Path, clock: ManualClock) -> None:
    with serving(tmp_path, clock, max_body_bytes=1000) as world:
        assert world.call("POST", "/jobs", body=bytes(1000)).status == 201
        reply = world.call("POST", "/jobs", body=bytes(1001))
        assert (reply.status, reply.code) == (413, "too_large")
        assert reply.headers["connection"] == "close"
        assert len(world.events) == 1
        # The answer arrives even at a client that is still sending.
        assert world.call("POST", "/jobs", body=bytes(8 * MEBIBYTE)).status == 413
        # What says that it is huge is not waited for.
        head = TO_JOBS + b"Content-Length: %d\r\n\r\n" % 10**18
        with socket.create_connection(("127.0.0.1", world.listener.port), timeout=20) as client:
            client.sendall(head)
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /jobs HTTP/9.9\r\n\r\n", 505),
        (b"BREW /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /jobs HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET http://localhost/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (TO_JOBS + b"Content-Length: x\r\n\r\n", 400),
        (TO_JOBS + b"Content-Length: -1\r\n\r\n", 400),
        (TO_JOBS + b"Content-Length: +1\r\n\r\nx", 400),
        (TO_JOBS + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (TO_JOBS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ],
)
def test_what_is_no_proper_request(world: World, request_head: bytes, status: int) -> None:
    answer = world.raw(request_head)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert json.loads(body)["error"]["message"]
    assert b"<" not in body
    assert world.events == []


def test_what_was_not_read_is_not_the_next_request(world: World) -> None:
    """A refused body could hold a request that its sender may not make."""
    smuggled = b"GET /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for head in (
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: evil.example\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n",
    ):
        answer = world.raw(head + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
        assert answer.count(b"HTTP/1.1 ") == 1
    assert world.events == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "169.254.169.254"]
)
def test_another_name_for_this_server_is_refused(world: World, host: str) -> None:
    """DNS rebinding: a page of that site would read the answers."""
    reply = world.call("GET", "/jobs", headers={"Host": host})
    assert (reply.status, reply.code) == (421, "wrong_host")
    assert world.events == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080"]
)
def test_names_of_this_machine_are_its_own(world: World, host: str) -> None:
    assert world.call("GET", "/jobs", headers={"Host": host}).status == 201


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_a_request_names_one_host(world: World, hosts: bytes) -> None:
    answer = world.raw(b"GET /jobs HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 421 ")


# ── signed URLs ────────────────────────────────────────────────────────────────────────────────


def form_of(fields: Mapping[str, str], content: bytes, *, extra: bytes = b"") -> bytes:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), value.encode())
        for name, value in fields.items()
    ]
    file = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    return b"".join(parts) + file + content + b"\r\n" + extra + b"--edge--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


def post_form(
    world: World, url: str, fields: Mapping[str, str], content: bytes, *, extra: bytes = b""
) -> Reply:
    address = urlsplit(url)
    assert address.port == world.listener.port
    return world.call(
        "POST", address.path, body=form_of(fields, content, extra=extra), headers=FORM
    )


def upload(world: World, content: bytes, *, max_bytes: int = MEBIBYTE, extra: bytes = b"") -> Reply:
    form = world.service.api.links.upload_form(KEY, max_bytes=max_bytes, seconds=60)
    return post_form(world, form.url, form.fields, content, extra=extra)


def stored(world: World) -> bytes | None:
    try:
        return world.service.api.objects.get(KEY)
    except NotFoundError:
        return None


def download_path(world: World, *, key: str = KEY, file_name: str = 'a "b"\r\nc.csv') -> str:
    url = urlsplit(world.service.api.links.download_url(key, file_name=file_name, seconds=60))
    return f"{url.path}?{url.query}"


def no_leftovers(directory: Path) -> bool:
    return not [each for each in (directory / "objects/.tmp").glob("*/*") if each.is_file()]


def test_an_upload_is_stored_and_comes_back(world: World) -> None:
    content = bytes(range(256)) * 8000 + b"\r\n--edg\r\n--ed"
    assert upload(world, content, max_bytes=len(content)).status == 204
    assert stored(world) == content

    reply = world.call("GET", download_path(world))
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''a%20%22b%22%0D%0Ac.csv"
    )
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["x-content-type-options"] == "nosniff"
    head = world.call("HEAD", download_path(world))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(content))


def test_the_size_limit_is_to_the_byte(world: World, tmp_path: Path) -> None:
    assert upload(world, bytes(1001), max_bytes=1000).code == "too_large"
    assert stored(world) is None
    assert upload(world, bytes(1000), max_bytes=1000).status == 204
    reply = upload(world, bytes(3 * MEBIBYTE), max_bytes=1000)
    assert (reply.status, reply.code) == (413, "too_large")
    assert stored(world) == bytes(1000)
    assert no_leftovers(tmp_path / "data")


def test_an_empty_file_is_refused(world: World) -> None:
    """As S3 does with the conditions of the form."""
    assert (upload(world, b"").status, stored(world)) == (400, None)


def test_a_form_that_was_changed_or_has_expired(world: World, clock: ManualClock) -> None:
    form = world.service.api.links.upload_form(KEY, max_bytes=1000, seconds=60)
    for change in ({"key": "seed-data/bob/x"}, {"max_bytes": "9999"}, {"signature": "0" * 64}):
        reply = post_form(world, form.url, {**form.fields, **change}, b"x")
        assert (reply.status, reply.code) == (403, "forbidden")
    for name in form.fields:
        fewer = {each: value for each, value in form.fields.items() if each != name}
        assert post_form(world, form.url, fewer, b"x").status == 403
    clock.advance(60)
    assert post_form(world, form.url, form.fields, b"x").status == 403
    assert list(world.service.api.objects.list("")) == []


def test_a_file_that_can_not_fit_is_refused_before_it_comes(world: World) -> None:
    form = world.service.api.links.upload_form(KEY, max_bytes=1000, seconds=60)
    body = form_of(form.fields, b"x")
    head = (
        b"POST /objects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n"
        b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", world.listener.port), timeout=20) as client:
        client.sendall(head + body[: body.index(b"filename=")] + b'filename="x"\r\n\r\n')
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_field_that_is_there_twice_is_refused(world: World) -> None:
    """Whoever looks at the form on its way may look at the other one."""
    form = world.service.api.links.upload_form(KEY, max_bytes=1000, seconds=60)
    first = b'--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\nseed-data/bob/x\r\n'
    body = first + form_of(form.fields, b"x")
    assert world.call("POST", "/objects", body=body, headers=FORM).status == 403


def test_fields_after_the_file_are_ignored(world: World) -> None:
    extra = b'--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\nseed-data/bob/x\r\n'
    assert upload(world, b"x", extra=extra).status == 204
    assert [each.key for each in world.service.api.objects.list("")] == [KEY]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"--edge--\r\n", 400),
        (b"--other\r\n\r\n--other--\r\n", 400),
        (b'--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--edge--\r\n', 400),
        (b'--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\nk', 400),
        (form_of({"key": "k" * 9000}, b"x"), 413),
        (form_of({str(number): "x" for number in range(100)}, b"x"), 413),
        (form_of({}, b"x"), 403),
        (
            b'--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\na\r\n'
            + form_of({"key": "b"}, b"x"),
            403,
        ),
    ],
)
def test_a_body_that_is_no_such_form(world: World, body: bytes, status: int) -> None:
    assert world.call("POST", "/objects", body=body, headers=FORM).status == status
    assert list(world.service.api.objects.list("")) == []


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=edge"],
)
def test_a_form_says_that_it_is_one(world: World, content_type: str) -> None:
    form = world.service.api.links.upload_form(KEY, max_bytes=1000, seconds=60)
    body = form_of(form.fields, b"x")
    headers = {"Content-Type": content_type}
    assert world.call("POST", "/objects", body=body, headers=headers).status == 400


def test_a_second_file_is_refused(world: World) -> None:
    extra = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="y"\r\n\r\ny\r\n'
    assert (upload(world, b"x", extra=extra).status, stored(world)) == (400, None)


@pytest.mark.parametrize("missing", [1, 8, 20])
def test_an_upload_that_breaks_off_leaves_nothing(
    world: World, tmp_path: Path, missing: int
) -> None:
    """The client dies before the end of the form has arrived."""
    form = world.service.api.links.upload_form(KEY, max_bytes=MEBIBYTE, seconds=60)
    body = form_of(form.fields, b"x" * 300_000)
    head = (
        b"POST /objects HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", world.listener.port), timeout=20) as client:
        client.sendall(head + body[:-missing])
        client.shutdown(socket.SHUT_WR)
        read_to_end(client)
    wait_until(lambda: not world.listener.server._connections)
    assert stored(world) is None
    assert no_leftovers(tmp_path / "data")


def test_an_upload_for_which_the_disk_has_no_room_is_not_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(f_bavail=10, f_frsize=100)
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: disk)
    reply = upload(world, bytes(2000))
    assert (reply.status, reply.code, stored(world)) == (507, "storage_full", None)


def test_an_upload_without_a_length(world: World) -> None:
    answer = world.raw(b"POST /objects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")


def test_a_client_that_asks_first_is_told_to_go_on(world: World) -> None:
    """curl sends `Expect: 100-continue` with a large form and waits."""
    form = world.service.api.links.upload_form(KEY, max_bytes=1000, seconds=60)
    body = form_of(form.fields, b"x")
    head = (
        b"POST /objects HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\nContent-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", world.listener.port), timeout=20) as client:
        client.sendall(head % len(body))
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 204 ")


def test_a_download_that_was_not_signed(world: World, clock: ManualClock) -> None:
    assert upload(world, b"x").status == 204
    path = download_path(world)
    for wrong in (
        path.partition("?")[0],
        path.replace("signature=", "signature=0"),
        path.replace("file_name=a", "file_name=b"),
        path.replace("/objects/", "/objects/x"),
        path.replace("seed-data/local", "seed-data/../seed-data/local"),
        path.replace("seed-data", "%2e%2e/seed-data"),
        "/objects/",
        "/objects/%FF?signature=%FF",
    ):
        reply = world.call("GET", wrong)
        assert (reply.status, reply.code) == (403, "forbidden"), wrong
    # The token opens operations, not objects.
    assert world.call("GET", path.partition("?")[0], headers=signed_in()).status == 403
    clock.advance(60)
    assert world.call("GET", path).status == 403


def test_a_download_of_what_is_gone(world: World) -> None:
    reply = world.call("GET", download_path(world))
    assert (reply.status, reply.code) == (404, "not_found")


def test_methods_of_objects(world: World) -> None:
    assert world.call("GET", "/objects").headers["allow"] == "POST"
    refused = world.call("DELETE", download_path(world))
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert world.call("PUT", "/objects/x", body=b"x").status == 405


def test_a_store_that_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_key: str) -> Any:
        raise StorageBusyError("try again")

    monkeypatch.setattr(world.service.api.objects, "open_reader", fail)
    reply = world.call("GET", download_path(world))
    assert (reply.status, reply.code) == (503, "storage_busy")
    assert reply.headers["retry-after"] == "2"


def test_a_store_that_is_broken(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_key: str) -> Any:
        raise StorageError("the disk at /dev/sda1 has died")

    monkeypatch.setattr(world.service.api.objects, "open_reader", fail)
    reply = world.call("GET", download_path(world))
    assert (reply.status, reply.code) == (500, "internal")
    assert b"sda1" not in reply.body
    assert "object not served" in caplog.text


def test_half_an_object_is_broken_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of its own in the middle would be taken for content."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise StorageError("staged")
            return super().read(size)

    @contextmanager
    def open_failing(_key: str) -> Iterator[io.BytesIO]:
        yield Failing(bytes(MEBIBYTE))

    monkeypatch.setattr(world.service.api.objects, "open_reader", open_failing)
    request = f"GET {download_path(world)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = world.raw(request.encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"error" not in answer
    assert len(answer) < MEBIBYTE


def test_a_large_download_is_streamed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "data/objects" / KEY
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(300 * MEBIBYTE)
    with socket.create_connection(("127.0.0.1", world.listener.port), timeout=20) as client:
        client.sendall(f"GET {download_path(world)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"content-length: 314572800" in client.recv(4096).lower()
    # A client that leaves in the middle costs one connection.
    wait_until(lambda: not world.listener.server._connections)
    assert world.call("GET", "/jobs").status == 201


# ── connections ────────────────────────────────────────────────────────────────────────────────


def test_a_connection_is_kept(world: World) -> None:
    with closing(world.connect()) as connection:
        sockets = set()
        for _ in range(3):
            connection.request("POST", "/jobs", body=b"{}")
            assert read_reply(connection).status == 201
            sockets.add(connection.sock)
        assert len(sockets) == 1


def test_requests_are_answered_side_by_side(world: World) -> None:
    with closing(world.connect()) as slow:
        slow.request("GET", "/slow")
        assert world.waiting.wait(20)
        assert world.call("GET", "/jobs").status == 201
        world.gate.set()
        assert read_reply(slow).status == 201


def test_a_silent_connection_is_closed(tmp_path: Path, clock: ManualClock) -> None:
    with serving(tmp_path, clock, idle_seconds=0.1) as world:
        assert world.raw(b"") == b""
        assert world.raw(TO_JOBS + b"Content-Length: 9\r\n\r\n") == b""
        assert world.events == []


def test_one_connection_too_many_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none of the others has had its time."""
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", dict.fromkeys(Phase, 60.0))
    address = ("127.0.0.1", world.listener.port)
    with socket.create_connection(address), socket.create_connection(address):
        wait_until(lambda: len(world.listener.server._connections) == 2)
        assert world.raw(b"") == b""
    wait_until(lambda: not world.listener.server._connections)
    assert world.call("GET", "/jobs").status == 201


def test_stopping_lets_answers_end_and_closes_the_rest(world: World) -> None:
    with closing(world.connect()) as slow, closing(world.connect()) as idle:
        idle.request("GET", "/jobs")
        assert read_reply(idle).status == 201
        slow.request("GET", "/slow")
        assert world.waiting.wait(20)
        stopping = threading.Thread(target=world.server.stop)
        stopping.start()
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""
        assert stopping.is_alive()
        world.gate.set()
        assert read_reply(slow).status == 201
        stopping.join(20)
        assert not stopping.is_alive()
    with pytest.raises(OSError, match="refused"):
        world.call("GET", "/jobs")
    world.server.stop()


def test_stopping_does_not_wait_for_ever(world: World) -> None:
    with closing(world.connect()) as slow:
        slow.request("GET", "/slow")
        assert world.waiting.wait(20)
        world.server.stop(seconds=0.05)
        with pytest.raises((http.client.HTTPException, OSError)):
            read_reply(slow)


def test_a_server_that_never_started_is_stopped(tmp_path: Path, clock: ManualClock) -> None:
    with Listener(port=0) as listener:
        service = open_local_api(tmp_path, clock, base_url=listener.base_url)
        ApiServer(
            listener,
            api=service.api,
            dispatch=lambda _method, _path, _event: {},
            methods_of=methods_of,
            token=TOKEN,
            user="local",
        ).stop()
        service.close()


# ── addresses ──────────────────────────────────────────────────────────────────────────────────


def test_a_free_port_is_known_at_once() -> None:
    with Listener(port=0) as listener:
        assert listener.port > 0
        assert listener.base_url == f"http://127.0.0.1:{listener.port}"


def test_a_taken_port_says_what_to_do() -> None:
    with (
        Listener(port=0) as listener,
        pytest.raises(ConfigurationError, match="choose another port"),
    ):
        Listener(port=listener.port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ConfigurationError):
        Listener(port=port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - to be refused
def test_other_machines_are_let_in_only_on_purpose(host: str) -> None:
    with pytest.raises(ConfigurationError, match="other machines"):
        Listener(host, 0)


def test_an_address_that_is_not_of_this_machine() -> None:
    for host in ("", "no.such.host.invalid", "a" * 300, "192.0.2.1"):
        with pytest.raises(ConfigurationError):
            Listener(host, 0, allow_remote=True)


def test_where_other_machines_are_let_in_any_name_will_do() -> None:
    with Listener("0.0.0.0", 0, allow_remote=True) as listener:  # noqa: S104 - on purpose
        assert listener.is_own_name("seedwright.example:8080")
        assert listener.base_url == f"http://127.0.0.1:{listener.port}"


def test_a_name_in_front_of_the_server() -> None:
    with Listener(port=0, public_url="https://seedwright.example/") as listener:
        assert listener.base_url == "https://seedwright.example"


def test_the_loopback_of_ip_version_6() -> None:
    try:
        listener = Listener("::1", 0)
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.base_url == f"http://[::1]:{listener.port}"
        assert listener.is_own_name("[::1]:80")

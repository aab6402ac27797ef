"""Clients that take their time, on purpose or not, and what else they send at the edge of HTTP."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from runtime.cli.main import run
from runtime.server import listener as server_module
from runtime.server import reading
from runtime.server.listener import Phase
from tests.fixtures.clock import ManualClock
from tests.fixtures.local_api import served_api

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def port(tmp_path: Path, clock: ManualClock) -> Iterator[int]:
    with served_api(tmp_path, clock, head_seconds=0.3) as (listener, _):
        yield listener.port


def is_healthy(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def answer_to(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return client.recv(4096)


@pytest.mark.parametrize("sent", [b"", HEAD, POST], ids=["nothing", "half a head", "half a body"])
def test_e18_slow_connections_leave_room_for_others(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    patience = dict.fromkeys(Phase, 0.05)
    monkeypatch.setattr(server_module, "PATIENCE_SECONDS", patience)
    with ExitStack() as stack:
        for _ in range(server_module.MAX_CONNECTIONS):
            slow = socket.create_connection(("127.0.0.1", port), timeout=5)
            stack.enter_context(slow)
            slow.sendall(sent)
        deadline = time.monotonic() + 5
        while not is_healthy(port):
            assert time.monotonic() < deadline, "others are blocked"


def test_e18_connections_without_a_head_wait_for_nobody(port: int) -> None:
    """However new they are: the next request takes the place of the oldest."""
    with ExitStack() as stack:
        for _ in range(server_module.MAX_CONNECTIONS):
            slow = socket.create_connection(("127.0.0.1", port), timeout=5)
            stack.enter_context(slow)
            slow.sendall(HEAD)
        assert is_healthy(port)


@pytest.mark.parametrize(("sent", "more"), [(HEAD, b"x"), (POST, b"x")])
def test_e18_a_request_that_drips_in_is_given_up(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes, more: bytes
) -> None:
    """It is never idle, so that only a deadline ends it."""
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.3)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=0.02) as client:
        client.sendall(sent)
        while True:
            try:
                client.sendall(more)
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                assert time.monotonic() - began < 5, "it goes on for ever"
            except OSError:
                break
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000, "9" * 101, "-1", "1e3", "\u0661"])
def test_e18_a_length_that_is_no_number_is_a_400(port: int, digits: str) -> None:
    request = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {digits}\r\n\r\n"
    assert answer_to(port, request.encode()).startswith(b"HTTP/1.1 400 ")
    assert is_healthy(port)


@pytest.mark.parametrize(
    "path", ["/jobs?limit=" + "9" * 5000, "/objects/x?expires=" + "9" * 5000, "/jobs/" + "9" * 5000]
)
def test_e18_other_numbers_of_5000_digits_are_refused(port: int, path: str) -> None:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\n\r\n".encode()
    )
    assert answer_to(port, request).split()[1] in {b"400", b"403", b"404"}


# ── options that become a part of a host name or a path ────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [
        ["--region", "a.b/c"],
        ["--region", "eu-west-1#"],
        ["--region", "evil.example/"],
        ["--region", "x" * 300],
        ["--region", "eu west"],
        ["--api-url", "https://exa mple.com"],
        ["--api-url", "https://"],
        ["--api-url", "https://e.com/\x1b[2J"],
        ["--api-url", "https://e.com:99999999"],
        ["--api-url", "https://" + "a" * 300 + ".com"],
        ["--api-url", "https://e..com"],
        ["--api-url", "https://[::1"],
    ],
    ids=str,
)
def test_e18_an_odd_region_or_url_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SEEDWRIGHT_PASSWORD", "secret")
    usual = {"--region": "eu-west-1", "--api-url": "https://api.example.com"}
    usual[options[0]] = options[1]
    arguments = [each for pair in usual.items() for each in pair]
    assert run(["login", "--user-pool-client-id", "x", "--username", "a", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "\x1b" not in line


def test_e18_an_odd_url_in_the_environment_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEDWRIGHT_TOKEN", "t")
    for url in (
        "https://a b",
        "https://e.com/a b",
        "https://e.com/%zz#",
    ):
        monkeypatch.setenv("SEEDWRIGHT_API_URL", url)
        assert run(["jobs"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1

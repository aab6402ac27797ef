"""Connections to servers: whose certificate is taken, which proxy is asked, and what a failure
before the request means.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.domain.errors import ConfigurationError, ModelError, ModelErrorKind
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.models.provider_file import ServerSettings
from runtime.models.servers import open_server
from runtime.proxies import proxy_of
from tests.fixtures.certificates import self_signed

COMPLETION = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(COMPLETION), COMPLETION)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Gives each connection to `serve`; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer, suppress(OSError):
                        serve(peer)

        threading.Thread(target=run, daemon=True).start()
        yield listener.getsockname()[1]


def with_tls(file: Path) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def serve(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as secret:
            secret.recv(65536)
            secret.sendall(ANSWER)

    return serve


def call(url: str, **fields: Any) -> str:
    models = open_server(ServerSettings(name="far", base_url=url, free=True, **fields), {})
    messages = (Message(role=Role.USER, text="x"),)
    try:
        wanted = ModelRequest(model="far/m", messages=messages, max_tokens=1, timeout_seconds=5)
        return models.converse(wanted).text
    finally:
        models.close()


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_is_taken_if_the_bundle_of_the_environment_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    file = self_signed(tmp_path)
    with listening(with_tls(file)) as port:
        with pytest.raises(ModelError, match="certificate that nobody here trusts") as caught:
            call(f"https://127.0.0.1:{port}/v1")
        assert caught.value.kind is ModelErrorKind.NOT_SENT
        monkeypatch.setenv(variable, str(file))
        assert call(f"https://127.0.0.1:{port}/v1") == "hi"


def test_a_bundle_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(ConfigurationError, match=r"/nowhere\.pem can't be read"):
        call("https://127.0.0.1:1/v1")


def test_a_proxy_that_refuses_has_not_sent_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written to open its tunnel is no byte of the request."""
    asked: list[bytes] = []

    def refuse(peer: socket.socket) -> None:
        asked.append(peer.recv(65536))
        peer.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    with listening(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(ModelError) as caught:
            call("https://far.example/v1")
    assert caught.value.kind is ModelErrorKind.NOT_SENT
    assert asked[0].startswith(b"CONNECT far.example:443")


def test_a_request_goes_through_the_proxy_for_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(peer: socket.socket) -> None:
        asked.append(peer.recv(65536))
        peer.sendall(ANSWER)

    with listening(answer) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert call("http://far.example/v1") == "hi"
    assert asked[0].startswith(b"POST http://far.example/v1/chat/completions HTTP/1.1")


def test_this_machine_and_what_is_named_are_reached_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_of("http://far.example/v1") == "http://proxy.example:3128"
    assert proxy_of("http://inside.example/v1") is None
    assert proxy_of("http://127.0.0.1:8000/v1") is None
    assert proxy_of("https://far.example/v1") is None


def test_a_header_of_the_user_takes_the_place_of_ours() -> None:
    asked: list[bytes] = []

    def answer(peer: socket.socket) -> None:
        asked.append(peer.recv(65536))
        peer.sendall(ANSWER)

    own = {"user-agent": "mine", "HOST": "inner.example", "content-type": "application/json"}
    with listening(answer) as port:
        assert call(f"http://127.0.0.1:{port}/v1", headers=own) == "hi"
    head = asked[0].split(b"\r\n\r\n")[0].lower()
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert len(names) == len({*names})
    assert b"\r\nuser-agent: mine\r\n" in head
    assert b"\r\nhost: inner.example\r\n" in head

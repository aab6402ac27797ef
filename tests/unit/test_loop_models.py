"""The client on an event loop, on real sockets: what was sent, what is in doubt, what is read."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import CredentialRetrievalError
from botocore.hooks import HierarchicalEmitter

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import Message, ModelReply, ModelRequest
from runtime.domain.roles import Role
from runtime.models.bedrock_loop import open_bedrock
from runtime.models.loop_models import LoopModels
from runtime.models.transport import authorization, connection
from runtime.models.transport.hooks import AFTER_CALL, BEFORE_CALL
from runtime.models.transport.loop_thread import LoopThread
from runtime.models.transport.opening import connect_socket
from runtime.models.wire import WireReply
from runtime.sdk import BedrockAccess, Timeouts, bedrock_access
from runtime.worker.pool import BackgroundCallPool, Completion
from tests.fixtures.certificates import trusted_context
from tests.fixtures.raw_server import RawServer, answering, raw_server, whole

DEADLINE = 20.0
TIMEOUTS = Timeouts(connect=5, table=1, object=1, attempts=1)
K = ModelErrorKind


def access(url: str, **fields: Any) -> BedrockAccess:
    return replace(
        BedrockAccess(
            url=url,
            region="us-east-1",
            signing_name="bedrock",
            credentials=Credentials("testing", "testing"),
            token=None,
            proxy=None,
            authorities=None,
            events=HierarchicalEmitter(),
        ),
        **fields,
    )


@contextmanager
def client(url: str, *, open_socket: Any = connect_socket, **fields: Any) -> Iterator[LoopModels]:
    models = open_bedrock(access(url, **fields), timeouts=TIMEOUTS, open_socket=open_socket)
    try:
        yield models
    finally:
        models.close()


def request(seconds: float = DEADLINE, text: str = "hi") -> ModelRequest:
    messages = (Message(role=Role.USER, text=text),)
    return ModelRequest(model="m", messages=messages, max_tokens=1, timeout_seconds=seconds)


def outcome(models: LoopModels, seconds: float = DEADLINE) -> str:
    """The text of the reply, or the kind of the error."""
    try:
        return models.converse(request(seconds)).text
    except ModelError as error:
        return str(error.kind)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


# ── not sent, or in doubt ──────────────────────────────────────────────────────────────────────


class CutSocket(socket.socket):
    """Its connection breaks once so many bytes were written."""

    left = 0

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.left:
            raise ConnectionResetError
        sent = super().send(bytes(data)[: self.left], flags)
        self.left -= sent
        return sent

    def sendmsg(self, buffers: Any, *_: Any) -> int:  # what asyncio writes the rest with
        return self.send(b"".join(bytes(each) for each in buffers))


def test_a_call_is_in_doubt_from_its_first_byte_on() -> None:
    """At every byte of a request: nobody can bill what was not begun, and anybody the rest."""
    bytes_left = 10**6
    cut: CutSocket

    async def open_socket(host: str, port: int) -> socket.socket:
        nonlocal cut
        whole_one = await connect_socket(host, port)
        cut = CutSocket(fileno=whole_one.detach())
        cut.setblocking(False)
        cut.left = bytes_left
        return cut

    with raw_server() as server, client(server.url, open_socket=open_socket) as models:
        assert outcome(models) == "yes"
        size = len(server.requests[0])
        cut.left = 0  # the connection that has been good so far
        kinds = [outcome(models)]
        for bytes_left in range(size):  # noqa: B007 - the next socket has it
            kinds.append(outcome(models))  # noqa: PERF401 - one after the other
    assert kinds == [K.NOT_SENT, K.NOT_SENT, *[K.IN_DOUBT] * (size - 1)]
    assert len(server.requests) == 1


def test_a_connection_that_the_server_closed_is_not_asked_again() -> None:
    """Also when the loop has not read of it yet: it is looked for just before a request."""

    def once(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.sendall(whole())

    with raw_server(once) as server, client(server.url) as models:
        for _ in range(20):
            assert outcome(models) == "yes"
            until(lambda: server.closed == server.connections)
        assert (server.connections, len(server.requests)) == (20, 20)


def test_a_kept_connection_that_is_closed_upon_a_request_leaves_it_in_doubt() -> None:
    def one_and_a_half(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.sendall(whole())
        peer.recv(1)

    with raw_server(one_and_a_half) as server, client(server.url) as models:
        assert [outcome(models) for _ in range(2)] == ["yes", K.IN_DOUBT]
        assert server.connections == 1  # and nothing is sent a second time


def test_a_connection_that_was_silent_for_long_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.models.transport.connections.IDLE_SECONDS", 0.0)
    with raw_server() as server, client(server.url) as models:
        assert [outcome(models) for _ in range(3)] == ["yes"] * 3
        assert server.connections == 3


def test_connections_are_kept() -> None:
    with raw_server() as server, client(server.url) as models:
        assert [outcome(models) for _ in range(9)] == ["yes"] * 9
        assert (server.connections, len(server.requests)) == (1, 9)


@pytest.mark.parametrize("trickles", [True, False])
def test_a_reply_is_waited_for_exactly_as_long_as_was_asked(*, trickles: bool) -> None:
    """However often something of it comes."""
    ended = threading.Event()

    def slow(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        for byte in whole():
            if ended.wait(0.02):
                return
            if trickles:
                peer.sendall(bytes([byte]))

    with raw_server(slow) as server, client(server.url) as models:
        started = time.monotonic()
        with pytest.raises(ModelError) as caught:
            models.converse(request(0.3))
        seconds = time.monotonic() - started
        ended.set()
    assert (caught.value.kind, caught.value.timed_out) == (K.IN_DOUBT, True)
    assert 0.3 <= seconds < 1.5


# ── replies ────────────────────────────────────────────────────────────────────────────────────

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY = whole().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (whole(), True),
        (whole(head=b"Connection: close\r\n"), False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + whole(), True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole(), True),
        (
            _CHUNKED + b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (_BODY[:5], len(_BODY) - 5, _BODY[5:]),
            True,
        ),
        (whole() + whole(b"{}"), False),
        (whole() + b"garbage", False),
    ],
)
@pytest.mark.parametrize("step", [1, 10**6])
def test_an_answer_is_read_whatever_its_form_and_its_pieces(
    answer: bytes, *, kept: bool, step: int
) -> None:
    """What comes after it is nobody's answer: the connection is given up."""

    def handle(peer: socket.socket, server: RawServer) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while server.read_request(peer):
            for at in range(0, len(answer), step):
                peer.sendall(answer[at : at + step])

    with raw_server(handle) as server, client(server.url) as models:
        assert outcome(models) == "yes"
        if kept:
            assert outcome(models) == "yes"
            assert server.connections == 1
        elif step > 1:
            assert outcome(models) == "yes"
            assert server.connections == 2


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    def handle(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + _BODY)

    with raw_server(handle) as server, client(server.url) as models:
        assert [outcome(models) for _ in range(2)] == ["yes", "yes"]


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", whole()[:-1]]
)
def test_what_can_not_be_read_is_in_doubt(answer: bytes) -> None:
    def handle(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.sendall(answer)

    with raw_server(handle) as server, client(server.url) as models:
        assert outcome(models) == K.IN_DOUBT


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_REPLY_BYTES", 10_000)

    def handle(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 4096)

    with raw_server(handle) as server, client(server.url) as models:
        assert outcome(models) == K.IN_DOUBT


# ── withdrawing, waking, ending ────────────────────────────────────────────────────────────────


class SlowDoor:
    """Opens sockets once it is told to."""

    def __init__(self) -> None:
        self.is_open = False
        self.knocks = 0

    async def open_socket(self, host: str, port: int) -> socket.socket:
        import asyncio  # noqa: PLC0415

        self.knocks += 1
        while not self.is_open:  # noqa: ASYNC110 - told by another thread
            await asyncio.sleep(0.001)
        return await connect_socket(host, port)


def collected(pool: BackgroundCallPool, count: int) -> list[Completion]:
    completions: list[Completion] = []
    deadline = time.monotonic() + DEADLINE
    while len(completions) < count:
        assert time.monotonic() < deadline
        completions += pool.wait(1.0)
    return completions


def test_what_has_written_no_byte_is_taken_back() -> None:
    """S4.2: and it is never written, when the connection that it waited for is there."""
    door = SlowDoor()
    with raw_server() as server, client(server.url, open_socket=door.open_socket) as models:
        pool = BackgroundCallPool(models)
        for call in range(5):
            pool.submit(call, request())
        until(lambda: door.knocks)
        assert sorted(pool.withdraw()) == [0, 1, 2, 3, 4]
        assert pool.withdraw() == []
        door.is_open = True
        pool.submit(5, request())
        assert [each.call for each in collected(pool, 1)] == [5]
        assert len(server.requests) == 1


def test_what_was_written_is_not_taken_back() -> None:
    release = threading.Event()

    def patient(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        release.wait(DEADLINE)
        peer.sendall(whole())

    with raw_server(patient) as server, client(server.url) as models:
        pool = BackgroundCallPool(models)
        for call in range(3):
            pool.submit(call, request())
        until(lambda: len(server.requests) == 3)
        assert pool.withdraw() == []
        release.set()
        assert sorted(each.call for each in collected(pool, 3)) == [0, 1, 2]
        assert pool.withdraw() == []


def test_calls_are_withdrawn_or_end_and_never_both() -> None:
    """While they are on their way to the loop, however the threads fall."""
    with raw_server() as server, client(server.url) as models:
        pool = BackgroundCallPool(models)
        withdrawn: list[int] = []
        for call in range(300):
            pool.submit(call, request())
            if call % 7 == 0:
                withdrawn += pool.withdraw()
        ended = [each.call for each in collected(pool, 300 - len(withdrawn))]
        assert sorted(withdrawn + ended) == list(range(300))
        assert len(server.requests) == len(ended)


def test_a_signal_ends_a_wait() -> None:
    """S4.1."""
    with raw_server() as server, client(server.url) as models:
        pool = BackgroundCallPool(models)
        before = signal.signal(signal.SIGALRM, lambda _number, _frame: pool.wake())
        started = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert pool.wait(60) == []
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - started < DEADLINE


def test_clients_share_a_loop_that_ends_with_the_last_of_them() -> None:
    thread = LoopThread("shared-calls")
    with raw_server(answering(whole())) as server:
        one, other = (
            open_bedrock(access(server.url), timeouts=TIMEOUTS, thread=thread) for _ in range(2)
        )
        assert outcome(one) == outcome(other) == "yes"
        assert running("shared-calls") == 1

        one.close()
        one.close()
        assert outcome(one) == K.NOT_SENT
        assert outcome(other) == "yes"
        other.close()

        assert outcome(other) == K.NOT_SENT
        assert len(server.requests) == 3
    assert not running("shared-calls")


def test_a_call_that_waits_for_credentials_is_not_sent_after_its_client_was_closed() -> None:
    thread, asked, given = LoopThread(), threading.Event(), threading.Event()

    def fetch() -> Any:
        asked.set()
        given.wait(DEADLINE)
        return SimpleNamespace(access_key="testing", secret_key="testing", token=None)  # noqa: S106

    slow = SimpleNamespace(get_frozen_credentials=fetch, refresh_needed=None)
    with raw_server(answering(whole())) as server:
        models = open_bedrock(
            access(server.url, credentials=slow), timeouts=TIMEOUTS, thread=thread
        )
        other = open_bedrock(access(server.url), timeouts=TIMEOUTS, thread=thread)
        ended: list[ModelReply | ModelError] = []
        models.begin(request(), ended.append)
        assert asked.wait(DEADLINE)
        models.close()
        given.set()
        until(lambda: ended)
        assert [str(each.kind) for each in ended if isinstance(each, ModelError)] == [K.NOT_SENT]
        assert not server.requests
        other.close()


def running(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_closing_ends_what_is_under_way_as_lost_and_begins_nothing() -> None:
    def silent(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        peer.recv(1)

    before = running("model-calls")  # of clients that other tests share
    with raw_server(silent) as server, client(server.url) as models:
        ended: list[ModelReply | ModelError] = []
        models.begin(request(), ended.append)
        until(lambda: server.requests)
        models.close()
        models.close()
        assert [str(each.kind) for each in ended if isinstance(each, ModelError)] == [K.IN_DOUBT]
        assert outcome(models) == K.NOT_SENT
        assert len(server.requests) == 1
    assert running("model-calls") == before


# ── hooks ──────────────────────────────────────────────────────────────────────────────────────


def test_a_hook_may_answer_refuse_and_lose() -> None:
    events: Any = HierarchicalEmitter()
    acts: list[Any] = ["refuse", WireReply(status=429), None, None]

    def before(**_: object) -> Any:
        act = acts.pop(0)
        if act == "refuse":
            raise CredentialRetrievalError(provider="p", error_msg="m")
        return act

    seen: list[int] = []
    events.register(BEFORE_CALL, before)
    events.register(AFTER_CALL, lambda result, **_: seen.append(result.status))
    with raw_server() as server, client(server.url, events=events) as models:
        kinds = [outcome(models) for _ in range(3)]
        assert kinds == [K.NOT_SENT, K.THROTTLED, "yes"]
        assert seen == [429, 200]
        assert len(server.requests) == 1


# ── who asks, and by which way ─────────────────────────────────────────────────────────────────


class Renewed:
    """Credentials of botocore that may be renewed."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    def refresh_needed(self) -> bool:
        return False

    def get_frozen_credentials(self) -> Any:
        self.asked += 1
        assert self.may_answer.wait(DEADLINE)
        if self.error:
            raise self.error
        return SimpleNamespace(access_key=f"key{self.asked}", secret_key="s", token="t")  # noqa: S106


def test_credentials_are_renewed_while_calls_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization, "LOOK_SECONDS", 0.0)
    keys = Renewed()
    with raw_server() as server, client(server.url, credentials=keys) as models:
        assert outcome(models) == "yes"
        keys.may_answer.clear()
        assert [outcome(models) for _ in range(3)] == ["yes"] * 3  # while somebody thinks
        keys.may_answer.set()
        until(lambda: outcome(models) == "yes" and b"key2/" in server.requests[-1])
    assert b"key1/" in server.requests[3]
    assert b"X-Amz-Security-Token: t" in server.requests[0]


def test_calls_wait_for_credentials_that_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization, "TRUSTED_SECONDS", 0.0)
    keys = Renewed()
    keys.error = CredentialRetrievalError(provider="p", error_msg="m")
    with raw_server() as server, client(server.url, credentials=keys) as models:
        assert outcome(models) == K.NOT_SENT
        keys.error = None
        assert outcome(models) == "yes"
        assert outcome(models) == "yes"
    assert [b"key%d/" % number in server.requests[number - 2] for number in (2, 3)] == [True, True]


def test_an_api_key_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "an-api-key")
    with raw_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{server.url}/below/")
        models = open_bedrock()
        assert outcome(models) == "yes"
        models.close()
    assert b"\r\nAuthorization: Bearer an-api-key\r\n" in server.requests[0]
    assert server.requests[0].startswith(b"POST /below/model/m/converse HTTP/1.1\r\n")


def test_no_header_can_be_smuggled_in() -> None:
    token = "a\r\nX-Evil: 1"  # noqa: S105 - no secret
    with raw_server() as server, client(server.url, token=token) as models:
        assert outcome(models) == K.REJECTED
        assert server.requests == []


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, bundle = trusted_context(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with raw_server(context=context) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        models = open_bedrock()
        assert [outcome(models) for _ in range(2)] == ["yes", "yes"]
        models.close()
        assert server.connections == 1
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.replace("127.0.0.1", "localhost"))
        models = open_bedrock()
        assert outcome(models) == K.NOT_SENT  # a certificate of another host
        models.close()


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//ada:secret@"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://bedrock.invalid:81")
        models = open_bedrock()
        assert outcome(models) == "yes"
        models.close()
        monkeypatch.setenv("no_proxy", "bedrock.invalid")
        assert bedrock_access().proxy is None
    (seen,) = proxy.requests
    assert seen.startswith(b"POST http://bedrock.invalid:81/model/m/converse HTTP/1.1\r\n")
    assert b"\r\nHost: bedrock.invalid:81\r\n" in seen
    assert b"\r\nProxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in seen


@pytest.mark.parametrize("welcome", [True, False])
def test_a_proxy_opens_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, welcome: bool
) -> None:
    context, bundle = trusted_context(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))

    def tunnel(peer: socket.socket, server: RawServer) -> None:
        server.read_request(peer)
        if not welcome:
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(peer, server_side=True) as inner:
            answering()(inner, server)

    with raw_server(tunnel) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:444")
        # Named by hand: this machine is never reached through the proxy of the environment.
        named = proxy.url.replace("//", "//ada:secret@")
        models = open_bedrock(replace(bedrock_access(), proxy=named))
        assert outcome(models) == ("yes" if welcome else K.NOT_SENT)
        models.close()
    assert proxy.requests[0].startswith(
        b"CONNECT 127.0.0.1:444 HTTP/1.1\r\nHost: 127.0.0.1:444\r\n"
    )
    assert b"Proxy-Authorization: Basic YWRhOnNlY3JldA==" in proxy.requests[0]
    if welcome:
        assert proxy.requests[1].startswith(b"POST /model/m/converse HTTP/1.1\r\n")
        assert b"Proxy-Authorization" not in proxy.requests[1]


def test_a_name_that_nobody_knows_was_not_sent() -> None:
    with client("http://no-such-name.invalid:80") as models:
        assert outcome(models) == K.NOT_SENT


def test_a_handshake_that_is_cut_off_was_not_sent() -> None:
    """The server has read nothing that could be billed."""

    def rude(peer: socket.socket, _: RawServer) -> None:
        peer.recv(10)

    with raw_server(rude) as server, client(server.url.replace("http", "https")) as models:
        assert outcome(models) == K.NOT_SENT

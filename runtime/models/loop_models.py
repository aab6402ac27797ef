"""A client of models whose calls run on an event loop, as many at a time as there are."""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import BegunCall, ModelReply, ModelRequest
from runtime.models.begun import Begun, Ended
from runtime.models.transport.authorization import Authorization, Authorize
from runtime.models.transport.connection import Connection
from runtime.models.transport.connections import CLOSED, Connections
from runtime.models.transport.exchange import Failures, WireFault, WireHook
from runtime.models.transport.hooks import EVERY_CALL, Hooks
from runtime.models.transport.loop_thread import LoopThread
from runtime.models.transport.opening import Address, OpenSocket, connect_socket
from runtime.models.wire import ApiFamily, WireReply, WireRequest

_AS_WRITTEN: Final = "/%:@!$&'()*+,;=~"
"""What may stand in a path beside letters and digits, and what is quoted already."""


class _Call(Begun):
    """A call with what the loop knows of it."""

    __slots__ = ("authorize", "family", "wire")

    family: ApiFamily
    wire: WireRequest
    authorize: Authorize


class LoopModels:
    """A `BackgroundModels`: one pool of keep-alive connections on a loop, which clients of other
    providers may share. A call is at most one HTTP request, and nothing here sends it again.

    `families` are the ways in which models can be called there, `usual` that of a request that
    names none; `failures` says what a call without a reply is. `hook` sees what `EVERY_CALL` sees.
    """

    def __init__(
        self,
        *,
        families: Mapping[Api, ApiFamily],
        usual: Api,
        failures: Failures,
        address: Address,
        authorization: Authorization,
        headers: Mapping[str, str],
        longest_wait: float | None = None,
        hook: WireHook | None = None,
        open_socket: OpenSocket = connect_socket,
        thread: LoopThread | None = None,
    ) -> None:
        self._families = families
        self._usual = usual
        self._failures = failures
        self._target = address.target
        self._base = quote(address.url.path.rstrip("/"), safe=_AS_WRITTEN)
        self._headers = {"Host": address.host, **headers}
        self._unsigned = {"Accept-Encoding": "identity"}
        if address.target:
            self._unsigned |= address.proxy_headers
        self._authorization = authorization
        self._longest_wait = longest_wait or float("inf")
        self._hook = Hooks(*(each for each in (EVERY_CALL, hook) if each is not None))
        self._connections = Connections(address, open_socket)
        self._thread = thread or LoopThread()
        self._thread.add_client()
        self._open = [True]
        self._is_closed = False
        self._inbox: deque[_Call] = deque()
        self._unauthorized: set[_Call] = set()
        self._is_noticed = False
        self._was_answered = False

    # ── from any thread ────────────────────────────────────────────────────────────────────────

    def begin(self, request: ModelRequest, ended: Ended) -> BegunCall:
        """Call a model. `ended` is called once, on another thread, unless the call is withdrawn."""
        call = _Call(request, ended)
        self._inbox.append(call)
        # The loop unsets it before it empties the box, so that what is put in later is seen.
        if not self._is_noticed:
            self._is_noticed = True
            if not self._thread.call(self._empty_inbox):
                self._empty_unsent()
        return call

    def converse(self, request: ModelRequest) -> ModelReply:
        """The same, waited for. Raises `ModelError`."""
        future: Future[ModelReply | ModelError] = Future()
        self.begin(request, future.set_result)
        result = future.result()
        if isinstance(result, ModelError):
            raise result
        return result

    def close(self) -> None:
        """Hang up. Calls under way end as lost, those that were not written as not sent. The second
        time nothing happens.
        """
        with suppress(IndexError):
            self._open.pop()  # one step, whatever threads do
            self._thread.close(self._hang_up)

    async def _hang_up(self) -> None:
        self._is_closed = True
        self._empty_unsent()
        for call in list(self._unauthorized):
            self._no_answer(call, CLOSED)
        await self._connections.close()

    def _empty_unsent(self) -> None:
        """The client is closed."""
        while self._inbox:
            self._no_answer(self._inbox.popleft(), CLOSED)

    # ── on the loop ────────────────────────────────────────────────────────────────────────────

    def _empty_inbox(self) -> None:
        self._is_noticed = False
        while self._inbox:
            self._start(self._inbox.popleft())

    def _start(self, call: _Call) -> None:
        try:
            usual = self._families[self._usual]
            call.family = self._families.get(call.request.api or self._usual, usual)
            wire = call.family.encode(call.request)
            call.wire = replace(wire, path=self._base + wire.path) if self._base else wire
        except Exception as exc:  # noqa: BLE001 - a defect must not lose a call
            if call.claim():
                call.ended(_defect(exc))
            return
        self._unauthorized.add(call)
        self._authorization.prepare(partial(self._connect, call), partial(self._broken, call))

    def _connect(self, call: _Call, authorize: Authorize) -> None:
        self._unauthorized.discard(call)
        if self._is_closed:
            self._no_answer(call, CLOSED)
            return
        call.authorize = authorize
        self._connections.take(partial(self._write, call), partial(self._no_answer, call))

    def _write(self, call: _Call, connection: Connection) -> bool:
        """Whether the connection is in use now."""
        if not call.claim():
            return False
        try:
            answer = self._hook.before(call.request, call.wire)
        except Exception as exc:  # noqa: BLE001 - as above
            call.ended(self._failures.broken(exc, call.request))
            return False
        if answer:
            self._ended(call, answer)
            return False
        try:
            data = self._raw(call)
        except Exception as exc:  # noqa: BLE001 - as above
            call.ended(_defect(exc))
            return False
        seconds = min(call.request.timeout_seconds, self._longest_wait)
        connection.send(data, partial(self._ended, call), seconds)
        return True

    def _raw(self, call: _Call) -> bytes:
        wire = call.wire
        headers = call.authorize(wire, {**self._headers, **wire.headers})
        headers |= self._unsigned
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        head = (
            f"{wire.method} {self._target}{wire.path} HTTP/1.1\r\n{lines}"
            f"Content-Length: {len(wire.body)}\r\n\r\n"
        )
        if head.count("\n") != len(headers) + 3:
            raise ValueError("a header holds a line break")
        return head.encode() + wire.body

    # ── how it ends ────────────────────────────────────────────────────────────────────────────

    def _ended(self, call: _Call, result: WireReply | WireFault) -> None:
        try:
            result = self._hook.after(call.request, call.wire, result)
            ended = self._read(call, result)
        except Exception as exc:  # noqa: BLE001 - as above; its message may quote anything
            ended = ModelError(
                ModelErrorKind.IN_DOUBT, f"unexpected {type(exc).__name__} in a model call"
            )
        call.ended(ended)

    def _read(self, call: _Call, result: WireReply | WireFault) -> ModelReply | ModelError:
        if isinstance(result, WireFault):
            return self._fault(call, result)
        self._was_answered = True
        try:
            return call.family.decode(result, call.request)
        except ModelError as error:
            return error

    def _no_answer(self, call: _Call, fault: WireFault) -> None:
        if call.claim():
            call.ended(self._fault(call, fault))

    def _fault(self, call: _Call, fault: WireFault) -> ModelError:
        return self._failures.fault(replace(fault, first=not self._was_answered), call.request)

    def _broken(self, call: _Call, error: Exception) -> None:
        self._unauthorized.discard(call)
        if call.claim():
            call.ended(self._failures.broken(error, call.request))


def _defect(error: Exception) -> ModelError:
    """The error of a call that was never written; its message may quote anything."""
    return ModelError(
        ModelErrorKind.REJECTED, f"unexpected {type(error).__name__} before a model call"
    )

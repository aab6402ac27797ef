"""One keep-alive connection: a request at a time, and the answer that llhttp reads of it."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from httptools import HttpParserError, HttpResponseParser

from runtime.domain.errors import ModelErrorKind
from runtime.models.transport.exchange import WireFault
from runtime.models.wire import WireReply

MAX_REPLY_BYTES: Final = 64 * 2**20
"""Of head and body. No completion is as long, and a stranger's server may send without an end."""

_LATE: Final = WireFault(kind=ModelErrorKind.IN_DOUBT, code="ReadTimeoutError", timed_out=True)
_LOST: Final = WireFault(kind=ModelErrorKind.IN_DOUBT, code="ConnectionClosedError")
_UNREADABLE: Final = WireFault(kind=ModelErrorKind.IN_DOUBT, code="ResponseParserError")
_UNWRITTEN: Final = WireFault(kind=ModelErrorKind.NOT_SENT, code="ConnectionClosedError")

Ended = Callable[[WireReply | WireFault], None]


class Connection(asyncio.Protocol):
    """`on_free` is called when its answer is read and it may be asked again, `on_lost` once when it
    is gone. Belongs to the thread of its loop.
    """

    def __init__(
        self,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._ended: Ended | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._headers: dict[str, str]
        self._parts: list[bytes]
        self._size: int
        self._until_the_end: bool
        self._keep: bool
        self._reply: WireReply | None
        self._begin_answer()
        self.idle_since = 0.0

    def send(self, data: bytes, ended: Ended, seconds: float) -> None:
        """Write a request; `ended` is called once, at the latest after so many seconds."""
        self._ended = ended
        self._transport.write(data)
        if self._transport.is_closing():
            # It was closed by then, or the first attempt to write has failed: nothing has left.
            self._end(_UNWRITTEN)
            return
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, _LATE)

    @property
    def is_open(self) -> bool:
        """Whether it may be asked, as far as is known without asking the system."""
        return not self._transport.is_closing()

    @property
    def descriptor(self) -> int:
        """The number of its socket."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    def close(self) -> None:
        """Hang up; a request under way ends as lost."""
        self._transport.abort()

    # ── asyncio ────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called again when the connection is wrapped in TLS."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._ended is None:
            self.close()  # nothing was asked
            return
        self._size += len(data)
        if self._size > MAX_REPLY_BYTES:
            self._end(_UNREADABLE)
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if self._reply is None:
                self._end(_UNREADABLE)
        if self._reply is not None:
            # Only now, when all that came with it was read: none of it may answer the next request.
            self._answered(keep=self._keep)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._until_the_end and exc is None:
            self._answered(keep=False)
        self._end(_LOST)
        self._on_lost(self)

    # ── httptools ──────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        self._keep = False  # true again at the end of the first answer to a request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers = self._headers
        self._until_the_end = not (
            "content-length" in headers
            or "transfer-encoding" in headers
            or self._parser.get_status_code() in {204, 304}
        )

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._reply is None and self._parser.get_status_code() >= 200:  # noqa: PLR2004
            self._reply = self._whole()
            self._keep = self._parser.should_keep_alive()
        elif self._reply is None:
            self._begin_answer()  # that was a word in advance

    # ── one answer ─────────────────────────────────────────────────────────────────────────────

    def _begin_answer(self) -> None:
        self._headers = {}
        self._parts = []
        self._size = 0
        self._until_the_end = False
        self._reply = None
        self._keep = False

    def _whole(self) -> WireReply:
        return WireReply(
            status=self._parser.get_status_code(),
            headers=self._headers,
            body=self._parts[0] if len(self._parts) == 1 else b"".join(self._parts),
        )

    def _answered(self, *, keep: bool) -> None:
        reply = self._reply or self._whole()
        self._begin_answer()
        # A server that answers before it has read all will not take another request after this.
        keep = keep and not self._transport.get_write_buffer_size()
        self._end(reply, keep=keep)

    def _end(self, result: WireReply | WireFault, *, keep: bool = False) -> None:
        if (ended := self._ended) is None:
            return
        self._ended = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if keep:
            self._on_free(self)
        else:
            self._transport.abort()
        ended(result)

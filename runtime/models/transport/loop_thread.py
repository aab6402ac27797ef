"""An event loop on a thread of its own, started when it is first needed."""

import resource
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a job that calls nobody over HTTP need not wait for it
    import asyncio

_OPEN_FILES: Final = 4096
"""So many a process may have at least, if its hard limit lets it: a call in flight is a socket, and
macOS begins with 256."""
_CLOSING_SECONDS: Final = 2.0


class LoopThread:
    """Shared by clients, each of which adds itself and closes; it ends with the last one. Its
    thread is a daemon and never holds up the process.
    """

    def __init__(self, name: str = "model-calls") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._clients = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def add_client(self) -> None:
        """One more uses it."""
        with self._lock:
            self._clients += 1

    def call(self, function: Callable[[], object]) -> bool:
        """Run `function` there soon; False: it is closed. From any thread."""
        try:
            (self._loop or self._start()).call_soon_threadsafe(function)
        except RuntimeError:  # closed
            return False
        return True

    def close(self, ending: Callable[[], Awaitable[None]]) -> None:
        """One less uses it: run `ending` there, wait for it, and end if it was the last. Each
        client calls it once.
        """
        from asyncio import timeout  # noqa: PLC0415 - as above

        with self._lock:
            self._clients -= 1
            is_last = self._is_closed = self._clients <= 0
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        ended = threading.Event()

        async def end() -> None:
            try:
                async with timeout(_CLOSING_SECONDS):
                    await ending()
            finally:
                ended.set()
                if is_last:
                    loop.stop()

        def begin_to_end() -> None:
            task = loop.create_task(end())
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

        with suppress(RuntimeError):  # closed, and with it all that there was to end
            loop.call_soon_threadsafe(begin_to_end)
            ended.wait(2 * _CLOSING_SECONDS)
        if is_last:
            thread.join(2 * _CLOSING_SECONDS)

    def _start(self) -> "asyncio.AbstractEventLoop":
        """Raises `RuntimeError`, as a closed loop does."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("closed")
            if self._loop is None:
                import asyncio  # noqa: PLC0415 - as above

                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
                self._loop = loop
            return self._loop

    def _run(self, loop: "asyncio.AbstractEventLoop") -> None:
        import asyncio  # noqa: PLC0415 - as above

        _allow_open_files()
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # calls that find no socket are tried again
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""An event loop on a thread of its own, started when it is first needed."""

import asyncio
import resource
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

_OPEN_FILES: Final = 4096
"""So many a process may have at least, if its hard limit lets it: a call in flight is a socket, and
macOS begins with 256."""
_CLOSING_SECONDS: Final = 2.0


class LoopThread:
    """Its thread is a daemon and never holds up the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_closed = False

    def call(self, function: Callable[[], object]) -> bool:
        """Run `function` there soon; False: it is closed. From any thread."""
        try:
            (self._loop or self._start()).call_soon_threadsafe(function)
        except RuntimeError:  # closed
            return False
        return True

    def close(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Run `ending` there and end. Nothing happens the second time."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return

        async def end() -> None:
            try:
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await ending()
            finally:
                loop.stop()

        def begin_to_end() -> None:
            self._ending = loop.create_task(end())

        loop.call_soon_threadsafe(begin_to_end)
        thread.join(2 * _CLOSING_SECONDS)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Raises `RuntimeError`, as a closed loop does."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("closed")
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
                self._loop = loop
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
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

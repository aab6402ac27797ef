"""What may block, away from the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


def off_loop(function: Callable[[], _T]) -> "asyncio.Future[_T]":
    """What `function` gives, run on a thread of its own. It is a daemon: asyncio's own threads are
    waited for at the end of the process, however long a name server takes.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        result: _T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except Exception as exc:  # noqa: BLE001 - it belongs to who waits
            error = exc
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="off-loop", daemon=True).start()
    return future

"""Background calls of a client that blocks, such as the embedded model: on threads of their own."""

import queue
import threading
from contextlib import suppress

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import BegunCall, ModelClient, ModelReply, ModelRequest
from runtime.models.begun import Begun, Ended


class ThreadedModels:
    """A `BackgroundModels`: at most so many daemon threads over one client, started as calls need
    them. They do nothing but call it.
    """

    def __init__(self, models: ModelClient, threads: int) -> None:
        self._models = models
        self._maximum = threads
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._under_way = 0
        self._is_closed = False
        self._calls: queue.SimpleQueue[Begun | None] = queue.SimpleQueue()

    def begin(self, request: ModelRequest, ended: Ended) -> BegunCall:
        """Call the model as soon as a thread is free for it."""
        call = Begun(request, ended)
        with self._lock:
            if not self._is_closed:
                self._under_way += 1
                self._calls.put(call)
                if self._under_way > len(self._threads) < self._maximum:
                    thread = threading.Thread(target=self._run, name="model-call", daemon=True)
                    self._threads.append(thread)
                    thread.start()
                return call
        _refuse(call)
        return call

    def converse(self, request: ModelRequest) -> ModelReply:
        """On the thread of who asks."""
        return self._models.converse(request)

    def end_threads(self) -> None:
        """Begin no more calls. Threads in a call end with it, and never hold up the process."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        with suppress(queue.Empty):
            while (call := self._calls.get_nowait()) is not None:
                _refuse(call)
        for _ in self._threads:
            self._calls.put(None)

    def close(self) -> None:
        """The client, too."""
        self.end_threads()
        self._models.close()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            result = self._result(call.request) if call.claim() else None
            with self._lock:
                self._under_way -= 1  # first: who hears of the end may begin the next one
            if result is not None:
                call.ended(result)

    def _result(self, request: ModelRequest) -> ModelReply | ModelError:
        try:
            return self._models.converse(request)
        except ModelError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a defect must not lose a call
            # Its message may quote anything, so only its class is kept.
            return ModelError(
                ModelErrorKind.IN_DOUBT, f"unexpected {type(error).__name__} in a model call"
            )


def _refuse(call: Begun) -> None:
    if call.claim():
        call.ended(ModelError(ModelErrorKind.NOT_SENT, "the client is closed"))

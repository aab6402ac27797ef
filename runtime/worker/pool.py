"""Model calls elsewhere: on an event loop, or on threads. All state belongs to the owner thread."""

import queue
import threading
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import (
    BackgroundModels,
    BegunCall,
    ModelClient,
    ModelReply,
    ModelRequest,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """How one call ended."""

    call: int
    result: ModelReply | ModelError


class CallPool(Protocol):
    """Runs model calls elsewhere. Only the owner thread calls this, except `wake`."""

    def submit(self, call: int, request: ModelRequest) -> None: ...

    def wait(self, timeout: float) -> list[Completion]:
        """Everything that has ended, waiting up to `timeout` seconds for the first."""
        ...

    def withdraw(self) -> list[int]:
        """Take back calls that have not been begun: no byte of them was written. Their numbers."""
        ...

    def wake(self) -> None:
        """End a `wait` early, from any thread or signal handler."""
        ...

    def close(self) -> None:
        """Begin no more calls. Those under way never hold up the process."""
        ...


def call_pool(models: ModelClient, concurrency: int) -> CallPool:
    """In the background where the client can do that, else on as many threads as calls."""
    if isinstance(models, BackgroundModels):
        return LoopCallPool(models)
    return ThreadCallPool(models, concurrency)


class Endings:
    """How calls ended, put in by any thread, taken out by the owner."""

    def __init__(self) -> None:
        # SimpleQueue.put may be called again inside itself, so a signal handler may use it.
        self._ended: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()

    def put(self, call: int, result: ModelReply | ModelError) -> None:
        """A call has ended so."""
        self._ended.put(Completion(call=call, result=result))

    def wake(self) -> None:
        """End a wait early."""
        self._ended.put(None)

    def wait(self, timeout: float) -> list[Completion]:
        """All there are, waiting for the first."""
        completions: list[Completion] = []
        try:
            completion = self._ended.get(timeout=max(timeout, 0.0))
            while True:
                if completion is not None:
                    completions.append(completion)
                completion = self._ended.get_nowait()
        except queue.Empty:
            return completions


class LoopCallPool:
    """Calls in the background of one client, which outlives the pool with its connections."""

    def __init__(self, models: BackgroundModels) -> None:
        self._models = models
        self._begun: dict[int, BegunCall] = {}
        self._endings = Endings()

    def submit(self, call: int, request: ModelRequest) -> None:
        self._begun[call] = self._models.begin(request, partial(self._endings.put, call))

    def wait(self, timeout: float) -> list[Completion]:
        completions = self._endings.wait(timeout)
        for completion in completions:
            del self._begun[completion.call]
        return completions

    def withdraw(self) -> list[int]:
        calls = [call for call, begun in self._begun.items() if begun.withdraw()]
        for call in calls:
            del self._begun[call]
        return calls

    def wake(self) -> None:
        self._endings.wake()

    def close(self) -> None:
        self.withdraw()


class ThreadCallPool:
    """`threads` daemon threads over one `ModelClient`, started as calls need them."""

    def __init__(self, models: ModelClient, threads: int) -> None:
        self._models = models
        self._maximum = threads
        self._threads: list[threading.Thread] = []
        self._outstanding = 0
        self._calls: queue.SimpleQueue[tuple[int, ModelRequest] | None] = queue.SimpleQueue()
        self._endings = Endings()

    def submit(self, call: int, request: ModelRequest) -> None:
        self._outstanding += 1
        if len(self._threads) < min(self._maximum, self._outstanding):
            thread = threading.Thread(target=self._run, name="model-call", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put((call, request))

    def wait(self, timeout: float) -> list[Completion]:
        completions = self._endings.wait(timeout)
        self._outstanding -= len(completions)
        return completions

    def withdraw(self) -> list[int]:
        calls: list[int] = []
        while True:
            try:
                item = self._calls.get_nowait()
            except queue.Empty:
                self._outstanding -= len(calls)
                return calls
            if item is not None:
                calls.append(item[0])

    def wake(self) -> None:
        self._endings.wake()

    def close(self) -> None:
        self.withdraw()
        for _ in self._threads:
            self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            call, request = item
            result: ModelReply | ModelError
            try:
                result = self._models.converse(request)
            except ModelError as error:
                result = error
            except Exception as error:  # noqa: BLE001 - a defect in an adapter must not lose a call
                result = ModelError(
                    ModelErrorKind.IN_DOUBT, f"unexpected {type(error).__name__} in a model call"
                )
            self._endings.put(call, result)

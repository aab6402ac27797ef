"""Model calls elsewhere: on an event loop, or on threads. All state belongs to the owner thread."""

import queue
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from runtime.domain.errors import ModelError
from runtime.domain.models.calls import (
    BackgroundModels,
    BegunCall,
    ModelClient,
    ModelReply,
    ModelRequest,
)
from runtime.models.threaded import ThreadedModels


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
    """In the background as the client does it, else on as many threads as calls."""
    if isinstance(models, BackgroundModels):
        return BackgroundCallPool(models)
    threaded = ThreadedModels(models, concurrency)
    return BackgroundCallPool(threaded, ending=threaded.end_threads)


class BackgroundCallPool:
    """Calls in the background of one client, which outlives the pool with its connections. `ending`
    is what the pool does last.
    """

    def __init__(
        self, models: BackgroundModels, *, ending: Callable[[], None] | None = None
    ) -> None:
        self._models = models
        self._ending = ending
        self._begun: dict[int, BegunCall] = {}
        # SimpleQueue.put may be called again inside itself, so a signal handler may use it.
        self._ended: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()

    def submit(self, call: int, request: ModelRequest) -> None:
        self._begun[call] = self._models.begin(request, partial(self._put, call))

    def wait(self, timeout: float) -> list[Completion]:
        completions: list[Completion] = []
        try:
            completion = self._ended.get(timeout=max(timeout, 0.0))
            while True:
                if completion is not None:
                    del self._begun[completion.call]
                    completions.append(completion)
                completion = self._ended.get_nowait()
        except queue.Empty:
            return completions

    def withdraw(self) -> list[int]:
        calls = [call for call, begun in self._begun.items() if begun.withdraw()]
        for call in calls:
            del self._begun[call]
        return calls

    def wake(self) -> None:
        self._ended.put(None)

    def close(self) -> None:
        self.withdraw()
        if self._ending is not None:
            self._ending()

    def _put(self, call: int, result: ModelReply | ModelError) -> None:
        self._ended.put(Completion(call=call, result=result))

"""Work in a thread of its own, while the caller's thread hears how it goes and can be interrupted.

    caller ── starts ─▶ thread: the run
       ▲                  │ started, progress, ended
       └──── a queue ─────┘

So Ctrl-C, which Python raises in the caller's main thread at any instruction, never lands inside
the run. No signal handler is needed or touched, and no event loop; any thread may be the caller.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from runtime.datasets.observer import Observer
from runtime.datasets.stop import StopRequest
from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.job import Progress
from runtime.progress.meter import Meter

STOPPING: Final = "Stopping: waiting for the answers on their way. Again leaves at once."

_LOOK_SECONDS: Final = 0.1

Result = TypeVar("Result")


class _End:
    """Nothing comes after this."""


_Event = Meter | Progress | Activity | type[_End]
"""It began, its counters changed, what it waits for, it is over."""


class BackgroundRun(Generic[Result]):
    """One run of `work`, which is given an observer and what to be stopped by."""

    def __init__(self, work: Callable[[Observer, StopRequest], Result], observer: Observer) -> None:
        self._work = work
        self._observer = observer
        self._stop = StopRequest()
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._showing = False
        self._error: BaseException | None = None
        self.result: Result | None = None
        """There when the run has ended without an error, also after an interruption."""

    def run(self) -> Result:
        """Run to the end; what the run raises is raised here.

        When the caller is interrupted, or its observer raises, the run is asked to stop, which
        keeps what is paid for, is waited for, and then that is raised. A second interruption does
        not wait; the thread then ends by itself, at the latest with the process.
        """
        thread = threading.Thread(target=self._in_thread, name="seedwright", daemon=True)
        try:
            thread.start()
            self._forward(self._observer)
        except BaseException as error:
            self._stop.request()
            if isinstance(error, KeyboardInterrupt) and self._showing:
                self._observer.notice(STOPPING)
            self._wait_for(thread)
            raise
        finally:
            self._close()
        if self._error is not None:
            raise self._error
        assert self.result is not None  # noqa: S101 - there is a result or an error
        return self.result

    def _in_thread(self) -> None:
        try:
            self.result = self._work(_Relay(self._events), self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        finally:
            self._events.put(_End)

    def _forward(self, observer: Observer) -> None:
        """Tell `observer` what happens until the end; counters that are outdated are left out."""
        newest: Progress | None = None
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                if newest is not None:
                    observer.progress(newest)
                newest = None
                event = self._events.get()
            if isinstance(event, Progress):
                newest = event
                continue
            if newest is not None:
                observer.progress(newest)
            newest = None
            if event is _End:
                return
            if isinstance(event, Activity):
                observer.activity(event)
            if isinstance(event, Meter):
                self._showing = True
                observer.started(event)

    def _wait_for(self, thread: threading.Thread) -> None:
        # The end may have been taken from the queue when the interruption came, so it is no use to
        # wait for it alone.
        while thread.is_alive():
            with suppress(Empty):
                self._events.get(timeout=_LOOK_SECONDS)

    def _close(self) -> None:
        """The display is taken down last, when nothing is on its way any more."""
        if self._showing:
            self._showing = False
            self._observer.ended()


class _Relay:
    """The observer in the run's thread: puts what it hears into the queue."""

    def __init__(self, events: "SimpleQueue[_Event]") -> None:
        self._events = events

    def started(self, meter: Meter) -> None:
        self._events.put(meter)

    def progress(self, progress: Progress) -> None:
        self._events.put(progress)

    def activity(self, activity: Activity) -> None:
        self._events.put(activity)

    def notice(self, text: str) -> None:
        """Nothing comes this way: who stops a run is on the other side."""

    def ended(self) -> None:
        """The end of the queue says it."""

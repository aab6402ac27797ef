"""Who is told how a run goes: the command, a notebook, or a function of a program."""

from collections.abc import Callable
from typing import Protocol

from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.job import Progress
from runtime.domain.plain_text import plain_line
from runtime.progress.displays import Display
from runtime.progress.meter import Meter, Snapshot


class Observer(Protocol):
    """Hears of a run in the thread that generates. What it raises ends the run as a defect, so a
    display suppresses what goes wrong with its terminal.
    """

    def started(self, meter: Meter) -> None:
        """Everything is checked and generation begins. `meter` is updated before each `progress`.
        Not called for a dataset that was complete before.
        """
        ...

    def progress(self, progress: Progress) -> None:
        """The counters have changed."""
        ...

    def activity(self, activity: Activity) -> None:
        """What goes on and what is waited for, about once a second. The meter has it already."""
        ...

    def notice(self, text: str) -> None:
        """Something to read now, in one line."""
        ...

    def ended(self) -> None:
        """Generation is over, in whatever way: called once after `started`."""
        ...


class Shown:
    """Shows a run on a display, which is made when the run begins."""

    def __init__(self, make_display: Callable[[Meter], Display]) -> None:
        self._make_display = make_display
        self.display: Display | None = None

    def started(self, meter: Meter) -> None:
        self.display = self._make_display(meter)
        self.display.__enter__()

    def progress(self, progress: Progress) -> None:
        if self.display is not None:
            self.display.update(progress)

    def activity(self, activity: Activity) -> None:
        del activity  # the meter has it
        if self.display is not None:
            self.display.refresh()

    def notice(self, text: str) -> None:
        if self.display is not None:
            self.display.notice(plain_line(text))

    def ended(self) -> None:
        if self.display is not None:
            self.display.__exit__(None, None, None)


class Called:
    """Calls a function with a snapshot, when the run begins and whenever its counters change."""

    def __init__(self, function: Callable[[Snapshot], object]) -> None:
        self._function = function
        self._meter: Meter | None = None

    def started(self, meter: Meter) -> None:
        self._meter = meter
        self._function(meter.snapshot())

    def progress(self, progress: Progress) -> None:
        del progress  # the meter has it
        if self._meter is not None:
            self._function(self._meter.snapshot())

    def activity(self, activity: Activity) -> None:
        """The function is for counters."""

    def notice(self, text: str) -> None:
        """The function is for counters."""

    def ended(self) -> None:
        """The last counters have been given."""

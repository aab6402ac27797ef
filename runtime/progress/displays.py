"""Live progress of a run for people: a bar on a terminal, lines in a pipe, nothing for scripts."""

import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from runtime.domain.jobs.job import Progress
from runtime.progress.meter import SEPARATOR, Meter
from runtime.progress.notebook import Notebook, in_notebook

if TYPE_CHECKING:
    pass

_PLAIN_SECONDS: Final = 5.0
_STANDARD_ERROR: Final = 2


class Display(Protocol):
    """A context manager that is told the counters whenever they change. It never raises: a
    terminal that is gone must not end a job.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self, progress: Progress) -> None: ...

    def refresh(self) -> None:
        """The meter knows something new, and be it that time passes."""
        ...

    def notice(self, text: str) -> None:
        """Show a line that stays. A signal handler may call it."""
        ...


class Silent:
    """Shows nothing, and keeps the meter up to date."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def update(self, progress: Progress) -> None:
        self._meter.update(progress)

    def refresh(self) -> None:
        """Nothing is shown, or a thread of the display shows it by itself."""

    def notice(self, text: str) -> None:
        """Nothing is shown."""


class Notices(Silent):
    """Shows notices only, for `--json`: on standard error and without its buffer, which an
    interrupted program may hold.
    """

    def notice(self, text: str) -> None:
        with suppress(OSError):
            os.write(_STANDARD_ERROR, f"\n{text}\n".encode())


class Plain(Notices):
    """A line at the start, at the end and every few seconds, for logs and pipes."""

    def __init__(self, meter: Meter, stream: TextIO) -> None:
        super().__init__(meter)
        self._stream = stream
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()

    def update(self, progress: Progress) -> None:
        super().update(progress)
        self.refresh()

    def refresh(self) -> None:
        if self._meter.seconds - self._shown >= _PLAIN_SECONDS:
            self._show()

    def _show(self) -> None:
        self._shown = self._meter.seconds
        with suppress(OSError):
            figures = (self._meter.pace(), self._meter.cost(), *self._meter.now())
            print(SEPARATOR.join(figures), file=self._stream, flush=True)


class Bar(Notices):
    """A live bar on a terminal. A thread of the display draws it, so `update` costs nothing."""

    def __init__(self, meter: Meter) -> None:
        # Rich costs some 50 ms to import, which a pipe need not pay.
        from runtime.progress.bar import LiveBar  # noqa: PLC0415

        super().__init__(meter)
        self._live: LiveBar = LiveBar(meter)

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._live.stop()

    def notice(self, text: str) -> None:
        # Printed beside the bar it would be erased by the next drawing.
        self._live.notice = text


def make_display(meter: Meter, *, json: bool) -> Display:
    """A bar on a terminal, lines in a pipe, nothing for scripts. All of it on standard error."""
    if json:
        return Notices(meter)
    return Bar(meter) if _on_terminal() else Plain(meter, sys.stderr)


def make_library_display(meter: Meter) -> Display:
    """For a program that didn't ask for progress: shown to a person in a notebook or at a terminal,
    and to nobody else.
    """
    if in_notebook():
        return Notebook(meter)
    return Bar(meter) if _on_terminal() else Silent(meter)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()

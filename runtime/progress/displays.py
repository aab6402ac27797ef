"""Live progress of a run for people: a bar on a terminal, lines in a pipe, nothing for scripts."""

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from runtime.domain.jobs.job import Progress
from runtime.progress.meter import Meter

if TYPE_CHECKING:
    from rich.text import Text

_PLAIN_SECONDS: Final = 5.0
_BAR_WIDTH: Final = 24
_REFRESHES_PER_SECOND: Final = 8


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


class Silent:
    """Shows nothing: for `--json`."""

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


class Plain(Silent):
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
        if self._meter.seconds - self._shown >= _PLAIN_SECONDS:
            self._show()

    def _show(self) -> None:
        self._shown = self._meter.seconds
        with suppress(OSError):
            line = f"{self._meter.pace()} · {self._meter.cost()}"
            print(line, file=self._stream, flush=True)


class Bar(Silent):
    """A live bar on a terminal. A thread of the display draws it, so `update` costs nothing."""

    def __init__(self, meter: Meter) -> None:
        # Rich costs some 50 ms to import, which a pipe need not pay.
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        super().__init__(meter)
        self._live = Live(
            get_renderable=self._draw,
            console=Console(stderr=True),
            refresh_per_second=_REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._live.stop()

    def _draw(self) -> "Text":
        from rich.text import Text  # noqa: PLC0415

        filled = int(self._meter.share * _BAR_WIDTH)
        return Text.assemble(
            ("━" * filled, "green"),
            ("━" * (_BAR_WIDTH - filled), "dim"),
            f" {self._meter.pace()}\n{' ' * _BAR_WIDTH} {self._meter.cost()}",
            no_wrap=True,
            overflow="ellipsis",
        )


def make_display(meter: Meter, *, json: bool) -> Display:
    """A bar on a terminal, lines in a pipe, nothing for scripts. All of it on standard error."""
    if json:
        return Silent(meter)
    return Bar(meter) if sys.stderr.isatty() else Plain(meter, sys.stderr)

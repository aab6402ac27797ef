"""Live progress of a run: records, rate, tokens, dollars of the budget, failures, time left."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from runtime.domain.jobs.job import Progress
from runtime.domain.money.amounts import usd

if TYPE_CHECKING:
    from rich.text import Text

_PLAIN_SECONDS: Final = 5.0
_INSTANT: Final = 1e-9
_BAR_WIDTH: Final = 24
_REFRESHES_PER_SECOND: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the run is heading for."""

    records: int
    budget_nano: int


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


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Meter:
    """Rates and time left, from the counters at the start of this run."""

    def __init__(self, goal: Goal, monotonic: Callable[[], float]) -> None:
        self._goal = goal
        self._monotonic = monotonic
        self._began = monotonic()
        self._ended: float | None = None
        self._first: Progress | None = None
        self.last = Progress()

    def update(self, progress: Progress) -> None:
        """Take the newest counters."""
        if self._first is None:
            self._first = progress
        self.last = progress

    def stop(self) -> None:
        """End the run: its duration stays what it is now."""
        self._ended = self._monotonic()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return (self._monotonic() if self._ended is None else self._ended) - self._began

    @property
    def done(self) -> int:
        """Finished records, failed ones included."""
        return self.last.records_generated + self.last.failed_records

    @property
    def share(self) -> float:
        """Finished part of all records, 0 to 1."""
        return min(self.done / self._goal.records, 1.0)

    @property
    def generated_now(self) -> int:
        """Records generated in this run."""
        return self.last.records_generated - (self._first or self.last).records_generated

    @property
    def rate(self) -> float:
        """Records generated a second in this run."""
        return self.generated_now / max(self.seconds, _INSTANT)

    @property
    def token_rate(self) -> float:
        """Tokens a second in this run."""
        used = self.last.tokens_used - (self._first or self.last).tokens_used
        return used / max(self.seconds, _INSTANT)

    def left(self) -> str:
        """Time left as m:ss or h:mm:ss, or a dash while nothing is known."""
        first = self._first or self.last
        done_now = self.done - first.records_generated - first.failed_records
        if done_now <= 0:
            return "-:--"
        return duration(max(self._goal.records - self.done, 0) * self.seconds / done_now)

    def pace(self) -> str:
        """How far it is."""
        return (
            f"{self.done}/{self._goal.records} records · {self.rate:.1f} records/s · "
            f"{self.left()} left"
        )

    def cost(self) -> str:
        """What it took."""
        return (
            f"{self.last.tokens_used} tokens · {usd(self.last.cost_nano)} of "
            f"{usd(self._goal.budget_nano)} · {self.last.failed_records} failed"
        )


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

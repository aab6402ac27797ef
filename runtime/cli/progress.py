"""How a run shows itself while it works: a live bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from runtime.domain.job import Progress
from runtime.domain.money import usd

_PLAIN_SECONDS: Final = 5.0
_BAR_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the run is heading for."""

    records: int
    budget_nano: int


class Display(Protocol):
    """A context manager that is told the counters whenever they change."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def update(self, progress: Progress) -> None: ...


class Meter:
    """Rates and time left, from the counters at the start of this run."""

    def __init__(self, goal: Goal, monotonic: Callable[[], float]) -> None:
        self._goal = goal
        self._monotonic = monotonic
        self._began = monotonic()
        self._first: Progress | None = None
        self.last = Progress()

    def update(self, progress: Progress) -> None:
        """Take the newest counters."""
        if self._first is None:
            self._first = progress
        self.last = progress

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._monotonic() - self._began

    @property
    def done(self) -> int:
        """Finished records, failed ones included."""
        return self.last.records_generated + self.last.failed_records

    @property
    def generated_now(self) -> int:
        """Records generated in this run."""
        return self.last.records_generated - (self._first or self.last).records_generated

    @property
    def tokens_now(self) -> int:
        """Tokens used in this run."""
        return self.last.tokens_used - (self._first or self.last).tokens_used

    @property
    def rate(self) -> float:
        """Records a second in this run."""
        return self.generated_now / max(self.seconds, 1e-9)

    def left(self) -> str:
        """Time left as m:ss, or a dash while nothing is known."""
        if self.rate <= 0:
            return "-:--"
        seconds = int((self._goal.records - self.done) / self.rate)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def line(self) -> str:
        """Everything in one plain line."""
        return (
            f"{self.done}/{self._goal.records} records · {self.rate:.1f}/s · "
            f"{self.last.tokens_used} tokens · {usd(self.last.cost_nano)} of "
            f"{usd(self._goal.budget_nano)} · {self.last.failed_records} failed · "
            f"{self.left()} left"
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
    """A line every few seconds, for logs and pipes."""

    def __init__(self, meter: Meter, stream: TextIO) -> None:
        super().__init__(meter)
        self._stream = stream
        self._shown = float("-inf")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._meter.done:
            print(self._meter.line(), file=self._stream, flush=True)

    def update(self, progress: Progress) -> None:
        super().update(progress)
        if self._meter.seconds - self._shown >= _PLAIN_SECONDS:
            self._shown = self._meter.seconds
            print(self._meter.line(), file=self._stream, flush=True)


class Bar(Silent):
    """A live bar on a terminal."""

    def __init__(self, meter: Meter, goal: Goal) -> None:
        # Rich costs some 50 ms to import, which a pipe need not pay.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        super().__init__(meter)
        self._shown = float("-inf")
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}"),
            console=Console(stderr=True),
            refresh_per_second=10,
        )
        self._task = self._bar.add_task("", total=goal.records, line="starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        super().update(progress)
        if self._meter.seconds - self._shown >= _BAR_SECONDS:
            self._show()

    def _show(self) -> None:
        self._shown = self._meter.seconds
        self._bar.update(self._task, completed=self._meter.done, line=self._meter.line())


def make_display(meter: Meter, goal: Goal, *, json: bool) -> Display:
    """A bar on a terminal, lines in a pipe, nothing for scripts. All of it on standard error."""
    if json:
        return Silent(meter)
    if sys.stderr.isatty():
        return Bar(meter, goal)
    return Plain(meter, sys.stderr)

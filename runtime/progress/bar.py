"""The bar on a terminal: one row beside two lines of figures, or less where there is less room, and
below it what goes on.
"""

from collections.abc import Iterable
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import Progress as RichProgress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.progress.meter import SEPARATOR, Meter

_BAR_WIDTH: Final = 24
_REFRESHES_PER_SECOND: Final = 8


class LiveBar(RichProgress):
    """Draws a meter, and below it `notice`, a line that stays."""

    def __init__(self, meter: Meter, console: Console | None = None) -> None:
        self._meter = meter
        self.notice = ""
        self._shown_on = console or Console(stderr=True)
        super().__init__(
            console=self._shown_on,
            refresh_per_second=_REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """What stands on the terminal now."""
        pace, cost = self._meter.pace(), self._meter.cost()
        width = self._shown_on.width
        table = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=1.0, completed=self._meter.share, width=_BAR_WIDTH)
        if _BAR_WIDTH + 1 + max(len(pace), len(cost)) <= width:
            table.add_row(bar, Text(pace, no_wrap=True))
            yield table
            yield Text(f"{' ' * _BAR_WIDTH} {cost}", no_wrap=True)
        else:
            table.add_row(bar)
            yield table
            yield Text("\n".join(flowed(self._meter.figures(), width)))
        if now := self._meter.now():
            yield Text("\n".join(flowed(now, width)))
        if self.notice:
            yield Text(self.notice)


def flowed(figures: Iterable[str], width: int) -> list[str]:
    """Figures in lines of at most `width` characters, as many as fit in each; only a figure that
    is wider than that is cut by the terminal.
    """
    lines: list[str] = []
    for figure in figures:
        if lines and len(lines[-1]) + len(SEPARATOR) + len(figure) <= width:
            lines[-1] += f"{SEPARATOR}{figure}"
        else:
            lines.append(figure)
    return lines

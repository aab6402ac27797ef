"""Progress in a notebook: one line under the cell that is rewritten."""

import html
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from runtime.domain.jobs.job import Progress
from runtime.progress.meter import SEPARATOR, Meter

_SECONDS: Final = 0.25
"""Between two drawings: each is a message to the browser."""


def in_notebook() -> bool:
    """Whether this is a kernel whose frontend shows what is displayed; IPython in a terminal is
    not.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Notebook:
    """A display by IPython's display handle. Nothing is raised when the frontend is gone."""

    def __init__(self, meter: Meter, display: Callable[..., Any] | None = None) -> None:
        self._meter = meter
        self._display = display or sys.modules["IPython"].display.display
        self._handle: Any = None
        self._shown = 0.0
        self._notice = ""

    def __enter__(self) -> Self:
        with suppress(Exception):
            self._handle = self._display(self._drawn(), raw=True, display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw()

    def update(self, progress: Progress) -> None:
        self._meter.update(progress)
        self.refresh()

    def refresh(self) -> None:
        if self._meter.seconds - self._shown >= _SECONDS:
            self._draw()

    def notice(self, text: str) -> None:
        self._notice = text
        self._draw()

    def _draw(self) -> None:
        self._shown = self._meter.seconds
        if self._handle is not None:
            with suppress(Exception):
                self._handle.update(self._drawn(), raw=True)

    def _drawn(self) -> dict[str, str]:
        figures = [*self._meter.figures(), *self._meter.now()]
        lines = [SEPARATOR.join(figures), *([self._notice] if self._notice else [])]
        bar = f'<progress value="{self._meter.share:.4f}" max="1"></progress>'
        return {
            "text/plain": "\n".join(lines),
            "text/html": f"{bar} {'<br>'.join(map(html.escape, lines))}",
        }

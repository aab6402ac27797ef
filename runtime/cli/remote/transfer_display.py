"""Progress of uploads and downloads: a bar on a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runtime.client.transfer import OnBytes

if TYPE_CHECKING:
    from rich.progress import Progress

_UNITS = ("KB", "MB", "GB", "TB")
_STEP = 1000


def size_text(size: int) -> str:
    """Bytes as people read them: `812 B`, `1.2 MB`."""
    if size < _STEP:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / _STEP**power:.1f} {_UNITS[power - 1]}"


class TransferDisplay:
    """Shows files on their way, or nothing where `bars` is None."""

    def __init__(self, bars: "Progress | None") -> None:
        self._bars = bars

    @contextmanager
    def file(self, name: str, size: int | None) -> Iterator[OnBytes]:
        """A file of `size` bytes, None: nobody knows. The block moves it and tells."""
        if self._bars is None:
            yield lambda _count: None
            return
        bars = self._bars
        task = bars.add_task(name, total=size)
        yield lambda count: bars.advance(task, count)


@contextmanager
def transfer_display(*, json: bool) -> Iterator[TransferDisplay]:
    """A display on standard error, for the length of the block."""
    if json or not sys.stderr.isatty():
        yield TransferDisplay(None)
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield TransferDisplay(bars)

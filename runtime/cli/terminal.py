"""What a command hands to the client: its connection, and an observer that shows what is reported
on standard error.
"""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from runtime.cli.output import say
from runtime.client import connection
from runtime.client.connection import Connection
from runtime.client.jobs import Job
from runtime.client.transfer import OnBytes
from runtime.domain.jobs.activity import Activity, WaitReason
from runtime.domain.jobs.job import JobStatus
from runtime.progress.displays import Display, make_display
from runtime.progress.meter import Goal, Meter


def connect(profile: str | None) -> Connection:
    """The API of a profile, or of the current one. Raises `UnauthenticatedError`,
    `ConfigurationError`.
    """
    gc.enable()  # everything is imported: from here on the command may run for days
    return connection.connect(profile)


class TerminalObserver:
    """Notices, bars of transfers and progress of a job; with `json` nothing but warnings."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._display: Display | None = None
        self._meter: Meter | None = None

    def notice(self, text: str) -> None:
        if not self._json:
            say(text)

    def warning(self, text: str) -> None:
        say(text)

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        return self._bar(name, size)

    @contextmanager
    def _bar(self, name: str, size: int | None) -> Iterator[OnBytes]:
        if self._json or not sys.stderr.isatty():
            yield lambda _count: None
            return
        from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=size)
            yield lambda count: bars.advance(task, count)

    def progress(self, job: Job) -> None:
        if self._display is None or self._meter is None:
            return
        match job.status:
            case JobStatus.QUEUED:
                self._meter.activity = Activity(reason=WaitReason.QUEUED)
            case JobStatus.RUNNING:
                self._meter.activity = Activity()
            case _:
                self._meter.activity = None
        self._display.update(job.progress)

    @contextmanager
    def watching(self, job: Job) -> Iterator[None]:
        """Show the progress of a job for the length of the block."""
        goal = Goal(records=job.num_records, budget_nano=job.budget_nano)
        self._meter = Meter(goal, time.monotonic)
        with make_display(self._meter, json=self._json) as self._display:
            yield

"""Says how far a job's seeds are read, and ends the reading when the worker has to stop."""

import logging
from collections.abc import Callable
from typing import Final

from runtime.domain.errors import LeaseLostError
from runtime.domain.jobs.activity import Activity
from runtime.domain.ports import Clock
from runtime.logs import event
from runtime.worker.activity_report import ACTIVITY_SECONDS
from runtime.worker.control import Control, StopReason
from runtime.worker.settings import WorkerSettings

_log = logging.getLogger(__name__)

READING_SEEDS: Final = "reading seeds"


class ReadingStoppedError(Exception):
    """The reading was given up for `reason`; nothing was begun."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


class SeedReading:
    """Is called with every number of bytes, in the thread that reads. A log line comes with every
    heartbeat, so that whoever watches the lease sees what it is kept for.
    """

    def __init__(
        self,
        job_id: str,
        *,
        control: Control,
        clock: Clock,
        settings: WorkerSettings,
        on_activity: Callable[[Activity], None],
    ) -> None:
        self._job_id = job_id
        self._control = control
        self._clock = clock
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._on_activity = on_activity
        self._bytes = 0
        self._began = self._shown = self._logged = clock.monotonic()

    def __call__(self, count: int) -> None:
        """Raises `ReadingStoppedError`, and `LeaseLostError` when the work is somebody else's."""
        self._bytes += count
        now, reason = self._clock.monotonic(), self._control.reason
        # What takes a moment only is read to its end: whoever generates looks for the reason, too.
        if reason is not None and now - self._began >= ACTIVITY_SECONDS:
            if reason is StopReason.LEASE_LOST:
                raise LeaseLostError("another worker owns this work now")
            raise ReadingStoppedError(reason)
        if now - self._shown >= ACTIVITY_SECONDS:
            self._shown = now
            self._on_activity(Activity(bytes_read=self._bytes))
        if now - self._logged >= self._heartbeat_seconds:
            self._logged = now
            event(_log, logging.INFO, READING_SEEDS, job_id=self._job_id, bytes=self._bytes)

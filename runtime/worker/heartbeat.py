"""Renews the lease and watches for cancellation, on a thread of its own.

`beat` is one round; the thread only repeats it. A worker that can't renew stops itself before an
observer may take its work: refused (`LeaseLostError`) at once, unreachable when the time is up. A
second thread keeps that time, because a renewal may hang for longer than a lease. A cancelled job
is seen within one interval (requirement N9).
"""

import logging
import threading
from types import TracebackType
from typing import Self

from runtime.domain.errors import LeaseLostError, SeedwrightError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.ports import Claim, Clock, JobStore, WorkQueue
from runtime.logs import event
from runtime.worker.control import Control, StopReason
from runtime.worker.settings import WorkerSettings

_log = logging.getLogger(__name__)


class Heartbeat:
    """Context manager: beats while the block runs."""

    def __init__(
        self,
        claim: Claim,
        *,
        queue: WorkQueue,
        jobs: JobStore,
        clock: Clock,
        control: Control,
        settings: WorkerSettings,
    ) -> None:
        self._claim = claim
        self._queue = queue
        self._jobs = jobs
        self._clock = clock
        self._control = control
        self._settings = settings
        self._renewed = clock.monotonic()
        control.lease_trusted = lambda: self._seconds_trusted() > 0
        self._done = threading.Event()
        self._threads = (
            threading.Thread(target=self._run, name="heartbeat", daemon=True),
            threading.Thread(target=self._keep_time, name="heartbeat-time", daemon=True),
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def beat(self) -> None:
        """Renew once and look at the job's status."""
        asked = self._clock.monotonic()
        try:
            self._queue.heartbeat(self._claim)
            # The lease runs from before the request: a slow reply must not stretch it.
            self._renewed = asked
            if self._jobs.get_status(self._claim.job_id) is JobStatus.CANCELLED:
                self._control.stop(StopReason.CANCELLED)
        except LeaseLostError:
            event(_log, logging.ERROR, "lease lost", work_id=self._claim.work_id)
            self._control.stop(StopReason.LEASE_LOST)
        except SeedwrightError as error:
            event(
                _log,
                logging.WARNING,
                "heartbeat failed",
                work_id=self._claim.work_id,
                error=error.code,
            )
            if self._seconds_trusted() <= 0:
                self._fence_off()

    def _seconds_trusted(self) -> float:
        """How much longer nobody else can have taken the work, with a margin of one heartbeat."""
        trusted = self._settings.lease_seconds - self._settings.heartbeat_seconds
        return self._renewed + trusted - self._clock.monotonic()

    def _fence_off(self) -> None:
        event(_log, logging.ERROR, "lease not renewed in time", work_id=self._claim.work_id)
        self._control.stop(StopReason.LEASE_LOST)

    def _run(self) -> None:
        try:
            while not self._done.wait(self._settings.heartbeat_seconds):
                self.beat()
        except Exception:  # noqa: BLE001 - without a heartbeat nobody may trust in the lease
            _log.exception("heartbeat died")
            self._control.stop(StopReason.LEASE_LOST)

    def _keep_time(self) -> None:
        # The pause is for a process that was stopped for a while: it renews as soon as it goes on.
        pause = self._settings.heartbeat_seconds / 4
        while not self._done.wait(max(self._seconds_trusted(), 0.0)):
            if self._done.wait(pause):
                return
            if self._seconds_trusted() <= 0:
                self._fence_off()
                return

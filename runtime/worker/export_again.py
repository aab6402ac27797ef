"""What an ended job is asked to export, under a claim of its own work. Nothing is generated and
nothing is paid, and the job's status and records stay.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from runtime.domain.errors import (
    LeaseLostError,
    SeedwrightError,
    StorageFullError,
    StorageUnavailableError,
)
from runtime.domain.jobs.job import Job, JobError
from runtime.domain.jobs.row_export import ExportStatus, RequestedExport
from runtime.domain.ports import Claim, Clock
from runtime.engine.plan import Templates
from runtime.export.row_orders import load_order
from runtime.worker.control import Control, StopReason
from runtime.worker.crash_points import CrashPoint
from runtime.worker.row_exports import RowExports, Watch
from runtime.worker.status_writer import Jobs

_log = logging.getLogger(__name__)

TOLD_SECONDS: Final = 15.0
"""Between two notes of how far an export has come."""


class _StoppedError(Exception):
    """The machine goes: the export is made anew by another one."""


@dataclass(kw_only=True, slots=True)
class ExportAgain:
    """The export of one claim."""

    job: Job
    claim: Claim
    asked: RequestedExport
    control: Control
    is_stopping: Callable[[], bool]
    """Whether the machine goes. Of a cancelled job the control says nothing weaker than that."""
    templates: Templates
    jobs: Jobs
    row_exports: RowExports
    clock: Clock
    crash_point: CrashPoint
    _told: float = 0.0

    def work(self) -> RequestedExport | None:
        """How it ended; None: it is to be handed back. Raises `LeaseLostError`,
        `StorageFullError`.
        """
        try:
            return self._make()
        except _StoppedError:
            return None
        except (LeaseLostError, StorageFullError):
            raise
        except StorageUnavailableError as error:
            # The machine goes; a store that is down now is the next worker's to ask.
            return None if self.is_stopping() else self._failed(error)
        except SeedwrightError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - whoever waits for it has to read something
            _log.exception("export failed by a defect")
            return self._failed(SeedwrightError(f"internal error: {type(error).__name__}"))

    def _make(self) -> RequestedExport:
        self._tell(0)
        objects = self.row_exports.export.ports.objects
        order = load_order(objects, self.job.job_id, self.asked.request)
        self.crash_point("before_export")
        watch = Watch(progress=self._during, may_write=lambda: not self._has_lost())
        made = self.row_exports.make(self.job, self.templates.load_template(self.job), order, watch)
        return replace(
            self.asked,
            status=ExportStatus.COMPLETED,
            records=made.records,
            rows=made.rows,
            ended_at=self.clock.now(),
        )

    def _during(self, records: int) -> None:
        """Asked as the export goes, at last when all records are written and none is published."""
        self.crash_point("mid_export")
        if self._has_lost():
            raise LeaseLostError("another worker owns this work now")
        if self.is_stopping():
            raise _StoppedError
        if self.clock.monotonic() >= self._told + TOLD_SECONDS:
            self._tell(records)

    def _tell(self, records: int) -> None:
        running = replace(self.asked, status=ExportStatus.RUNNING, records=records)
        self.jobs.tell_export(self.claim, running)
        self._told = self.clock.monotonic()

    def _failed(self, error: SeedwrightError) -> RequestedExport:
        told = JobError(message=str(error), code=error.code)
        return self.asked.failed(message=told.message, code=error.code, now=self.clock.now())

    def _has_lost(self) -> bool:
        return self.control.reason is StopReason.LEASE_LOST

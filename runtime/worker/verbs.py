"""What is done under a claim.

    a job's own work, without shards   generate, export, say how the job ended
    a shard                            generate its ranges, export its piece, say how it ended
    the own work of a sharded job      export, say how the job ended: its shards have ended; or let
                                       them try more, where checks have accepted too few records
    the own work of an ended job       export rows in one more shape: see `export_again.py`

Nothing is written here about the end: that is data (`ending.py`).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runtime.contract.keys import failures_key
from runtime.domain.errors import (
    BudgetExceededError,
    ExportError,
    LeaseLostError,
    ModelsFailingError,
    RecordsFailingError,
    SeedwrightError,
    StorageFullError,
    StorageUnavailableError,
)
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.jobs.shards import Verdict
from runtime.domain.ports import Claim, Clock
from runtime.domain.templates.template import Template
from runtime.engine.plan import Templates
from runtime.export.reasons import common_reason
from runtime.export.selection import Chosen
from runtime.logs import event
from runtime.worker.control import Control, StopReason
from runtime.worker.crash_points import CrashPoint
from runtime.worker.ending import Ending, ended_by, how_far
from runtime.worker.exporting import with_selection
from runtime.worker.row_exports import RowExports, Watch
from runtime.worker.selecting import Selecting
from runtime.worker.status_writer import Jobs

_log = logging.getLogger(__name__)

Generate = Callable[[Job, Claim], tuple[StopReason | None, Progress]]
"""Generates what is not finished: why it stopped early, or None, and what is saved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verbs:
    """The verbs, for one claim."""

    control: Control
    generate: Generate
    templates: Templates
    jobs: Jobs
    row_exports: RowExports
    clock: Clock
    crash_point: CrashPoint

    def work(self, job: Job, claim: Claim, verdict: Verdict | None) -> Ending:
        """Do what the claim is for. `verdict` is that on a sharded job whose own work it is."""
        try:
            return self._do(job, claim, verdict)
        except (LeaseLostError, StorageFullError):
            raise
        except StorageUnavailableError as error:
            if self.control.reason is StopReason.SHUTDOWN:
                # The machine goes; a store that is down now is the next worker's to ask.
                return Ending(status=JobStatus.QUEUED)
            return self._ended_by(error)
        except SeedwrightError as error:
            return self._ended_by(error)
        except Exception as error:  # noqa: BLE001 - the job must not stay RUNNING for ever
            _log.exception("job failed by a defect")
            return self._ended_by(SeedwrightError(f"internal error: {type(error).__name__}"))

    def _do(self, job: Job, claim: Claim, verdict: Verdict | None) -> Ending:
        if verdict is not None:
            return self._end(job, claim, verdict)
        if claim.shard is not None:
            return self._generate_shard(job, claim)
        return self._generate_and_end(job, claim)

    def _generate_shard(self, job: Job, claim: Claim) -> Ending:
        try:
            reason, progress = self.generate(job, claim)
        except BudgetExceededError as error:
            return self._ended_by(error, status=JobStatus.BUDGET_EXCEEDED)
        if (stopped := _stopped(reason)) is not None:
            return stopped
        self._export_piece(job, claim, progress)
        return Ending(status=JobStatus.COMPLETED)

    def _export_piece(self, job: Job, claim: Claim, progress: Progress) -> None:
        """What the shard can export by itself. It has generated everything: whatever keeps it from
        that, or stops it, is left to the job's own work, which makes what is missing.
        """
        try:
            made = self.row_exports.shards.make(
                job,
                self.templates.load_template(job),
                claim,
                expected=progress.records_generated,
                progress=self._during_piece,
            )
        except LeaseLostError:
            raise
        except _StoppedError:
            made = None
        except SeedwrightError as error:
            event(
                _log,
                logging.WARNING,
                "shard not exported by itself",
                job_id=job.job_id,
                shard=claim.shard,
                error=error.code,
            )
            made = None
        except Exception:  # noqa: BLE001 - its records are saved: no defect here may fail it
            _log.exception("shard not exported by a defect")
            made = None
        if made is not None:
            self.crash_point("after_piece")

    def _generate_and_end(self, job: Job, claim: Claim) -> Ending:
        try:
            reason, progress = self.generate(job, claim)
        except BudgetExceededError as error:
            ending = self._ended_by(error, status=JobStatus.BUDGET_EXCEEDED)
            return self._export_in_part(self.jobs.latest(job), claim, ending)
        return _stopped(reason) or self._export_all(replace(job, progress=progress), claim)

    def _end(self, job: Job, claim: Claim, verdict: Verdict) -> Ending:
        ending = Ending(status=verdict.status, error=verdict.error)
        if verdict.status is JobStatus.COMPLETED:
            return self._export_all(job, claim)
        if verdict.status is JobStatus.BUDGET_EXCEEDED and verdict.error is not None:
            asked = job.config.num_records
            message = f"{verdict.error.message}, {how_far(job.progress, asked)}"
            error = replace(verdict.error, message=message)
            return self._export_in_part(job, claim, replace(ending, error=error))
        return ending

    def _export_all(self, job: Job, claim: Claim) -> Ending:
        progress = job.progress
        template = self.templates.load_template(job)
        chosen = self._selecting.choose(job, claim, template, expected=progress.records_generated)
        if chosen is not None:
            instead = self._selecting.instead_of_export(job, claim, chosen)
            if instead is not None:
                return instead
        self._export(job, claim, template, expected=progress.records_generated, chosen=chosen)
        if progress.records_generated == 0 and progress.service_failures == progress.failed_records:
            return self._ended_by(
                ModelsFailingError("every record failed by the service: run the job again later")
            )
        if progress.records_generated == 0:
            reason = self._common_reason(job)
            often = f"; {reason}" if reason else ""
            return self._ended_by(
                RecordsFailingError(f"every record failed: see failures.jsonl{often}")
            )
        return Ending(status=JobStatus.COMPLETED)

    def _common_reason(self, job: Job) -> str:
        """What most of its failures say; nothing where the list can't be read."""
        try:
            with self.row_exports.export.ports.objects.open_reader(
                failures_key(job.job_id)
            ) as failures:
                return common_reason(failures)
        except SeedwrightError:
            return ""

    def _export_in_part(self, job: Job, claim: Claim, ending: Ending) -> Ending:
        """What was generated is exported: a budget that ran out is no reason to lose it."""
        try:
            template = self.templates.load_template(job)
            chosen = self._selecting.choose(job, claim, template, expected=None)
            self._export(job, claim, template, expected=None, chosen=chosen)
        except ExportError as error:
            why = "" if ending.error is None else f"{ending.error.message}; "
            return self._ended_by(error, message=f"{why}{error}")
        return ending

    def _ended_by(self, error: SeedwrightError, **more: Any) -> Ending:
        return ended_by(error, now=self.clock.now(), **more)

    @property
    def _selecting(self) -> Selecting:
        return Selecting(jobs=self.jobs, export=self.row_exports.export, clock=self.clock)

    def _export(
        self,
        job: Job,
        claim: Claim,
        template: Template,
        *,
        expected: int | None,
        chosen: Chosen | None,
    ) -> None:
        self.crash_point("before_export")
        watch = Watch(
            progress=self._during_export,
            may_write=lambda: self.control.reason is not StopReason.LEASE_LOST,
        )
        if chosen is not None:
            job = with_selection(job, chosen.selection)
        self.row_exports.with_dataset(job, template, claim, watch, expected=expected, chosen=chosen)

    def _during_export(self, _records: int) -> None:
        """Asked as the export goes, at last when all records are written and none is published."""
        self.crash_point("mid_export")
        if self.control.reason is StopReason.LEASE_LOST:
            # A late owner may know fewer records than its successor has published.
            raise LeaseLostError("another worker owns this work now")

    def _during_piece(self, _records: int) -> None:
        self.crash_point("mid_piece")
        if self.control.reason is StopReason.LEASE_LOST:
            raise LeaseLostError("another worker owns this work now")
        if self.control.reason is not None:
            raise _StoppedError


class _StoppedError(Exception):
    """The machine goes, or the job was cancelled."""


def _stopped(reason: StopReason | None) -> Ending | None:
    """How work ends that stopped early."""
    if reason is StopReason.CANCELLED:
        return Ending(status=JobStatus.CANCELLED)
    return Ending(status=JobStatus.QUEUED) if reason is StopReason.SHUTDOWN else None

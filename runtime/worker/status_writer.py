"""What a worker writes about its job: progress, and how it ended."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from runtime.contract.log_lines import FAULT, JOB_ENDED, OWN_FAULT, USERS_FAULT
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import (
    BudgetTooSmallError,
    CandidatesExhaustedError,
    ConflictError,
    InputError,
    LeaseLostError,
    NoneAcceptedError,
    PriceError,
    RecordsFailingError,
    SeedError,
    SeedwrightError,
    TemplateError,
    TemplateNotFoundError,
    TooLargeError,
)
from runtime.domain.jobs.job import ENDED, Job, JobError, JobStatus, Progress
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.ports import Claim, JobStore, WorkQueue
from runtime.logs import event
from runtime.service.shards import advance, queue_work
from runtime.worker.crash_points import CrashPoint, pass_through

_log = logging.getLogger(__name__)

_USERS_FAULTS: Final = (
    *(InputError, TemplateError, TemplateNotFoundError, SeedError, PriceError, TooLargeError),
    *(BudgetTooSmallError, RecordsFailingError, NoneAcceptedError, CandidatesExhaustedError),
)
_USERS_CODES: Final = frozenset(each.code for each in _USERS_FAULTS)
"""What only the user of a job can mend."""


class Jobs:
    """Writes to the jobs table first, since that is what users see, then to the queue."""

    def __init__(
        self, store: JobStore, queue: WorkQueue, crash_point: CrashPoint = pass_through
    ) -> None:
        self._store = store
        self._queue = queue
        self._crash_point = crash_point
        self._unpublished: tuple[Claim, Progress] | None = None

    def latest(self, job: Job) -> Job:
        """The job with the counters that were published last, as far as they can be read."""
        try:
            return self._store.get_job(job.job_id)
        except SeedwrightError:
            return job

    def update_job_progress(self, claim: Claim, progress: Progress) -> None:
        """Publish counters. A failure is logged and not raised: the next flush says it again, or
        the end of the job does.
        """
        self._unpublished = None
        try:
            self._store.set_progress(claim.job_id, claim.fence, progress, shard=claim.shard)
        except LeaseLostError:
            raise
        except SeedwrightError as error:
            if error.retryable:
                self._unpublished = (claim, progress)
            event(
                _log,
                logging.WARNING,
                "progress not updated",
                job_id=claim.job_id,
                error=error.code,
            )

    def _publish_again(self, claim: Claim) -> None:
        """After the last flush nobody else would correct counters that were not published."""
        if self._unpublished is not None and self._unpublished[0] == claim:
            self.update_job_progress(*self._unpublished)

    def refresh_sums(self, job_id: str) -> None:
        """Store the counters of a sharded job with it, where lists of jobs read them. A failure is
        logged: whoever asks for the job itself is given the sums of its shards.
        """
        try:
            self._store.refresh_progress(job_id)
        except SeedwrightError as error:
            event(_log, logging.WARNING, "sums not stored", job_id=job_id, error=error.code)

    def mark_job_running(self, claim: Claim) -> None:
        """Take the job under this claim's fence. That of a shard belongs to its work item: it only
        says that the job runs.
        """
        if claim.shard is None:
            self._store.set_status(claim.job_id, JobStatus.RUNNING, fence=claim.fence)
            return
        with suppress(ConflictError):  # it runs, or has ended just now, which the heartbeat sees
            self._store.set_status(claim.job_id, JobStatus.RUNNING, fence=None)

    def mark_job_complete(self, claim: Claim) -> None:
        """Every record is generated or listed as failed, and the export exists."""
        self._end(claim, JobStatus.COMPLETED)

    def mark_job_failed(self, claim: Claim, error: JobError) -> None:
        """The job stopped, and its user reads why."""
        self._end(claim, JobStatus.FAILED, error)

    def mark_job_budget_exceeded(self, claim: Claim, error: JobError) -> None:
        """The budget is used up; what was generated is kept and exported."""
        self._end(claim, JobStatus.BUDGET_EXCEEDED, error)

    def mark_job_interrupted(self, claim: Claim) -> None:
        """Hand unfinished work back, so that any worker may claim it at once. A failure is logged
        and not raised: the lease runs out, and then the work is claimable all the same.
        """
        try:
            status = self._store.get_status(claim.job_id)
            if status in ENDED:
                # Cancelled while the worker was stopping: QUEUED would take that back.
                self.finish_ended(claim, status)
                return
            self._publish_again(claim)
            if claim.shard is None:
                self._store.set_status(claim.job_id, JobStatus.QUEUED, fence=claim.fence)
            self._queue.release(claim)
        except LeaseLostError:
            raise
        except SeedwrightError as error:
            event(
                _log,
                logging.WARNING,
                "work not handed back",
                job_id=claim.job_id,
                work_id=claim.work_id,
                error=error.code,
            )

    def acknowledge_cancel(self, claim: Claim) -> None:
        """The job is CANCELLED already; end its work item."""
        self.finish_ended(claim, JobStatus.CANCELLED)

    def _end(self, claim: Claim, status: JobStatus, error: JobError | None = None) -> None:
        self._publish_again(claim)
        finish: Callable[[Claim, JobStatus], None] = self._finish
        try:
            self._store.set_status(claim.job_id, status, fence=claim.fence, error=error)
        except ConflictError:
            finish = self.finish_ended
            # Somebody ended the job before, by cancelling it: that stands.
            status = self._store.get_status(claim.job_id)
            if status not in ENDED:
                raise
        fault = _fault(status, error)
        event(_log, logging.INFO, JOB_ENDED, job_id=claim.job_id, status=str(status), **fault)
        self._crash_point("between_status_writes")
        finish(claim, status)

    def tell_export(self, claim: Claim, export: RequestedExport) -> None:
        """How far the export of an ended job has come."""
        self._store.set_export(claim.job_id, export, fence=claim.fence)

    def end_export(self, claim: Claim, export: RequestedExport) -> None:
        """The export of an ended job is there, or its user reads why not."""
        event(
            _log,
            logging.INFO,
            "rows exported",
            job_id=claim.job_id,
            status=str(export.status),
            rows=export.rows,
        )
        try:
            self.tell_export(claim, export)
        except ConflictError:  # somebody has ended it before
            event(_log, logging.WARNING, "export has ended already", job_id=claim.job_id)
        self._crash_point("between_status_writes")
        self._finish(claim, self._store.get_status(claim.job_id))

    def end_shard(
        self, claim: Claim, status: JobStatus, error: JobError | None, *, run: int
    ) -> None:
        """A shard has ended, in the run of its job that its worker knew. When it was the last one,
        the job's own work may run.
        """
        self._publish_again(claim)
        event(
            _log,
            logging.INFO,
            "shard ended",
            job_id=claim.job_id,
            shard=claim.shard,
            status=str(status),
            **_fault(status, error),
        )
        try:
            self._queue.finish(claim, status, error=error, run=run)
            self._crash_point("between_status_writes")
            advance(self._queue, self._store.get_job(claim.job_id))
        except LeaseLostError:
            raise
        except SeedwrightError as failure:
            self._not_finished(claim, failure)

    def keep_selection(self, claim: Claim, selection: Selection) -> None:
        """Store which records the job's dataset has."""
        self._store.set_selection(claim.job_id, selection, fence=claim.fence)

    def open_round(self, claim: Claim, end: int) -> None:
        """Let the job's shards try the indices up to `end`. Raises `ConflictError` where it has
        ended, `LeaseLostError`.
        """
        self._store.open_round(claim.job_id, end, fence=claim.fence)

    def wait_for_round(self, claim: Claim) -> None:
        """The job's own work waits for the round that it has opened. Who claims it before that
        finds shards that are to go on, and does the same.
        """
        self._crash_point("between_status_writes")
        self.put_off(claim, self._store.get_job(claim.job_id))

    def put_off(self, claim: Claim, job: Job) -> None:
        """A sharded job's own work was claimed too early: it waits, and its shards go on."""
        self._queue.put_off(claim)
        # Afterwards: a shard that ended in between has found nobody waiting for it.
        advance(self._queue, job)

    def finish_ended(self, claim: Claim, status: JobStatus) -> None:
        """End the work item of a job that somebody else has ended as `status`. What a worker held
        then, and holds no more, returns to the accounts of the month.
        """
        self._finish(claim, status, returns=True)

    def _finish(self, claim: Claim, status: JobStatus, *, returns: bool = False) -> None:
        """End the work item of a job that has ended.

        The job's status is already right, so a failing queue costs a useless claim at worst:
        whoever claims the item finds an ended job and finishes the item.
        """
        try:
            if returns:
                self._store.return_rest(claim.job_id)
            self._queue.finish(claim, status)
            job = self._store.get_job(claim.job_id)
            if job.status is JobStatus.QUEUED:
                # Queued again a moment ago, while this item had not ended and could not be queued.
                queue_work(self._queue, job)
        except LeaseLostError:
            raise
        except SeedwrightError as error:
            self._not_finished(claim, error)

    @staticmethod
    def _not_finished(claim: Claim, error: SeedwrightError) -> None:
        event(
            _log,
            logging.ERROR,
            "work item not finished",
            job_id=claim.job_id,
            work_id=claim.work_id,
            error=error.code,
        )


def _fault(status: JobStatus, error: JobError | None) -> dict[str, str]:
    """Whose fault a failure is, as a field of the log: somebody is woken for the one kind only."""
    if status is not JobStatus.FAILED:
        return {}
    users = error is not None and error.code in _USERS_CODES
    return {FAULT: USERS_FAULT if users else OWN_FAULT}

"""Jobs and their work as the engine needs them; a part of `ports.py`, whose rules hold here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.domain.checks.totals import Selection
from runtime.domain.jobs.job import Job, JobError, JobStatus, Progress
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.jobs.shards import ShardState
from runtime.domain.money.accounts import Admission


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to work. Every write made under it carries `fence`, which only ever grows."""

    work_id: str
    job_id: str
    owner: str
    fence: int
    attempt: int
    shard: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """What an observer sees of RUNNING work.

    `beat` changes with every heartbeat. `abandoned` is True only where the adapter can prove that
    the owner is dead (a laptop's file lock); otherwise the observer has to watch `beat`.
    """

    work_id: str
    job_id: str
    fence: int
    beat: int
    abandoned: bool = False


class WorkQueue(Protocol):
    """Work items, first in, first out. A claim is one conditional write, so one claimer wins."""

    def get_next_job(self, owner: str) -> Claim | None:
        """Claim the oldest QUEUED item; None when there is none. A lost race moves on to the
        next item.
        """
        ...

    def claim(self, work_id: str, owner: str) -> Claim | None:
        """Claim this item if it is QUEUED, else None. Raises `NotFoundError`."""
        ...

    def heartbeat(self, claim: Claim) -> None:
        """Renew the lease. Raises `LeaseLostError`."""
        ...

    def release(self, claim: Claim) -> None:
        """Hand unfinished work back: RUNNING → QUEUED. Raises `LeaseLostError`."""
        ...

    def finish(
        self, claim: Claim, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> None:
        """End the item: with the job's final status, or as one of its shards, with what stays known
        of that (see `shards.ShardState`). Raises `LeaseLostError`.
        """
        ...

    def leases(self) -> Sequence[Lease]:
        """All RUNNING items."""
        ...

    def recover(self, lease: Lease) -> bool:
        """RUNNING → QUEUED if fence and beat are still what `lease` saw, and the adapter has no
        proof that the owner lives. Never executes work.
        """
        ...

    def enqueue(self, work_id: str) -> None:
        """Queue an existing, ended item again. Raises `NotFoundError`, `ConflictError`."""
        ...

    def shards_of(self, job_id: str, count: int) -> Sequence[ShardState]:
        """The shards of a job that has so many, in their order; those that are gone are left out.
        Strongly consistent.
        """
        ...

    def release_own(self, job_id: str) -> bool:
        """WAITING → QUEUED for the own item of a sharded job, whose shards have ended; whoever
        notices does it. False if it isn't WAITING: somebody else has done it, or it is not due.
        Raises `NotFoundError`.
        """
        ...

    def await_shards(self, job_id: str) -> None:
        """Ended → WAITING for the own item of a sharded job whose shards go on. Raises
        `NotFoundError`, `ConflictError` for one that has not ended, which may be WAITING.
        """
        ...

    def put_off(self, claim: Claim) -> None:
        """RUNNING → WAITING for a claimed own item: a shard has something to generate. Raises
        `LeaseLostError`.
        """
        ...


class JobStore(Protocol):
    """The jobs table."""

    def create_job(
        self,
        job: Job,
        *,
        admission: Admission | None = None,
    ) -> None:
        """Store a QUEUED job and its work items (`shards.new_work`) in one transaction, which takes
        the job's limit out of the accounts of the month and counts it as active; without an
        admission neither. Raises `ConflictError`, `LimitError` for one active job too many,
        `MonthlyBudgetError`.
        """
        ...

    def get_job(self, job_id: str) -> Job:
        """Strongly consistent read. The counters of a sharded job are the sums of its shards'.
        Raises `NotFoundError`.
        """
        ...

    def get_status(self, job_id: str) -> JobStatus:
        """Strongly consistent, and cheap for a sharded job, too. Raises `NotFoundError`."""
        ...

    def set_progress(
        self, job_id: str, fence: int, progress: Progress, *, shard: int | None = None
    ) -> None:
        """Replace the counters of a RUNNING job. Raises `LeaseLostError` on a newer fence,
        `ConflictError` when the job isn't RUNNING any more, `NotFoundError`.

        With a shard those of its work item, whatever the job is; likewise by the item's fence and
        status.
        """
        ...

    def refresh_progress(self, job_id: str) -> None:
        """Store the sums of a sharded job's counters with it, where lists read them. Sums of fewer
        records than are stored change nothing, and neither does it any other job, or none.
        """
        ...

    def set_budget(self, job_id: str, budget_limit: str) -> None:
        """Replace the budget (decimal USD); it holds from the next claim on. Raises
        `ConflictError` while the job is active on account of a month, which has room for the old
        one only, `NotFoundError`.
        """
        ...

    def set_call_timeout(self, job_id: str, seconds: int) -> None:
        """How long the job's replies are waited for, from the next claim on. Raises
        `NotFoundError`.
        """
        ...

    def set_num_records(
        self, job_id: str, num_records: int, *, max_candidates: int | None = None
    ) -> None:
        """Let the job have more records, in one more round and run where it is sharded; a run alone
        where its template has checks, see `open_round`. The same number changes nothing. Such a
        job gets `max_candidates` tries, or more as `grown_candidates` says. Raises `InputError` for
        fewer, `ConflictError` while the job is RUNNING (its workers have read the
        number) or DELETING, `NotFoundError`.
        """
        ...

    def set_status(
        self,
        job_id: str,
        status: JobStatus,
        *,
        fence: int | None,
        error: JobError | None = None,
    ) -> None:
        """Move along `job.TRANSITIONS`, stamping started_at or completed_at.

        With a fence, a newer stored fence raises `LeaseLostError` and the fence is stored; RUNNING
        → RUNNING is then allowed (a successor takes over), and QUEUED only from RUNNING (a worker
        that hands work back brings no ended job back); without one, a pending export keeps a job
        from being QUEUED. A job keeps no older error_message,
        error_code or retry_after: without a new one it has none. QUEUED without a fence is one more
        run of it. Raises `ConflictError` when the transition isn't allowed, `NotFoundError`.

        A job that ends stops to count as active, and gives back to the accounts of its month what
        its own has not committed, in the same write.
        """
        ...

    def queue_again(
        self, job_id: str, admission: Admission, *, budget_limit: str | None = None
    ) -> None:
        """An ended job → QUEUED, with a new budget if one is given. The same transaction takes out
        of the accounts of the month what they are lacking for its limit, and counts it as active.
        Raises `LimitError` or `MonthlyBudgetError`, and the job stays as it was; `ConflictError`
        for one that hasn't ended, is DELETING or has a pending export, `NotFoundError`.
        """
        ...

    def queue_export(self, job_id: str, export: RequestedExport) -> None:
        """Store a new export of an ended job, and queue its own work for it, in one transaction.

        Raises `ConflictError` for a job that hasn't ended, is DELETING, or has a pending export or
        one of this number, `StorageBusyError` where somebody still has its own work, and
        `NotFoundError`.
        """
        ...

    def set_export(self, job_id: str, export: RequestedExport, *, fence: int | None) -> None:
        """Replace the pending export of the same number, and store the fence. The job's status
        stays. Raises `LeaseLostError` on a newer fence, `ConflictError` where that export is not
        pending any more, `NotFoundError`.
        """
        ...

    def set_selection(self, job_id: str, selection: Selection, *, fence: int) -> None:
        """Store which of its records the job's dataset has. Raises `LeaseLostError` on a newer
        fence, `NotFoundError`.
        """
        ...

    def open_round(self, job_id: str, end: int, *, fence: int) -> None:
        """Let the shards of a RUNNING job have the indices up to `end`, in one more round and run
        of it, so that its shards are asked again. One that ends there already, or further, changes
        nothing: a worker that dies after this may repeat it. Raises `LeaseLostError` on a newer
        fence, `ConflictError` when the job isn't RUNNING any more, `InputError` for one without
        shards, `NotFoundError`.
        """
        ...

    def return_rest(self, job_id: str) -> None:
        """Give back to the accounts of its month what an ended job has committed no more: its last
        worker has returned its hold since. Nothing happens twice, or for any other job.
        """
        ...

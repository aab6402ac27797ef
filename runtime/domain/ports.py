"""What the engine needs of the world, as small Protocols.

Two families of adapters implement them: `runtime.aws` (DynamoDB, S3, Bedrock) and `runtime.local`
(SQLite, a directory, llama.cpp). One contract suite (`tests/contract`) holds both to the words
here. Every method may raise `StorageUnavailableError` for a fault that may pass, and nothing else
that is not named. Times are aware UTC datetimes, money is integer nano-USD, sizes are bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from runtime.domain.jobs.job import Job, JobError, JobStatus, Progress
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.accounts import Admission, BudgetStore
from runtime.domain.templates.template import Template, TemplateRef


class Clock(Protocol):
    """Wall time for stamps, monotonic seconds for every decision about duration."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


# ── objects ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectStat:
    """`version` names these very bytes (S3 VersionId, or a content hash); None if not kept."""

    key: str
    size: int
    version: str | None
    written_at: datetime | None = field(default=None, compare=False)
    """When, where a listing says so."""


class ObjectStore(Protocol):
    """A flat key → bytes store: S3, or a directory. Writes are atomic and durable on return."""

    def get(self, key: str, *, version: str | None = None) -> bytes:
        """The whole object. Raises `NotFoundError` (also when `version` is gone)."""
        ...

    def stat(self, key: str) -> ObjectStat:
        """Size and current version. Raises `NotFoundError`."""
        ...

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        """Create or replace. Raises `StorageFullError`."""
        ...

    def put_if_absent(self, key: str, body: bytes, *, content_type: str) -> None:
        """Create. Raises `ObjectExistsError` and changes nothing when the key is taken."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Every object whose key starts with `prefix`, in key order; `version` may be None."""
        ...

    def open_reader(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Stream the object in constant memory. Raises `NotFoundError` on enter."""
        ...

    def open_version(
        self, key: str, *, version: str | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """Stream one version in constant memory. Raises `NotFoundError` on enter."""
        ...

    def open_writer(self, key: str, *, content_type: str) -> AbstractContextManager[BinaryIO]:
        """Stream a new object in constant memory.

        It replaces the old one when the block ends without an exception; otherwise no trace of
        the new one stays.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove; missing keys are fine."""
        ...


# ── jobs, work, checkpoints ────────────────────────────────────────────────────────────────────


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

    def finish(self, claim: Claim, status: JobStatus) -> None:
        """End the item with the job's final status. Raises `LeaseLostError`."""
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


class JobStore(Protocol):
    """The jobs table."""

    def create_job(
        self,
        job: Job,
        *,
        shards: Sequence[int | None] = (None,),
        admission: Admission | None = None,
    ) -> None:
        """Store a QUEUED job and its work items in one transaction, which takes the job's limit out
        of the accounts of the month and counts it as active; without an admission neither. Raises
        `ConflictError`, `LimitError` for one active job too many, `MonthlyBudgetError`.
        """
        ...

    def get_job(self, job_id: str) -> Job:
        """Strongly consistent read. Raises `NotFoundError`."""
        ...

    def set_progress(self, job_id: str, fence: int, progress: Progress) -> None:
        """Replace the counters of a RUNNING job. Raises `LeaseLostError` on a newer fence,
        `ConflictError` when the job isn't RUNNING any more, `NotFoundError`.
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

    def set_num_records(self, job_id: str, num_records: int) -> None:
        """Let the job have more records; the same number changes nothing. Raises `InputError` for
        fewer, `ConflictError` while the job is RUNNING (its worker has read the number) or
        DELETING, `NotFoundError`.
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
        that hands work back brings no ended job back). A job keeps no older error_message,
        error_code or retry_after: without a new one it has none. Raises `ConflictError` when the
        transition isn't allowed, `NotFoundError`.

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
        for one that hasn't ended, or is DELETING, `NotFoundError`.
        """
        ...

    def return_rest(self, job_id: str) -> None:
        """Give back to the accounts of its month what an ended job has committed no more: its last
        worker has returned its hold since. Nothing happens twice, or for any other job.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointVersion:
    version: int
    records_generated: int
    fence: int


class CheckpointVersions(Protocol):
    """The small, conditional half of a checkpoint; the blob is an object."""

    def get(self, work_id: str) -> CheckpointVersion | None: ...

    def put(self, work_id: str, new: CheckpointVersion) -> None:
        """Store `new` if the stored version is `new.version - 1` (none counts as 0).

        A reply that was lost and retried finds its own item and succeeds. Raises `LeaseLostError`
        if the stored fence is newer, `ConflictError` if the stored version is another one.
        """
        ...


class CostStore(Protocol):
    """What each flush of a job cost."""

    def add(self, job_id: str, *, entry_id: str, cost_nano: int, tokens: int) -> None:
        """Add one entry; the same `entry_id` again changes nothing."""
        ...

    def total(self, job_id: str) -> int:
        """Sum of all entries, nano-USD."""
        ...


class TemplateStore(Protocol):
    """Immutable template versions."""

    def load_template(self, ref: TemplateRef) -> Template:
        """Raises `TemplateNotFoundError`."""
        ...

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        """Store the next version. Raises `ConflictError` when another writer took it first."""
        ...


# ── the laptop's extra safety ──────────────────────────────────────────────────────────────────


class Journal(Protocol):
    """Append-only log of paid replies that no batch holds yet. On AWS there is none.

    `append` returns when a killed process can no longer lose the line.
    """

    def append(self, line: bytes) -> None:
        """Add one line (without newline). Raises `StorageFullError`."""
        ...

    def replay(self) -> Iterator[bytes]:
        """Whole lines in order; a torn last line, left by a kill, is dropped."""
        ...

    def reset(self, lines: Iterable[bytes] = ()) -> None:
        """Forget everything but `lines`, atomically: a batch holds the rest now."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Everything a worker needs, wired by `runtime.bootstrap`."""

    clock: Clock
    queue: WorkQueue
    jobs: JobStore
    templates: TemplateStore
    checkpoints: CheckpointVersions
    costs: CostStore
    budgets: BudgetStore
    objects: ObjectStore
    models: ModelClient
    provider: str
    """Whose models `models` calls, as the price table names providers."""
    prices: PriceTable
    open_journal: Callable[[str], Journal] | None = None
    """Opens the journal of a work id; None where a lost machine takes its disk with it."""

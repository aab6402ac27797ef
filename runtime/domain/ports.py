"""What the engine needs of the world, as small Protocols.

Two families of adapters implement them: `runtime.aws` (DynamoDB, S3, Bedrock) and `runtime.local`
(SQLite, a directory, llama.cpp). One contract suite (`tests/contract`) holds both to the words
here. Every method may raise `StorageUnavailableError` for a fault that may pass, and nothing else
that is not named. Times are aware UTC datetimes, money is integer nano-USD, sizes are bytes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from runtime.domain.job_ports import Claim as Claim  # noqa: PLC0414 parts of these ports
from runtime.domain.job_ports import JobStore as JobStore  # noqa: PLC0414
from runtime.domain.job_ports import Lease as Lease  # noqa: PLC0414
from runtime.domain.job_ports import WorkQueue as WorkQueue  # noqa: PLC0414
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.accounts import BudgetStore
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

    def copy(self, source: str, target: str) -> None:
        """Create or replace `target` with the bytes of `source`, 5 GB at most, which don't pass
        through here. Raises `NotFoundError`, `StorageFullError`.
        """
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


# ── checkpoints, costs, templates ──────────────────────────────────────────────────────────────


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

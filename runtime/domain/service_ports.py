"""What the API and the event handlers need of the world beyond the worker's ports (`ports.py`).

The same rules hold: two families of adapters, one contract suite, every method may raise
`StorageUnavailableError` for a fault that may pass, and nothing else that is not named. An
operation sees the whole of `ApiPorts` and touches what it needs: clients are built on first use.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from runtime.contract.statuses import WorkStatus
from runtime.domain.jobs.job import Job, JobError, JobStatus
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.accounts import DEFAULT_MONTHLY_NANO, BudgetStore, MonthlyBudgets
from runtime.domain.pages import Page
from runtime.domain.ports import Clock, JobStore, ObjectStat, ObjectStore, TemplateStore, WorkQueue
from runtime.domain.seeds.uploads import DEFAULT_QUOTA_BYTES, UploadLedgers
from runtime.domain.template_ports import TemplateCatalog

# ── jobs ───────────────────────────────────────────────────────────────────────────────────────


class JobCatalog(Protocol):
    """Jobs as their users see them: many at a time, and gone when they are deleted."""

    def list_jobs(
        self, user_id: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Page[Job]:
        """The user's jobs, newest first. Raises `InputError` for an `after` it did not give."""
        ...

    def count_active(self, user_id: str, *, at_most: int) -> int:
        """Queued and running jobs of the user, counted up to `at_most`. May lag by a moment."""
        ...

    def list_active(self, user_id: str) -> Sequence[Job]:
        """Queued and running jobs of the user. May lag by a moment."""
        ...

    def set_launch_error(self, job_id: str, message: str | None) -> None:
        """Remember why no worker could be started, cut as error messages are; None: one could.
        Does nothing for a job that is gone.
        """
        ...

    def delete_job(self, job_id: str) -> None:
        """Remove everything that tables hold of a DELETING job: work items, checkpoint versions,
        costs, budget account, and the job itself last. Safe to repeat after a crash at any point;
        nothing happens when the job is gone. Raises `ConflictError` when the job isn't DELETING.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """A work item as whoever starts and watches workers sees it.

    `launches` counts and numbers attempts to start a worker, `quota_refusals` those that the quota
    refused. `launched_at` is when the last one began, None if it failed. `seen_*` is what
    `note_seen` stored. `queued_at` is its place in the line, None where a store keeps no time.
    """

    work_id: str
    job_id: str
    status: WorkStatus
    owner: str | None
    fence: int
    beat: int
    attempt: int
    launches: int = 0
    launched_at: datetime | None = None
    seen_fence: int | None = None
    seen_beat: int | None = None
    seen_at: datetime | None = None
    shard: int | None = None
    queued_at: datetime | None = field(default=None, compare=False)
    quota_refusals: int = 0


class WorkCatalog(Protocol):
    """The work queue as whoever starts and watches workers sees it. It never executes work."""

    def get_work(self, work_id: str) -> WorkItem:
        """Strongly consistent read. Raises `NotFoundError`."""
        ...

    def work_of(self, job_id: str) -> Sequence[WorkItem]:
        """The job's own work item, then those of its shards in their order; empty where there is
        none. Strongly consistent.
        """
        ...

    def list_work(self, status: WorkStatus) -> Iterator[WorkItem]:
        """All items of a status, oldest first; QUEUED, RUNNING and WAITING are never many."""
        ...

    def begin_launch(self, item: WorkItem) -> int | None:
        """Take the right to start the next worker for a QUEUED item, or the next execution for a
        WAITING one; the number of the launch.

        None when somebody else has begun one since `item` was read, or it is neither any more.
        """
        ...

    def end_failed_launch(self, work_id: str, number: int, *, at_quota: bool = False) -> None:
        """Forget `launched_at` of launch `number`: it started nothing and may be tried again now.
        `at_quota` counts it as a refusal. Nothing happens twice, or when a later one has begun.
        """
        ...

    def note_seen(self, item: WorkItem) -> None:
        """Store fence and beat of a RUNNING item with the time, for the next observer, who has no
        memory of its own. Nothing happens when they have changed meanwhile.
        """
        ...

    def note_loss(self, item: WorkItem, *, finished: int) -> int:
        """Count the death of the item's worker; how many have died in a row while the job had
        `finished` records saved, this one included. Asked once for a claim, by who recovered it.
        Raises `NotFoundError`.
        """
        ...

    def withdraw(
        self, work_id: str, status: JobStatus, *, error: JobError | None = None, run: int = 0
    ) -> bool:
        """QUEUED or WAITING → `status`, for work whose job has ended, or for a shard that is given
        up in a run, with why: nobody will claim it. False if it is neither. Raises `NotFoundError`.
        """
        ...

    def begin_deletion(self, work_id: str) -> bool:
        """Any status but RUNNING → DELETING, for work whose job is DELETING: it is listed by that.
        False if it is RUNNING. Raises `NotFoundError`.
        """
        ...


class Launcher(Protocol):
    """Starts a worker for a work item and returns as soon as that is on its way."""

    def launch(self, item: WorkItem, *, number: int, created_at: datetime, on_demand: bool) -> None:
        """Raises `LaunchError`. The same `number` starts no second worker of the job of that time.

        `on_demand` asks for a machine at the full price, which nobody takes away.
        """
        ...

    def stop(self, owner: str) -> int:
        """End what still runs of a worker that has lost its work, by what it called itself in its
        claim; how many were stopped. It is no error that none is left. Raises `LaunchError`.
        """
        ...


class Executions(Protocol):
    """Whoever sees to it that all shards of a job are worked on, round after round, and that the
    job is exported in the end. Each is numbered by `begin_launch` on the job's own work item.
    """

    def begin_execution(self, item: WorkItem, *, number: int, created_at: datetime) -> None:
        """Begin to work on a sharded job, whose own item this is, and return at once. The same
        `number` begins nothing more for the job of that time. Raises `LaunchError`.
        """
        ...

    def is_running(self, job_id: str, *, number: int, created_at: datetime) -> bool:
        """Whether this execution goes on; False: it has ended, or never was. One that began a
        moment ago may not be seen yet.
        """
        ...

    def stop(self, job_id: str, *, number: int, created_at: datetime) -> bool:
        """End an execution with the workers that it has started; False: it goes on no more. Raises
        `LaunchError`.
        """
        ...


class Announcer(Protocol):
    """Says to the world that jobs have ended."""

    def announce(self, *, enough: Callable[[], bool]) -> int:
        """Announce the ends that nobody has announced yet, oldest first, until `enough` says stop;
        how many. Each at least once, whatever dies meanwhile, unless the job has gone on or was
        deleted before. What could not be announced is left for the next time.
        """
        ...


# ── objects that a browser or a command moves by itself ────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadForm:
    """A multipart form that may be posted to `url` until it expires: `fields`, then `file`."""

    url: str
    fields: Mapping[str, str]


class ObjectLinks(Protocol):
    """Signed addresses under which a client reads and writes objects without a token."""

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> UploadForm:
        """For this very key and at most that size. Raises `StorageError`."""
        ...

    def download_url(self, key: str, *, file_name: str, seconds: int) -> str:
        """For one object, which is saved as `file_name`. Raises `StorageError`."""
        ...


class ApiObjects(ObjectStore, Protocol):
    """The object store with what only the API needs."""

    def list_page(self, prefix: str, *, limit: int, after: str | None = None) -> Page[ObjectStat]:
        """Objects below `prefix` in key order. Raises `InputError` for an `after` outside it."""
        ...

    def list_versions(self, prefix: str) -> Iterator[ObjectStat]:
        """Every version of every object whose key starts with `prefix` that takes room."""
        ...

    def delete_all(self, prefix: str, *, enough: Callable[[], bool] = lambda: False) -> bool:
        """Remove every version of every object below `prefix`, until `enough`, which is asked now
        and then, says that the rest can wait. Whether nothing is left. Safe to repeat.
        """
        ...


# ── all of it ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSettings:
    """Limits of the API. Durations are seconds, sizes bytes."""

    max_active_jobs: int = 5
    """Queued and running jobs of one user."""
    monthly_nano: int | None = DEFAULT_MONTHLY_NANO
    """Nano-USD that all jobs and previews of a month may cost together; None: no limit."""
    user_monthly_nano: int | None = None
    """The same of each user."""
    lease_seconds: int = 60
    """After how long without a heartbeat a worker counts as gone."""
    launch_grace_seconds: int = 300
    """How long a started task may take until its worker claims the work."""
    max_losses: int = 5
    """Workers that may die in a row without a record saved before the job is given up."""
    on_demand_after: int = 3
    """Launches, but for `quota_refusals`, after which the full price is paid, if allowed."""
    max_workers: int = 1
    """Workers of one sharded job at a time; where it is 1 no job is split that nobody asked for."""
    user_workers: int = 40
    """Workers of all jobs of a user at a time, shards counted."""
    worker_hours: int = 6
    """A job that would take one worker longer is split."""
    worker_calls: int = 64
    """Model calls of one worker at a time."""
    model_tokens_per_minute: int = 2_000_000
    """The quota for one model."""
    seed_bytes: int | None = DEFAULT_QUOTA_BYTES
    """What the seeds of one user may take; None: no limit."""
    upload_seconds: int = 900
    download_seconds: int = 900
    """How long a signed address holds."""


class ApiPorts(Protocol):
    """Everything an operation may need, wired by `runtime.bootstrap`."""

    @property
    def clock(self) -> Clock: ...
    @property
    def new_id(self) -> Callable[[], str]:
        """A fresh random UUID, as text."""
        ...

    @property
    def settings(self) -> ApiSettings: ...
    @property
    def jobs(self) -> JobStore: ...
    @property
    def job_catalog(self) -> JobCatalog: ...
    @property
    def queue(self) -> WorkQueue: ...
    @property
    def work(self) -> WorkCatalog: ...
    @property
    def launcher(self) -> Launcher: ...
    @property
    def executions(self) -> Executions: ...
    @property
    def announcer(self) -> Announcer: ...
    @property
    def templates(self) -> TemplateStore: ...
    @property
    def template_catalog(self) -> TemplateCatalog: ...
    @property
    def objects(self) -> ApiObjects: ...
    @property
    def links(self) -> ObjectLinks: ...
    @property
    def budgets(self) -> BudgetStore: ...
    @property
    def upload_ledgers(self) -> UploadLedgers: ...
    @property
    def monthly_budgets(self) -> MonthlyBudgets: ...
    @property
    def prices(self) -> PriceTable: ...
    @property
    def provider(self) -> str:
        """Whose models jobs call, as the price table names providers."""
        ...

    @property
    def models(self) -> ModelClient: ...

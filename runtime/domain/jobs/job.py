"""A job and its life.

    QUEUED ──claim──▶ RUNNING ──┬─▶ COMPLETED
     ▲ ▲                │       ├─▶ FAILED
     │ │                │       ├─▶ BUDGET_EXCEEDED
     │ └──interrupted───┘       └─▶ CANCELLED
     └──queued again (a retry, a raised budget, more records, a change of mind)

QUEUED may also be cancelled, or fail before a worker takes it. A job that has ended may be queued
again: everything generated so far is kept and counted. COMPLETED is queued again for a reason only:
records that the service failed, failures that are to be tried again, or more records. An ended job
may be deleted: DELETING stands while its data goes, and nothing leaves it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runtime.contract.statuses import JobStatus as JobStatus  # noqa: PLC0414 a part of the job, for whoever imports it
from runtime.domain.checks.totals import CheckTotals, Selection
from runtime.domain.jobs.config import JobConfig
from runtime.domain.jobs.row_export import RequestedExport
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.money.accounts import Share
from runtime.domain.money.amounts import parse_budget

MAX_RECORDS = 1_000_000
"""Largest `num_records` of one job (requirement S1.5)."""

MAX_ERROR_MESSAGE_CHARACTERS = 1000
"""Longest `error_message` that is stored with a job (requirement S7.9)."""


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(JobStatus) - {JobStatus.RUNNING, JobStatus.DELETING},
    JobStatus.FAILED: frozenset({JobStatus.QUEUED, JobStatus.DELETING}),
    JobStatus.BUDGET_EXCEEDED: frozenset({JobStatus.QUEUED, JobStatus.DELETING}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED, JobStatus.DELETING}),
    JobStatus.COMPLETED: frozenset({JobStatus.QUEUED, JobStatus.DELETING}),
    JobStatus.DELETING: frozenset(),
}


def may_become(old: JobStatus, new: JobStatus) -> bool:
    """Whether the transition table allows `old` → `new`."""
    return new in TRANSITIONS[old]


def sources_of(new: JobStatus) -> frozenset[JobStatus]:
    """Every status from which `new` may be reached: the condition of a conditional write."""
    return frozenset(old for old in JobStatus if may_become(old, new))


ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
"""Statuses of a job that counts against its user's limit of jobs at a time."""

ENDED = frozenset(JobStatus) - ACTIVE
"""Statuses in which no worker may dispatch a call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Counters of a job. `cost_nano` is nano-USD, calls in flight excluded."""

    records_generated: int = 0
    """Records that are there; of a template with checks those that passed the checks of records,
    surplus and repeats included.
    """
    failed_records: int = 0
    tokens_used: int = 0
    cost_nano: int = 0
    failures_by_kind: Mapping[str, int] = field(default_factory=dict)
    """Part of `failed_records` by the `kind` of their failures."""
    cost_by_model: Mapping[str, int] = field(default_factory=dict)
    """Nano-USD of calls by model id. What a worker that died left in doubt is in `cost_nano` and
    in no model's sum: whoever shows these calls the difference unattributed.
    """
    service_failures: int = 0
    """Part of `failed_records` that failed by the service and not by a fault of their own: going on
    with the job tries them again.
    """
    steps: Mapping[str, StepTotals] = field(default_factory=dict)
    """What the calls of each step did, by step id. Empty for a job of before they were counted;
    what a worker that was killed had counted since its last checkpoint is not in it.
    """
    checks: CheckTotals = field(default_factory=CheckTotals)

    @property
    def ended(self) -> int:
        """Indices that are done with: each has a record, has failed, or was rejected."""
        return self.records_generated + self.failed_records + self.checks.rejected

    def accepted(self, wanted: int) -> int:
        """Records of these that a dataset of `wanted` has: a forecast where checks compare records,
        see `CheckTotals.left_out`.
        """
        return min(max(self.records_generated - sum(self.checks.left_out.values()), 0), wanted)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobError:
    """Why a job ended before its time: `message` for people, cut where it is too long to be stored,
    `code` of a class in `domain.errors`. `retry_after` is when it makes sense to go on, at the
    earliest; None: nobody knows, or at once.
    """

    message: str
    code: str | None = None
    retry_after: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", self.message[:MAX_ERROR_MESSAGE_CHARACTERS])


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request for a dataset, as stored.

    `budget_limit` is what the store holds, unparsed: it can be a Decimal, a string, or damage
    that `money.parse_budget` has to judge (requirements S8.4, S8.5).
    """

    job_id: str
    user_id: str
    status: JobStatus
    config: JobConfig
    budget_limit: object
    created_at: datetime
    updated_at: datetime
    progress: Progress = field(default_factory=Progress)
    error_message: str | None = None
    error_code: str | None = None
    """The `code` of the error that ended it, of a class in `domain.errors`."""
    retry_after: datetime | None = None
    """When it makes sense to go on with it, at the earliest; None: nobody knows, or at once."""
    run: int = 1
    """How often it was queued: one more each time that it is queued again or grows."""
    launch_error: str | None = None
    """Why the last attempt to start a worker failed; it is tried again."""
    request_hash: str | None = None
    """Hash of the request that made the job, where the client named one (`Idempotency-Key`)."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    export: RequestedExport | None = None
    """Rows in another shape that it was asked for last, since it has ended."""
    selection: Selection | None = None
    """Which records its dataset has, as they were chosen last; None: it has no checks, or that was
    never done.
    """
    share: Share | None = None
    """What it has in the accounts of a month; a store sets it. None: it was queued without one."""

    @property
    def accepted(self) -> int:
        """Records of its dataset: as they were chosen, or the forecast where there are others now.
        Without checks all that there are.
        """
        chosen = self.current_selection
        if chosen is not None:
            return chosen.accepted
        return self.progress.accepted(self.config.num_records)

    @property
    def current_selection(self) -> Selection | None:
        """What was chosen last, if that was of all its records, and as many were asked for."""
        found = self.selection
        if found is None:
            return None
        now = (self.config.num_records, self.progress.records_generated)
        return found if (found.wanted, found.records) == now else None

    @property
    def budget_nano(self) -> int:
        """The budget that a worker enforces, also where what is stored is damaged."""
        return parse_budget(self.budget_limit)[0]

    @property
    def asked_export(self) -> RequestedExport | None:
        """The export that its own work is queued for, if it has ended and is asked for one."""
        if self.export is None or not self.export.is_pending:
            return None
        return self.export if self.status in ENDED - {JobStatus.DELETING} else None


def work_id_of(job_id: str, shard: int | None = None) -> str:
    """Queue key of a job, or of one of its shards: `job_id` or `job_id#shard`."""
    return job_id if shard is None else f"{job_id}#{shard}"

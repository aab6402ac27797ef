"""What the shards of a job say about it. Judged from stored work items alone: how a process ended
tells nothing about what it has saved.

    some QUEUED or RUNNING          the job goes on
    ended, asked again since        they are queued again, if they have anything to generate
    all ended                       the job's own work may run: it exports, and ends the job

A job counts how often it was queued (`Job.run`), and a shard notes which of these it answered when
it ended. So whoever finds the items after a crash knows which shards are still to be queued.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from runtime.contract.statuses import WaitingStatus, WorkStatus
from runtime.domain.checks.totals import CheckTotals
from runtime.domain.jobs.job import ACTIVE, ENDED, Job, JobError, JobStatus, Progress
from runtime.domain.jobs.sharding import Sharding, ranges_of, size_of
from runtime.domain.jobs.step_totals import Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardState:
    """The stored work item of one shard: its own counters, and how it ended."""

    shard: int
    status: WorkStatus
    progress: Progress = field(default_factory=Progress)
    run: int = 0
    """`Job.run` as the shard knew it when it ended; 0: it has never ended."""
    error: JobError | None = None
    """Why it ended before its time."""
    attempt: int = 0
    """How often it was claimed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`running` shards may still generate, `again` are those to be queued. Where there are neither,
    the job ends as `status` with `error`, unless the sums of its counters say that nothing was
    generated.
    """

    running: tuple[int, ...] = ()
    again: tuple[int, ...] = ()
    status: JobStatus = JobStatus.COMPLETED
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to generate, so that the job's own work may run."""
        return not (self.running or self.again)


_WORST_FIRST: Final = (JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.BUDGET_EXCEEDED)


def judge(job: Job, shards: Sequence[ShardState]) -> Verdict:
    """What becomes of a sharded job. One that has ended itself generates nothing more, whatever its
    shards lack.
    """
    sharding = job.config.sharding
    if sharding is None:
        raise ValueError(f"job {job.job_id} has no shards")
    running = tuple(each.shard for each in shards if each.status in ACTIVE)
    if job.status in ENDED:
        return Verdict(running=running, status=job.status)
    again = tuple(each.shard for each in shards if _is_asked_again(job, sharding, each))
    # An older end of a shard that has nothing left to do is no end of this run.
    ended = [each for each in shards if each.run >= job.run]
    for status in _WORST_FIRST:
        for each in ended:
            if each.status == status:
                return Verdict(running=running, again=again, status=status, error=each.error)
    return Verdict(running=running, again=again)


def _is_asked_again(job: Job, sharding: Sharding, state: ShardState) -> bool:
    """Whether an ended shard was asked to go on since. Failures count as something to do: those of
    the service are tried again, and so are others after a retry; a shard that finds neither ends
    without a call.
    """
    if state.status not in ENDED or state.run >= job.run:
        return False
    progress = state.progress
    ended = progress.records_generated + progress.checks.rejected
    return ended < size_of(ranges_of(sharding, state.shard))


def sum_of_progress(parts: Iterable[Progress]) -> Progress:
    """The counters of a job from those of its shards."""
    parts, tally = tuple(parts), Tally()
    for part in parts:
        tally.add(part.steps)
    return Progress(
        records_generated=sum(part.records_generated for part in parts),
        failed_records=sum(part.failed_records for part in parts),
        tokens_used=sum(part.tokens_used for part in parts),
        cost_nano=sum(part.cost_nano for part in parts),
        failures_by_kind=_sums(part.failures_by_kind.items() for part in parts),
        cost_by_model=_sums(part.cost_by_model.items() for part in parts),
        service_failures=sum(part.service_failures for part in parts),
        steps=tally.totals(),
        checks=sum((part.checks for part in parts), CheckTotals()),
    )


def _sums(parts: Iterable[Iterable[tuple[str, int]]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, count in chain.from_iterable(parts):
        sums[name] = sums.get(name, 0) + count
    return sums


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWork:
    """A work item that is created with a job."""

    shard: int | None
    status: WorkStatus


def new_work(sharding: Sharding | None) -> tuple[NewWork, ...]:
    """The work items of a new job: its own, and one for each shard, which its own waits for."""
    if sharding is None:
        return (NewWork(shard=None, status=JobStatus.QUEUED),)
    return (
        NewWork(shard=None, status=WaitingStatus.WAITING),
        *(NewWork(shard=shard, status=JobStatus.QUEUED) for shard in range(sharding.count)),
    )

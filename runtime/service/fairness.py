"""Who gets workers where there are not enough of them: users in turn, and among the jobs of one
user the urgent before the old.

A user may have so many workers at a time, each shard of a job counted. One of them is kept for each
job that the user may have at a time, so that a small job never waits for a large one; the others go
to jobs in shards. A job that is at work keeps what it has.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.service_ports import ApiSettings

T = TypeVar("T")


def urgency(job: Job) -> tuple[object, ...]:
    """What the jobs of one user are sorted by, the next one first."""
    return (-job.config.machines.priority, job.created_at, job.job_id)


def in_turn(waiting: Iterable[T], job_of: Callable[[T], Job]) -> Iterator[T]:
    """One of each user, then the second one of each, and so on; who waits longest comes first."""
    by_user: dict[str, list[T]] = {}
    for each in sorted(waiting, key=lambda each: job_of(each).created_at):
        by_user.setdefault(job_of(each).user_id, []).append(each)
    lines = deque(
        deque(sorted(line, key=lambda each: urgency(job_of(each)))) for line in by_user.values()
    )
    while lines:
        line = lines.popleft()
        yield line.popleft()
        if line:
            lines.append(line)


def shares(jobs: Iterable[Job], settings: ApiSettings) -> Mapping[str, int]:
    """How many workers each of these queued and running jobs of one user may have, by job id. All
    together are at most `user_workers`.
    """
    found: dict[str, int] = {}
    kept = min(settings.max_active_jobs, settings.user_workers)
    spare = settings.user_workers - kept
    for job in sorted(jobs, key=lambda job: (job.status is not JobStatus.RUNNING, *urgency(job))):
        one = 1 if kept > 0 else 0
        kept -= one
        more = min(spare, most_workers(job, settings) - one)
        spare -= more
        found[job.job_id] = one + more
    return found


def most_workers(job: Job, settings: ApiSettings) -> int:
    """How many workers a job can have at a time."""
    sharding = job.config.sharding
    return 1 if sharding is None else min(sharding.count, max(settings.max_workers, 1))

"""What the shards of a job ask for, once one of them has ended or the job was queued again.

    to be queued again ──▶ QUEUED
    all ended          ──▶ the job's own work: WAITING ──▶ QUEUED

Whoever notices does it, as often as they like: a worker that ends a shard, one that has claimed the
job's own work too early, the sweeper, a request to go on. Nothing here executes work.
"""

from contextlib import suppress

from runtime.domain.errors import ConflictError
from runtime.domain.jobs.job import ENDED, Job, work_id_of
from runtime.domain.jobs.shards import Verdict, judge
from runtime.domain.ports import WorkQueue


def verdict_on(queue: WorkQueue, job: Job) -> Verdict:
    """What is stored of a sharded job's shards says this of it."""
    sharding = job.config.sharding
    return judge(job, queue.shards_of(job.job_id, 0 if sharding is None else sharding.count))


def advance(queue: WorkQueue, job: Job) -> Verdict:
    """Do what the shards of a sharded job ask for; what they said. Raises `NotFoundError` where its
    work is gone.
    """
    verdict = verdict_on(queue, job)
    for shard in verdict.again:
        with suppress(ConflictError):  # somebody else was quicker
            queue.enqueue(work_id_of(job.job_id, shard))
    if verdict.ended and job.status not in ENDED:
        queue.release_own(job.job_id)
    return verdict


def queue_work(queue: WorkQueue, job: Job) -> None:
    """Make the work of a QUEUED job claimable, or that of an ended one which is asked for an
    export; what has not ended aside: that is claimable, or becomes so when its owner's lease runs
    out. Raises `NotFoundError`.
    """
    if job.config.sharding is None or job.asked_export is not None:
        with suppress(ConflictError):
            queue.enqueue(work_id_of(job.job_id))
        return
    with suppress(ConflictError):
        queue.await_shards(job.job_id)
    # Afterwards: shards that ended in between have found nobody waiting for them.
    advance(queue, job)

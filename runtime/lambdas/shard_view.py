"""The shards of a job, as answers show them."""

from collections.abc import Sequence

from runtime.domain.jobs.job import Job
from runtime.domain.jobs.sharding import ranges_of, size_of
from runtime.domain.money.amounts import to_usd
from runtime.domain.ports import WorkQueue
from runtime.lambdas.api_model import ApiModel


class ShardView(ApiModel):
    """One shard of a job: the figures of its own records. Amounts are USD."""

    shard: int
    status: str
    """QUEUED, RUNNING, or how it ended."""
    num_records: int
    records_generated: int
    failed_records: int
    cost: float
    attempts: int
    """How many workers have taken it."""
    error_message: str | None
    """Why it ended before its time."""
    error_code: str | None


def shard_views(queue: WorkQueue, job: Job) -> Sequence[ShardView] | None:
    """Those of a job in their order; None for a job in one piece."""
    sharding = job.config.sharding
    if sharding is None:
        return None
    return [
        ShardView(
            shard=state.shard,
            status=str(state.status),
            num_records=size_of(ranges_of(sharding, state.shard)),
            records_generated=state.progress.records_generated,
            failed_records=state.progress.failed_records,
            cost=to_usd(state.progress.cost_nano),
            attempts=state.attempt,
            error_message=state.error.message if state.error else None,
            error_code=state.error.code if state.error else None,
        )
        for state in queue.shards_of(job.job_id, sharding.count)
    ]

"""GET /dashboard/jobs/{job_id}: how far a job is, how fast, and what it has cost."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

from runtime.domain.jobs.check_counts import records_in_budget
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.money.amounts import to_usd
from runtime.lambdas.checks_view import ChecksView, checks_view
from runtime.lambdas.fields import Timestamp
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.shard_view import ShardView, shard_views
from runtime.lambdas.step_view import StepView, step_views
from runtime.service.access import own_job


class JobDashboard(ApiModel):
    """A job in figures. Amounts are USD, durations seconds."""

    job_id: str
    status: JobStatus
    num_records: int
    records_generated: int
    """Of a template with checks those that passed the checks of records, wherever they end up."""
    accepted: int
    """Records of the dataset: those generated, unless the template has checks."""
    failed_records: int
    service_failures: int
    """Failed records that are tried again when the job goes on: the service failed, not they."""
    progress_percent: float
    """Records that are finished, generated or failed; of a template with checks those that are
    accepted.
    """
    records_per_second: float | None
    """Finished records over the time since the job first ran; null before that."""
    seconds_left: float | None
    """At this rate; null while the job doesn't run, or nothing is finished yet."""
    records_in_budget: int | None
    """Of a template with checks: for about how many records the budget is enough if the others cost
    what the accepted ones have cost, with all tries that were rejected. null: for all of them, or
    there are too few to tell.
    """
    tokens_used: int
    cost: float
    cost_by_model: Mapping[str, float]
    cost_unattributed: float
    """Presumed spent by calls whose fate is unknown, of no known model."""
    budget_limit: float
    budget_used_percent: float
    failures_by_kind: Mapping[str, int]
    steps: Mapping[str, StepView]
    """What the calls of each step did; empty for a job of before they were counted."""
    checks: ChecksView | None
    """null: the template has none."""
    shards: Sequence[ShardView] | None
    """null: the job is in one piece."""
    error_message: str | None
    error_code: str | None
    retry_after: Timestamp | None
    launch_error: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    updated_at: Timestamp
    completed_at: Timestamp | None


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.OK: JobDashboard},
    errors=(HTTPStatus.NOT_FOUND,),
)
def lambda_handler(call: Call[NoBody, NoBody]) -> JobDashboard:
    """Show a job of yours in figures."""
    job = own_job(call)
    progress = job.progress
    rate = _rate(job, call.ports.clock.now())
    attributed = sum(progress.cost_by_model.values())
    return JobDashboard(
        job_id=job.job_id,
        status=job.status,
        num_records=job.config.num_records,
        records_generated=progress.records_generated,
        accepted=job.accepted,
        failed_records=progress.failed_records,
        service_failures=progress.service_failures,
        progress_percent=_percent(_finished(job), job.config.num_records),
        records_per_second=rate,
        seconds_left=_seconds_left(job, rate),
        records_in_budget=records_in_budget(
            progress, wanted=job.config.num_records, budget_nano=job.budget_nano
        ),
        tokens_used=progress.tokens_used,
        cost=to_usd(progress.cost_nano),
        cost_by_model={
            model: to_usd(nano) for model, nano in sorted(progress.cost_by_model.items())
        },
        cost_unattributed=to_usd(max(progress.cost_nano - attributed, 0)),
        budget_limit=to_usd(job.budget_nano),
        budget_used_percent=_percent(progress.cost_nano, job.budget_nano),
        failures_by_kind=dict(sorted(progress.failures_by_kind.items())),
        steps=step_views(progress.steps),
        checks=checks_view(job),
        shards=shard_views(call.ports.queue, job),
        error_message=job.error_message,
        error_code=job.error_code,
        retry_after=job.retry_after,
        launch_error=job.launch_error,
        created_at=job.created_at,
        started_at=job.started_at,
        updated_at=job.updated_at,
        completed_at=job.completed_at,
    )


def _finished(job: Job) -> int:
    # Others make up for those that fail where records are checked.
    return job.accepted + (0 if job.config.has_checks else job.progress.failed_records)


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _rate(job: Job, now: datetime) -> float | None:
    """Over the whole run, pauses included: a rate that a user can plan with."""
    if job.started_at is None:
        return None
    end = now if job.status is JobStatus.RUNNING else job.completed_at or job.updated_at
    seconds = (end - job.started_at).total_seconds()
    return round(_finished(job) / seconds, 4) if seconds > 0 else None


def _seconds_left(job: Job, rate: float | None) -> float | None:
    if job.status is not JobStatus.RUNNING or not rate:
        return None
    return round((job.config.num_records - _finished(job)) / rate, 1)

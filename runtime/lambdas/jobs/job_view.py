"""A job as answers show it."""

from collections.abc import Mapping, Sequence

from runtime.domain.jobs.config import OPTIONS
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.row_export import ExportStatus, RequestedExport
from runtime.domain.money.amounts import to_usd
from runtime.domain.ports import WorkQueue
from runtime.lambdas.checks_view import ChecksView, checks_view
from runtime.lambdas.fields import Timestamp
from runtime.lambdas.http import ApiModel
from runtime.lambdas.option_fields import shown, shows
from runtime.lambdas.shard_view import ShardView, shard_views
from runtime.lambdas.step_view import StepView, step_views


class TemplateVersionView(ApiModel):
    """One immutable version of a template."""

    template_id: str
    version: int


@shows(*OPTIONS.values())
class JobConfigView(ApiModel):
    """What the job generates; everything it depends on is pinned."""

    template_id: str
    template_version: int
    seed_data_path: str | None
    """null: its template reads no seeds."""
    seed_version: str | None
    """The version of the seed object; later uploads under the same key don't change the job."""
    num_records: int
    includes: Mapping[str, TemplateVersionView]
    """What the template includes, by the name it uses."""
    price_table_version: str | None


class ExportView(ApiModel):
    """Rows that the job was asked for last, since it has ended."""

    status: ExportStatus
    """QUEUED, RUNNING, COMPLETED or FAILED: of this export, and not of the job."""
    folder: str
    """Their Parquet files are in `exports/` below it."""
    records: int
    """Records that were read so far."""
    rows: int
    """Rows that there are, once it is COMPLETED."""
    message: str | None
    """Why it failed."""
    code: str | None
    """What kind of error that was, for programs."""
    requested_at: Timestamp
    ended_at: Timestamp | None


class JobView(ApiModel):
    """A job. Amounts are USD."""

    job_id: str
    status: JobStatus
    config: JobConfigView
    budget_limit: float
    records_generated: int
    """Of a template with checks those that passed the checks of records, wherever they end up."""
    accepted: int
    """Records of the dataset: those generated, unless the template has checks."""
    failed_records: int
    service_failures: int
    """Failed records that are tried again when the job goes on: the service failed, not they."""
    failures_by_kind: Mapping[str, int]
    tokens_used: int
    cost_estimate: float
    """What the calls so far have cost."""
    steps: Mapping[str, StepView]
    """What the calls of each step did; empty for a job of before they were counted."""
    checks: ChecksView | None
    """null: the template has none."""
    error_message: str | None
    error_code: str | None
    """What kind of error ended it, for programs."""
    retry_after: Timestamp | None
    """When it makes sense to resume it, at the earliest."""
    launch_error: str | None
    """Why no worker could be started the last time; it is tried again by itself."""
    export: ExportView | None
    """null: none was asked for. The rows of the job itself come with its end."""
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None


class JobInShardsView(JobView):
    """A job with its shards."""

    shards: Sequence[ShardView] | None
    """null: the job is in one piece."""


def job_view(job: Job) -> JobView:
    """The answer for `job`."""
    config = job.config
    return JobView(
        job_id=job.job_id,
        status=job.status,
        config=JobConfigView(
            template_id=config.template.template_id,
            template_version=config.template.version,
            seed_data_path=config.seed_data_path,
            seed_version=config.seed_version,
            num_records=config.num_records,
            includes={
                name: TemplateVersionView(template_id=ref.template_id, version=ref.version)
                for name, ref in config.includes.items()
            },
            price_table_version=config.price_table_version,
            **shown(*(getattr(config, name) for name in OPTIONS)),
        ),
        budget_limit=to_usd(job.budget_nano),
        records_generated=job.progress.records_generated,
        accepted=job.accepted,
        failed_records=job.progress.failed_records,
        service_failures=job.progress.service_failures,
        failures_by_kind=dict(sorted(job.progress.failures_by_kind.items())),
        tokens_used=job.progress.tokens_used,
        cost_estimate=to_usd(job.progress.cost_nano),
        steps=step_views(job.progress.steps),
        checks=checks_view(job),
        error_message=job.error_message,
        error_code=job.error_code,
        retry_after=job.retry_after,
        launch_error=job.launch_error,
        export=None if job.export is None else _export_view(job.export),
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )


def job_in_shards_view(job: Job, queue: WorkQueue) -> JobInShardsView:
    """The same with what each shard has done."""
    return JobInShardsView(**dict(job_view(job)), shards=shard_views(queue, job))


def _export_view(export: RequestedExport) -> ExportView:
    return ExportView(
        status=export.status,
        folder=export.folder,
        records=export.records,
        rows=export.rows,
        message=export.message,
        code=export.code,
        requested_at=export.requested_at,
        ended_at=export.ended_at,
    )

"""Every operation of the API and every event handler, as data.

Infrastructure makes one function, one role and one route of each; the local server and the OpenAPI
document read the same rows. A row says all that its function may do: what is not granted here is
refused by AWS.
"""

from dataclasses import dataclass
from typing import Final

from runtime.contract import environment as names
from runtime.contract.tables import (
    CHECKPOINT_METADATA,
    COST_TRACKING,
    JOBS,
    JOBS_ACTIVE,
    JOBS_BY_USER,
    QUEUE,
    QUEUE_BY_STATUS,
    TEMPLATES,
    TEMPLATES_BY_USER,
    TEMPLATES_PUBLIC,
    Table,
)

SEEDS: Final = "seed-data/*"
JOB_DATA: Final = "jobs/*"
EXPORTS: Final = "jobs/*/exports/*"
BATCHES: Final = "jobs/*/outputs/*"
FAILURES: Final = "jobs/*/failures.jsonl"
FAILURE_PARTS: Final = "jobs/*/failures/*"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableGrant:
    """DynamoDB actions on a table, or on one of its indexes."""

    table: Table
    actions: tuple[str, ...]
    index: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectGrant:
    """S3 actions on objects whose key matches one of `keys`."""

    keys: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListGrant:
    """S3 listing actions on the bucket, for prefixes that match one of `prefixes` (s3:prefix)."""

    prefixes: tuple[str, ...]
    actions: tuple[str, ...] = ("s3:ListBucket",)


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchGrant:
    """Run the worker's task definition in the cluster, with its two roles passed to it, and tag the
    tasks: ecs:RunTask, iam:PassRole to ecs-tasks.amazonaws.com, and ecs:TagResource where
    ecs:CreateAction is RunTask. Without the last ECS refuses a launch that passes tags on.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelGrant:
    """Call every Bedrock model of the price table."""


Grant = TableGrant | ObjectGrant | ListGrant | LaunchGrant | ModelGrant


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """One Lambda function. `module` is below `runtime.lambdas` and has a `lambda_handler`.

    `bundle` is core, templates where the text of one is read, or data where Parquet is read, too.
    Memory is MiB; Lambda's share of a processor grows with it.
    """

    name: str
    module: str
    grants: tuple[Grant, ...] = ()
    bundle: str = "core"
    memory: int = 512
    seconds: int = 15
    extra_variables: tuple[str, ...] = ()

    @property
    def handler(self) -> str:
        """The handler string of Lambda."""
        return f"runtime.lambdas.{self.module}.lambda_handler"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that its settings read, in a fixed order."""
        found = set(self.extra_variables)
        for grant in self.grants:
            match grant:
                case TableGrant(table=table):
                    found.add(table.variable)
                case ObjectGrant() | ListGrant():
                    found.add(names.BUCKET_NAME)
                case LaunchGrant():
                    found.update(names.LAUNCH_REQUIRED)
                case ModelGrant():
                    pass
        return tuple(sorted(found))


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One operation of the HTTP API. `path` has parameters in braces, as API Gateway writes them.
    `authenticated` is False only where a request needs no token.
    """

    method: str
    path: str
    function: Function
    authenticated: bool = True

    @property
    def key(self) -> str:
        """The route key of API Gateway, such as `GET /jobs/{job_id}`."""
        return f"{self.method} {self.path}"


_GET: Final = ("dynamodb:GetItem",)
_UPDATE: Final = ("dynamodb:UpdateItem",)
_QUERY: Final = ("dynamodb:Query",)

_READ_JOB: Final = TableGrant(table=JOBS, actions=_GET)
_READ_TEMPLATES: Final = (
    TableGrant(table=TEMPLATES, actions=_GET),
    # An include names a template of the caller's own, or a public one.
    TableGrant(table=TEMPLATES, actions=_QUERY, index=TEMPLATES_BY_USER),
    TableGrant(table=TEMPLATES, actions=_QUERY, index=TEMPLATES_PUBLIC),
)
_MAKE_TEMPLATE: Final = (
    TableGrant(table=TEMPLATES, actions=("dynamodb:PutItem",)),
    *_READ_TEMPLATES,
)
_READ_SEEDS: Final = ObjectGrant(keys=(SEEDS,), actions=("s3:GetObject", "s3:GetObjectVersion"))
# S3 says 403 instead of 404 for a missing key to whoever may not list.
_FIND_SEEDS: Final = ListGrant(prefixes=(SEEDS,))
_START_WORKER: Final = (
    TableGrant(table=QUEUE, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
    LaunchGrant(),
)

ROUTES: Final = (
    Route(
        method="POST",
        path="/jobs",
        function=Function(
            name="create_job",
            module="jobs.create_job",
            grants=(
                TableGrant(
                    table=JOBS,
                    actions=("dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:UpdateItem"),
                ),
                TableGrant(table=JOBS, actions=_QUERY, index=JOBS_ACTIVE),
                TableGrant(
                    table=QUEUE,
                    actions=("dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:UpdateItem"),
                ),
                *_READ_TEMPLATES,
                _READ_SEEDS,
                _FIND_SEEDS,
                LaunchGrant(),
            ),
            bundle="data",
            memory=1769,
            seconds=29,
            extra_variables=(names.MAX_ACTIVE_JOBS,),
        ),
    ),
    Route(
        method="GET",
        path="/jobs",
        function=Function(
            name="list_jobs",
            module="jobs.list_jobs",
            grants=(TableGrant(table=JOBS, actions=_QUERY, index=JOBS_BY_USER),),
        ),
    ),
    Route(
        method="POST",
        path="/jobs/estimate",
        function=Function(
            name="estimate_job",
            module="jobs.estimate_job",
            grants=(*_READ_TEMPLATES, _READ_SEEDS, _FIND_SEEDS),
            bundle="data",
            memory=1769,
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}",
        function=Function(name="get_job", module="jobs.get_job", grants=(_READ_JOB,)),
    ),
    Route(
        method="DELETE",
        path="/jobs/{job_id}",
        function=Function(
            name="delete_job",
            module="jobs.delete_job",
            grants=(
                TableGrant(
                    table=JOBS,
                    actions=(
                        "dynamodb:GetItem",
                        "dynamodb:UpdateItem",
                        "dynamodb:DeleteItem",
                        # Each removal goes through only while the job is DELETING.
                        "dynamodb:ConditionCheckItem",
                    ),
                ),
                TableGrant(
                    table=QUEUE,
                    actions=("dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"),
                ),
                TableGrant(
                    table=COST_TRACKING, actions=("dynamodb:Query", "dynamodb:BatchWriteItem")
                ),
                TableGrant(table=CHECKPOINT_METADATA, actions=("dynamodb:DeleteItem",)),
                # S3 asks for the first of the two also where a version is named.
                ObjectGrant(
                    keys=(JOB_DATA,), actions=("s3:DeleteObject", "s3:DeleteObjectVersion")
                ),
                ListGrant(prefixes=(JOB_DATA,), actions=("s3:ListBucketVersions",)),
            ),
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/download",
        function=Function(
            name="download_job",
            module="jobs.download_job",
            grants=(
                _READ_JOB,
                # The signature of an address lends the caller these rights.
                ObjectGrant(
                    keys=(EXPORTS, BATCHES, FAILURES, FAILURE_PARTS), actions=("s3:GetObject",)
                ),
                ListGrant(prefixes=(JOB_DATA,)),
            ),
        ),
    ),
    Route(
        method="POST",
        path="/jobs/{job_id}/resume",
        function=Function(
            name="resume_job",
            module="jobs.resume_job",
            grants=(
                TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
                TableGrant(table=JOBS, actions=_QUERY, index=JOBS_ACTIVE),
                *_START_WORKER,
            ),
            extra_variables=(names.MAX_ACTIVE_JOBS,),
        ),
    ),
    Route(
        method="POST",
        path="/templates",
        function=Function(
            name="create_template",
            module="templates.create_template",
            grants=_MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates",
        function=Function(
            name="list_templates",
            module="templates.list_templates",
            grants=(
                TableGrant(table=TEMPLATES, actions=_QUERY, index=TEMPLATES_BY_USER),
                TableGrant(table=TEMPLATES, actions=_QUERY, index=TEMPLATES_PUBLIC),
            ),
        ),
    ),
    Route(
        method="POST",
        path="/templates/import",
        function=Function(
            name="import_template",
            module="templates.import_template",
            grants=_MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}",
        function=Function(
            name="get_template",
            module="templates.get_template",
            grants=(TableGrant(table=TEMPLATES, actions=_GET),),
            bundle="templates",
        ),
    ),
    Route(
        method="PUT",
        path="/templates/{template_id}",
        function=Function(
            name="update_template",
            module="templates.update_template",
            grants=(
                TableGrant(table=TEMPLATES, actions=("dynamodb:PutItem", "dynamodb:UpdateItem")),
                *_READ_TEMPLATES,
            ),
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="DELETE",
        path="/templates/{template_id}",
        function=Function(
            name="delete_template",
            module="templates.delete_template",
            grants=(
                TableGrant(
                    table=TEMPLATES,
                    actions=(
                        "dynamodb:GetItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                        "dynamodb:DeleteItem",
                    ),
                ),
            ),
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}/versions",
        function=Function(
            name="list_template_versions",
            module="templates.list_template_versions",
            grants=(TableGrant(table=TEMPLATES, actions=("dynamodb:GetItem", "dynamodb:Query")),),
        ),
    ),
    Route(
        method="POST",
        path="/templates/{template_id}/preview",
        function=Function(
            name="preview_template",
            module="templates.preview_template",
            grants=(*_READ_TEMPLATES, ModelGrant()),
            memory=1769,
            seconds=29,
            bundle="templates",
        ),
    ),
    Route(
        method="POST",
        path="/templates/{template_id}/fork",
        function=Function(
            name="fork_template",
            module="templates.fork_template",
            grants=_MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}/export",
        function=Function(
            name="export_template",
            module="templates.export_template",
            grants=(TableGrant(table=TEMPLATES, actions=_GET),),
            bundle="templates",
        ),
    ),
    Route(
        method="POST",
        path="/seed-data/upload-url",
        function=Function(
            name="create_upload_url",
            module="seed_data.create_upload_url",
            grants=(ObjectGrant(keys=(SEEDS,), actions=("s3:PutObject",)),),
        ),
    ),
    Route(
        method="POST",
        path="/seed-data/validate",
        function=Function(
            name="validate_seed_data",
            module="seed_data.validate_seed_data",
            grants=(*_READ_TEMPLATES, _READ_SEEDS, _FIND_SEEDS),
            bundle="data",
            memory=1769,
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/seed-data",
        function=Function(
            name="list_seed_data",
            module="seed_data.list_seed_data",
            grants=(_FIND_SEEDS,),
        ),
    ),
    Route(
        method="GET",
        path="/dashboard/jobs/{job_id}",
        function=Function(
            name="get_job_dashboard", module="dashboard.get_job_dashboard", grants=(_READ_JOB,)
        ),
    ),
    Route(
        method="GET",
        path="/dashboard/summary",
        function=Function(
            name="get_summary",
            module="dashboard.get_summary",
            grants=(TableGrant(table=JOBS, actions=_QUERY, index=JOBS_BY_USER),),
        ),
    ),
    Route(
        method="GET",
        path="/health",
        function=Function(name="health", module="health", memory=256, seconds=5),
        authenticated=False,
    ),
)

TASK_STOPPED: Final = Function(
    name="task_stopped",
    module="events.task_stopped",
    grants=(
        TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
        *_START_WORKER,
    ),
    seconds=60,
)
"""Hears that a worker's task has stopped: makes its work claimable and starts the next one."""

SWEEP_QUEUE: Final = Function(
    name="sweep_queue",
    module="events.sweep_queue",
    grants=(
        TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
        TableGrant(table=QUEUE, actions=_QUERY, index=QUEUE_BY_STATUS),
        *_START_WORKER,
    ),
    seconds=60,
)
"""Every minute: work whose worker is gone without a word, and work that could not be started."""

EVENT_FUNCTIONS: Final = (TASK_STOPPED, SWEEP_QUEUE)

FUNCTIONS: Final = (*(route.function for route in ROUTES), *EVENT_FUNCTIONS)

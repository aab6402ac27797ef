"""What a function or a worker may call, as data: infrastructure makes IAM statements of it."""

from dataclasses import dataclass
from typing import Final

from runtime.contract.tables import Table

SEEDS: Final = "seed-data/*"
JOB_DATA: Final = "jobs/*"
EXPORTS: Final = "jobs/*/exports/*"
BATCHES: Final = "jobs/*/outputs/*"
FAILURES: Final = "jobs/*/failures.jsonl"
REJECTED: Final = "jobs/*/rejected.jsonl"
REPORT: Final = "jobs/*/report.html"
CARD: Final = "jobs/*/README.md"
ROWS: Final = "jobs/*/exports/*/*"
"""In the folders of all shapes, with their copies as text in folders beside."""
PIECES: Final = "jobs/*/pieces/*"
EXPORT_REQUESTS: Final = "jobs/*/export-requests/*"
ROW_CONFIGURATIONS: Final = "jobs/*/row-configurations.json"
ROWS_RESULT: Final = "jobs/*/rows.json"
FAILURE_PARTS: Final = "jobs/*/failures/*"
REJECTED_PARTS: Final = "jobs/*/rejected/*"
RETRIES: Final = "jobs/*/retries/*"


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
class StopGrant:
    """Find and stop tasks of the cluster: ecs:ListTasks, ecs:DescribeTasks and ecs:StopTask. Beside
    a `LaunchGrant`, which has the variables.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionGrant:
    """Actions of Step Functions on the state machine of sharded jobs and its executions."""

    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnounceGrant:
    """Put events on the default bus of EventBridge: events:PutEvents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelGrant:
    """Call every Bedrock model of the price table."""


DataGrant = TableGrant | ObjectGrant | ListGrant | ModelGrant
Grant = DataGrant | LaunchGrant | StopGrant | ExecutionGrant | AnnounceGrant

"""The six DynamoDB tables: keys, indexes and TTL. Infrastructure, moto and handlers read this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

AttributeType = Literal["S", "N"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Partition key and optional sort key, as (name, type)."""

    partition: tuple[str, AttributeType]
    sort: tuple[str, AttributeType] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table. `variable` is the environment variable that carries its physical name."""

    name: str
    variable: str
    key: Key
    indexes: Mapping[str, Key] = field(default_factory=dict)
    """All attributes are projected. An index whose key an item lacks leaves the item out."""
    ttl_attribute: str | None = None


JOBS_BY_USER: Final = "user_id-created_at"
JOBS_ACTIVE: Final = "active_user_id-created_at"
"""Queued and running jobs only: `active_user_id` goes when a job ends."""
JOBS_UNANNOUNCED: Final = "unannounced-completed_at"
"""Ended jobs whose end nobody has announced yet: `unannounced` goes when it is."""
QUEUE_BY_STATUS: Final = "status-queued_at"
TEMPLATES_BY_USER: Final = "listed_by-created_at"
"""Heads only (version 0), so that a template with many versions is listed once."""
TEMPLATES_PUBLIC: Final = "public-created_at"
"""Heads of public templates only."""

JOBS: Final = Table(
    name="Jobs",
    variable="JOBS_TABLE_NAME",
    key=Key(partition=("job_id", "S")),
    indexes={
        JOBS_BY_USER: Key(partition=("user_id", "S"), sort=("created_at", "S")),
        JOBS_ACTIVE: Key(partition=("active_user_id", "S"), sort=("created_at", "S")),
        JOBS_UNANNOUNCED: Key(partition=("unannounced", "S"), sort=("completed_at", "S")),
    },
)
QUEUE: Final = Table(
    name="Queue",
    variable="QUEUE_TABLE_NAME",
    key=Key(partition=("work_id", "S")),
    indexes={QUEUE_BY_STATUS: Key(partition=("status", "S"), sort=("queued_at", "S"))},
)
TEMPLATES: Final = Table(
    name="Templates",
    variable="TEMPLATES_TABLE_NAME",
    key=Key(partition=("template_id", "S"), sort=("version", "N")),
    indexes={
        TEMPLATES_BY_USER: Key(partition=("listed_by", "S"), sort=("created_at", "S")),
        TEMPLATES_PUBLIC: Key(partition=("public", "S"), sort=("created_at", "S")),
    },
    ttl_attribute="expires_at",
)
COST_TRACKING: Final = Table(
    name="CostTracking",
    variable="COST_TRACKING_TABLE_NAME",
    key=Key(partition=("job_id", "S"), sort=("timestamp", "S")),
    ttl_attribute="expires_at",
)
CHECKPOINT_METADATA: Final = Table(
    name="CheckpointMetadata",
    variable="CHECKPOINT_METADATA_TABLE_NAME",
    key=Key(partition=("job_id", "S")),
)

BUDGETS: Final = Table(
    name="Budgets",
    variable="BUDGETS_TABLE_NAME",
    key=Key(partition=("account_id", "S")),
)

TABLES: Final = (JOBS, QUEUE, TEMPLATES, COST_TRACKING, CHECKPOINT_METADATA, BUDGETS)

COST_ENTRY_DAYS: Final = 90
"""How long a cost entry is kept."""

DELETED_TEMPLATE_DAYS: Final = 30
"""How long the versions of a deleted template are kept for jobs that have pinned them."""

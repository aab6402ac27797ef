"""The five DynamoDB tables: keys, indexes and TTL. Infrastructure, moto and handlers read this."""

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
QUEUE_BY_STATUS: Final = "status-queued_at"
TEMPLATES_BY_USER: Final = "user_id-template_id"
TEMPLATES_PUBLIC: Final = "public-template_id"

JOBS: Final = Table(
    name="Jobs",
    variable="JOBS_TABLE_NAME",
    key=Key(partition=("job_id", "S")),
    indexes={JOBS_BY_USER: Key(partition=("user_id", "S"), sort=("created_at", "S"))},
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
        TEMPLATES_BY_USER: Key(partition=("user_id", "S"), sort=("template_id", "S")),
        TEMPLATES_PUBLIC: Key(partition=("public", "S"), sort=("template_id", "S")),
    },
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

TABLES: Final = (JOBS, QUEUE, TEMPLATES, COST_TRACKING, CHECKPOINT_METADATA)

COST_ENTRY_DAYS: Final = 90
"""How long a cost entry is kept."""

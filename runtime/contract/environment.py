"""Names of the environment variables that each process reads, in one place."""

from typing import Final

from runtime.contract.tables import TABLES

BUCKET_NAME: Final = "BUCKET_NAME"

WORKER_REQUIRED: Final = (*(table.variable for table in TABLES), BUCKET_NAME)
"""A worker that misses one of these names it and does not start (requirement S6.6)."""

JOB_ID: Final = "JOB_ID"
SHARD: Final = "SHARD"

CHECKPOINT_INTERVAL: Final = "CHECKPOINT_INTERVAL"
WORKER_CONCURRENCY: Final = "WORKER_CONCURRENCY"
HEARTBEAT_SECONDS: Final = "HEARTBEAT_SECONDS"
LEASE_SECONDS: Final = "LEASE_SECONDS"
PRICES_FILE: Final = "SEEDWRIGHT_PRICES"
"""A price file that overrides rows of the packaged table."""

WORKER_OPTIONAL: Final = (
    JOB_ID,
    SHARD,
    CHECKPOINT_INTERVAL,
    WORKER_CONCURRENCY,
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    PRICES_FILE,
)

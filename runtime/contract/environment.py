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
"""A price file that overrides rows of the packaged table: a path, or s3://bucket/key on AWS."""

SERVERS: Final = "SEEDWRIGHT_SERVERS"
"""Servers of models that the stage names, as JSON: what providers.yaml says of each, by its name. A
worker has their keys in variables of their own (`server_key`), which their documents name.
"""

REGION: Final = "AWS_REGION"
"""The region that a function or a task runs in, and calls models from; AWS sets it."""

WORKER_OWNER: Final = "WORKER_OWNER"
"""What a worker calls itself in its claims: what started its task, so that whoever hears that the
task has stopped knows whose lease ended with it. Host and process id when it is not set."""

WORKER_OPTIONAL: Final = (
    JOB_ID,
    SHARD,
    CHECKPOINT_INTERVAL,
    WORKER_CONCURRENCY,
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    PRICES_FILE,
    SERVERS,
    WORKER_OWNER,
)

WORKER_CONTAINER: Final = "worker"
"""Name of the container in the worker's task definition, which a launch gives its variables."""

CLUSTER: Final = "CLUSTER"
"""Name or ARN of the ECS cluster that workers run in."""
TASK_DEFINITION: Final = "TASK_DEFINITION"
"""Family or ARN of the worker's task definition."""
SUBNET_IDS: Final = "SUBNET_IDS"
"""Where tasks run, separated by commas."""
SECURITY_GROUP_IDS: Final = "SECURITY_GROUP_IDS"
"""Of a task, separated by commas."""
ASSIGN_PUBLIC_IP: Final = "ASSIGN_PUBLIC_IP"
"""ENABLED in public subnets, where a task has no other way out; else DISABLED."""

LAUNCH_REQUIRED: Final = (
    CLUSTER,
    TASK_DEFINITION,
    SUBNET_IDS,
    SECURITY_GROUP_IDS,
    ASSIGN_PUBLIC_IP,
)
"""What a function that starts workers reads, besides its tables."""

STATE_MACHINE: Final = "STATE_MACHINE"
"""ARN of the state machine that works on sharded jobs."""

MAX_WORKERS: Final = "MAX_WORKERS"
"""Tasks of one sharded job at a time, at most."""
USER_WORKERS: Final = "USER_WORKERS"
"""Tasks of all jobs of one user at a time, at most."""
WORKER_HOURS: Final = "WORKER_HOURS"
"""A job that would take one worker longer than this is split, by the estimate."""
MODEL_TOKENS_PER_MINUTE: Final = "MODEL_TOKENS_PER_MINUTE"
"""The account's quota for one model: a job whose worker can't use it up is split."""

SPLITTING: Final = (
    MAX_WORKERS,
    USER_WORKERS,
    WORKER_HOURS,
    MODEL_TOKENS_PER_MINUTE,
    WORKER_CONCURRENCY,
)
"""What it depends on whether a job is split, and how far."""

STAGE: Final = "STAGE"
"""Which deployment this is, for whoever hears of it elsewhere."""

MAX_ACTIVE_JOBS: Final = "MAX_ACTIVE_JOBS"
"""Queued and running jobs that one user may have."""

MONTHLY_BUDGET_USD: Final = "MONTHLY_BUDGET_USD"
"""Whole US dollars that the jobs of a month may cost together."""
USER_MONTHLY_BUDGET_USD: Final = "USER_MONTHLY_BUDGET_USD"
"""Whole US dollars that the jobs of one user may cost in a month; not set where there is no such
limit."""

SEED_QUOTA_GIB: Final = "SEED_QUOTA_GIB"
"""Whole GiB that the uploaded seeds of one user may take, or `off`."""

METRICS_NAMESPACE: Final = "METRICS_NAMESPACE"
"""Where the metrics of handlers go in CloudWatch: each stage has a namespace of its own."""

FUNCTION_OPTIONAL: Final = (
    MONTHLY_BUDGET_USD,
    USER_MONTHLY_BUDGET_USD,
    METRICS_NAMESPACE,
    SERVERS,
)
"""What every function is given where its stage has it, and starts without."""


def server_key(server: str) -> str:
    """The variable of a worker that holds the key of that server."""
    return f"SEEDWRIGHT_KEY_{server.upper().replace('-', '_')}"

"""Grants that several operations share."""

from typing import Final

from runtime.contract.grants import (
    JOB_DATA,
    SEEDS,
    ExecutionGrant,
    LaunchGrant,
    ListGrant,
    ObjectGrant,
    TableGrant,
)
from runtime.contract.tables import (
    BUDGETS,
    CHECKPOINT_METADATA,
    COST_TRACKING,
    JOBS,
    QUEUE,
    TEMPLATES,
    TEMPLATES_BY_USER,
    TEMPLATES_PUBLIC,
)

GET: Final = ("dynamodb:GetItem",)
UPDATE: Final = ("dynamodb:UpdateItem",)
QUERY: Final = ("dynamodb:Query",)

READ_JOB: Final = (
    TableGrant(table=JOBS, actions=GET),
    # The counters of a sharded job are those of its shards.
    TableGrant(table=QUEUE, actions=("dynamodb:BatchGetItem",)),
)
READ_MONEY: Final = TableGrant(table=BUDGETS, actions=GET)
TAKE_MONEY: Final = TableGrant(table=BUDGETS, actions=UPDATE)
"""Out of the accounts of a month, or back into them."""
RETURN_SLICES: Final = TableGrant(table=BUDGETS, actions=("dynamodb:BatchGetItem",))
"""Beside `TAKE_MONEY`: to see what a shard whose worker is gone has left of its budget."""
READ_TEMPLATES: Final = (
    TableGrant(table=TEMPLATES, actions=GET),
    # An include names a template of the caller's own, or a public one.
    TableGrant(table=TEMPLATES, actions=QUERY, index=TEMPLATES_BY_USER),
    TableGrant(table=TEMPLATES, actions=QUERY, index=TEMPLATES_PUBLIC),
)
MAKE_TEMPLATE: Final = (
    TableGrant(table=TEMPLATES, actions=("dynamodb:PutItem",)),
    *READ_TEMPLATES,
)
READ_SEEDS: Final = ObjectGrant(keys=(SEEDS,), actions=("s3:GetObject", "s3:GetObjectVersion"))
# S3 says 403 instead of 404 for a missing key to whoever may not list.
FIND_SEEDS: Final = ListGrant(prefixes=(SEEDS,))
LIST_SEED_VERSIONS: Final = ListGrant(prefixes=(SEEDS,), actions=("s3:ListBucketVersions",))
KEEP_LEDGERS: Final = TableGrant(table=BUDGETS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem"))
"""What is reserved for uploads on their way."""
START_WORKER: Final = (
    TableGrant(
        table=QUEUE,
        actions=("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:UpdateItem"),
    ),
    LaunchGrant(),
)
START_EXECUTION: Final = ExecutionGrant(actions=("states:StartExecution",))
DELETE_JOB: Final = (
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
        actions=(
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
        ),
    ),
    TAKE_MONEY,
    RETURN_SLICES,
    TableGrant(table=BUDGETS, actions=("dynamodb:DeleteItem",)),
    TableGrant(table=COST_TRACKING, actions=("dynamodb:Query", "dynamodb:BatchWriteItem")),
    TableGrant(table=CHECKPOINT_METADATA, actions=("dynamodb:DeleteItem",)),
    # S3 asks for the first of the two also where a version is named.
    ObjectGrant(keys=(JOB_DATA,), actions=("s3:DeleteObject", "s3:DeleteObjectVersion")),
    ListGrant(prefixes=(JOB_DATA,), actions=("s3:ListBucketVersions",)),
)
"""To begin to delete a job, or to go on with it."""

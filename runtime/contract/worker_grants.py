"""What a worker's task may do: exactly the calls of `runtime/aws` that it makes."""

from dataclasses import dataclass
from typing import Final

from runtime.contract.grants import (
    FAILURES,
    JOB_DATA,
    PIECES,
    REJECTED,
    ROWS,
    SEEDS,
    DataGrant,
    ListGrant,
    ModelGrant,
    ObjectGrant,
    TableGrant,
)
from runtime.contract.tables import (
    BUDGETS,
    CHECKPOINT_METADATA,
    COST_TRACKING,
    JOBS,
    QUEUE,
    QUEUE_BY_STATUS,
    TEMPLATES,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerGrant:
    """One grant, and the name of its statement in the worker's policy where it has one."""

    grant: DataGrant
    name: str | None = None


WORKER_GRANTS: Final = (
    WorkerGrant(
        name="Jobs",
        grant=TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
    ),
    # What a job that has ended didn't spend returns to the accounts of its month. The workers of a
    # sharded job spend out of slices, and each looks what the others have left.
    WorkerGrant(
        name="Budgets",
        grant=TableGrant(table=BUDGETS, actions=("dynamodb:UpdateItem", "dynamodb:BatchGetItem")),
    ),
    WorkerGrant(
        name="Queue",
        grant=TableGrant(table=QUEUE, actions=("dynamodb:UpdateItem", "dynamodb:BatchGetItem")),
    ),
    WorkerGrant(
        name="QueueByStatus",
        grant=TableGrant(table=QUEUE, actions=("dynamodb:Query",), index=QUEUE_BY_STATUS),
    ),
    WorkerGrant(name="Templates", grant=TableGrant(table=TEMPLATES, actions=("dynamodb:GetItem",))),
    WorkerGrant(
        name="Costs",
        grant=TableGrant(table=COST_TRACKING, actions=("dynamodb:PutItem", "dynamodb:Query")),
    ),
    WorkerGrant(
        name="Checkpoints",
        grant=TableGrant(
            table=CHECKPOINT_METADATA, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")
        ),
    ),
    WorkerGrant(grant=ListGrant(prefixes=(SEEDS, JOB_DATA))),
    WorkerGrant(
        name="Seeds",
        grant=ObjectGrant(keys=(SEEDS,), actions=("s3:GetObject", "s3:GetObjectVersion")),
    ),
    WorkerGrant(
        name="JobObjects",
        grant=ObjectGrant(
            keys=(JOB_DATA,), actions=("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
        ),
    ),
    # The lists of failures and of what was rejected go when a repeated export finds none, rows of
    # an earlier one when there are fewer files of them, and pieces of shards when they are joined;
    # nothing else is deleted.
    WorkerGrant(
        name="NoFailures",
        grant=ObjectGrant(keys=(FAILURES, REJECTED, ROWS, PIECES), actions=("s3:DeleteObject",)),
    ),
    WorkerGrant(grant=ModelGrant()),
)

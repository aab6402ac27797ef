"""Every operation of the API and every event handler, as data.

Infrastructure makes one function, one role and one route of each; the local server and the OpenAPI
document read the same rows. A row says all that its function may do: what is not granted here is
refused by AWS.
"""

from typing import Final

from runtime.contract import environment as names
from runtime.contract.functions import PARQUET_DISK, Function, Route
from runtime.contract.grants import (
    SEEDS,
    AnnounceGrant,
    ExecutionGrant,
    LaunchGrant,
    ObjectGrant,
    StopGrant,
    TableGrant,
)
from runtime.contract.job_routes import JOB_ROUTES
from runtime.contract.shared_grants import (
    DELETE_JOB,
    FIND_SEEDS,
    KEEP_LEDGERS,
    LIST_SEED_VERSIONS,
    QUERY,
    READ_JOB,
    READ_MONEY,
    READ_SEEDS,
    READ_TEMPLATES,
    RETURN_SLICES,
    START_WORKER,
    TAKE_MONEY,
)
from runtime.contract.tables import (
    JOBS,
    JOBS_ACTIVE,
    JOBS_BY_USER,
    JOBS_UNANNOUNCED,
    QUEUE,
    QUEUE_BY_STATUS,
)
from runtime.contract.template_routes import TEMPLATE_ROUTES

ROUTES: Final = (
    *JOB_ROUTES,
    *TEMPLATE_ROUTES,
    Route(
        method="POST",
        path="/seed-data/upload-url",
        function=Function(
            name="create_upload_url",
            module="seed_data.create_upload_url",
            grants=(
                ObjectGrant(keys=(SEEDS,), actions=("s3:PutObject",)),
                LIST_SEED_VERSIONS,
                KEEP_LEDGERS,
            ),
            extra_variables=(names.SEED_QUOTA_GIB,),
        ),
    ),
    Route(
        method="POST",
        path="/seed-data/validate",
        function=Function(
            name="validate_seed_data",
            module="seed_data.validate_seed_data",
            grants=(*READ_TEMPLATES, READ_SEEDS, FIND_SEEDS),
            bundle="data",
            memory=1769,
            disk=PARQUET_DISK,
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/seed-data",
        function=Function(
            name="list_seed_data",
            module="seed_data.list_seed_data",
            grants=(FIND_SEEDS,),
        ),
    ),
    Route(
        method="DELETE",
        path="/seed-data/{seed_id}",
        function=Function(
            name="delete_seed_data",
            module="seed_data.delete_seed_data",
            grants=(
                LIST_SEED_VERSIONS,
                KEEP_LEDGERS,
                TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
                ObjectGrant(keys=(SEEDS,), actions=("s3:DeleteObject", "s3:DeleteObjectVersion")),
            ),
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/dashboard/jobs/{job_id}",
        function=Function(
            name="get_job_dashboard", module="dashboard.get_job_dashboard", grants=READ_JOB
        ),
    ),
    Route(
        method="GET",
        path="/dashboard/summary",
        function=Function(
            name="get_summary",
            module="dashboard.get_summary",
            grants=(TableGrant(table=JOBS, actions=QUERY, index=JOBS_BY_USER), READ_MONEY),
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
        TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
        TAKE_MONEY,
        RETURN_SLICES,
        *START_WORKER,
    ),
    seconds=60,
    extra_variables=(names.MAX_ACTIVE_JOBS, names.USER_WORKERS, names.MAX_WORKERS),
)
"""Hears that a worker's task has stopped: makes its work claimable and starts the next one."""

SWEEP_QUEUE: Final = Function(
    name="sweep_queue",
    module="events.sweep_queue",
    grants=(
        *DELETE_JOB,
        TableGrant(table=QUEUE, actions=QUERY, index=QUEUE_BY_STATUS),
        TableGrant(table=JOBS, actions=QUERY, index=JOBS_UNANNOUNCED),
        TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
        LaunchGrant(),
        StopGrant(),
        ExecutionGrant(actions=("states:StartExecution", "states:DescribeExecution")),
        AnnounceGrant(),
    ),
    seconds=60,
    extra_variables=(names.MAX_ACTIVE_JOBS, names.USER_WORKERS, names.MAX_WORKERS),
)
"""Every minute: work whose worker is gone without a word, work that could not be started, jobs
that are being deleted, and ends of jobs that are to be announced.
"""

ADVANCE_JOB: Final = Function(
    name="advance_job",
    module="events.advance_job",
    grants=(
        TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
        TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
        TableGrant(
            table=QUEUE,
            actions=("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:UpdateItem"),
        ),
    ),
    seconds=60,
    extra_variables=(names.MAX_ACTIVE_JOBS, names.USER_WORKERS, names.MAX_WORKERS),
)
"""Asked by the state machine of a sharded job what is next."""

EVENT_FUNCTIONS: Final = (TASK_STOPPED, SWEEP_QUEUE, ADVANCE_JOB)

FUNCTIONS: Final = (*(route.function for route in ROUTES), *EVENT_FUNCTIONS)

LAUNCHERS: Final = tuple(each.name for each in FUNCTIONS if LaunchGrant() in each.grants)
"""The functions that start workers."""

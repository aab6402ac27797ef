"""Operations on jobs."""

from typing import Final

from runtime.contract import environment as names
from runtime.contract.functions import PARQUET_DISK, Function, Route
from runtime.contract.grants import (
    BATCHES,
    CARD,
    EXPORT_REQUESTS,
    EXPORTS,
    FAILURE_PARTS,
    FAILURES,
    JOB_DATA,
    REJECTED,
    REJECTED_PARTS,
    REPORT,
    RETRIES,
    ROW_CONFIGURATIONS,
    ROWS_RESULT,
    ExecutionGrant,
    LaunchGrant,
    ListGrant,
    ObjectGrant,
    TableGrant,
)
from runtime.contract.shared_grants import (
    DELETE_JOB,
    FIND_SEEDS,
    QUERY,
    READ_JOB,
    READ_MONEY,
    READ_SEEDS,
    READ_TEMPLATES,
    START_EXECUTION,
    START_WORKER,
    TAKE_MONEY,
)
from runtime.contract.tables import (
    JOBS,
    JOBS_ACTIVE,
    JOBS_BY_USER,
    QUEUE,
    TEMPLATES,
)

JOB_ROUTES: Final = (
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
                TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
                TAKE_MONEY,
                TableGrant(
                    table=QUEUE,
                    actions=(
                        "dynamodb:PutItem",
                        "dynamodb:GetItem",
                        "dynamodb:BatchGetItem",
                        "dynamodb:UpdateItem",
                    ),
                ),
                *READ_TEMPLATES,
                READ_SEEDS,
                FIND_SEEDS,
                LaunchGrant(),
                START_EXECUTION,
            ),
            bundle="data",
            memory=1769,
            disk=PARQUET_DISK,
            seconds=29,
            extra_variables=(names.MAX_ACTIVE_JOBS, *names.SPLITTING),
        ),
    ),
    Route(
        method="GET",
        path="/jobs",
        function=Function(
            name="list_jobs",
            module="jobs.list_jobs",
            grants=(TableGrant(table=JOBS, actions=QUERY, index=JOBS_BY_USER),),
        ),
    ),
    Route(
        method="POST",
        path="/jobs/estimate",
        function=Function(
            name="estimate_job",
            module="jobs.estimate_job",
            grants=(*READ_TEMPLATES, READ_SEEDS, FIND_SEEDS),
            bundle="data",
            memory=1769,
            disk=PARQUET_DISK,
            seconds=29,
        ),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}",
        function=Function(name="get_job", module="jobs.get_job", grants=READ_JOB),
    ),
    Route(
        method="DELETE",
        path="/jobs/{job_id}",
        function=Function(
            name="delete_job",
            module="jobs.delete_job",
            # Who cancels a sharded job stops its execution, and that stops its tasks.
            grants=(*DELETE_JOB, ExecutionGrant(actions=("states:StopExecution",))),
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
                *READ_JOB,
                # The signature of an address lends the caller these rights.
                ObjectGrant(
                    keys=(
                        *(EXPORTS, BATCHES, FAILURES, FAILURE_PARTS, REJECTED, REJECTED_PARTS),
                        *(REPORT, CARD),
                    ),
                    actions=("s3:GetObject",),
                ),
                ObjectGrant(keys=(ROWS_RESULT,), actions=("s3:GetObject",)),
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
                TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
                TAKE_MONEY,
                READ_MONEY,
                # A retry of failed records leaves a mark, named after the last list of failures.
                ListGrant(prefixes=(JOB_DATA,)),
                ObjectGrant(keys=(RETRIES,), actions=("s3:PutObject",)),
                *START_WORKER,
                # An execution that goes on finds by itself what was queued again.
                ExecutionGrant(actions=("states:StartExecution", "states:DescribeExecution")),
            ),
            extra_variables=(names.MAX_ACTIVE_JOBS, names.USER_WORKERS, names.MAX_WORKERS),
        ),
    ),
    Route(
        method="POST",
        path="/jobs/{job_id}/export",
        function=Function(
            name="export_job",
            module="jobs.export_job",
            bundle="templates",
            grants=(
                TableGrant(table=JOBS, actions=("dynamodb:GetItem", "dynamodb:UpdateItem")),
                TableGrant(table=JOBS, actions=QUERY, index=JOBS_ACTIVE),
                TableGrant(table=TEMPLATES, actions=("dynamodb:GetItem",)),
                ObjectGrant(keys=(EXPORT_REQUESTS,), actions=("s3:PutObject",)),
                ObjectGrant(keys=(ROW_CONFIGURATIONS,), actions=("s3:GetObject",)),
                # S3 says 403 instead of 404 for a missing key to whoever may not list.
                ListGrant(prefixes=(JOB_DATA,)),
                *START_WORKER,
            ),
            extra_variables=(names.MAX_ACTIVE_JOBS, names.USER_WORKERS, names.MAX_WORKERS),
        ),
    ),
)

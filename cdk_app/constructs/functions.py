"""The one place that makes Lambda functions: each with a role and a log group of its own."""

from typing import Final

from cdk_app.bundling import BUNDLES, function_code, target_of
from cdk_app.config import StageConfig
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.grants import Resources, acknowledge_grants, statements_of
from cdk_app.logs import log_group
from cdk_app.nag import acknowledge
from cdk_app.servers import document_of
from runtime.contract import environment as names
from runtime.contract.functions import Function
from runtime.contract.tables import TABLES

from aws_cdk import Duration, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

_RUNTIMES: Final = {
    "3.11": lambda_.Runtime.PYTHON_3_11,
    "3.12": lambda_.Runtime.PYTHON_3_12,
    "3.13": lambda_.Runtime.PYTHON_3_13,
}


def construct_name(function: Function) -> str:
    """`create_job` is `CreateJob` among the constructs of a stack."""
    return "".join(map(str.capitalize, function.name.split("_")))


class Functions:
    """Makes functions for the rows of the route table, in one stack."""

    def __init__(
        self, scope: Stack, *, stage: StageConfig, resources: Resources, network: WorkerNetwork
    ) -> None:
        self._scope = scope
        self._stage = stage
        self._resources = resources
        self._values = _values(stage, resources, network)
        target = target_of(stage)
        # A `Code` belongs to one stack, and one serves all of its functions.
        self._code = {bundle: function_code(bundle, target) for bundle in BUNDLES}

    def create(self, function: Function, *, reserved: int | None = None) -> lambda_.Function:
        """The function of one row: its role may do what the row grants, and its environment holds
        what the row names, nothing more. `reserved` executions are kept for it alone, and it runs
        no more than these at a time.
        """
        scope = Construct(self._scope, construct_name(function))
        group = log_group(scope, "Log", days=self._stage.log_days)
        role = self._role(scope, function)
        # The managed policy would allow every log group of the account.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[group.log_group_arn],
            )
        )
        # Most functions price something: where a stage has a file of its own, all of them get it.
        given = self._resources.models.give(self._scope, role)
        prices = {} if given is None else {names.PRICES_FILE: given}
        created = lambda_.Function(
            scope,
            "Function",
            description=f"Seedwright: {function.name}",
            code=self._code[function.bundle],
            handler=function.handler,
            runtime=_RUNTIMES[self._stage.python_version],
            architecture=lambda_.Architecture.ARM_64,
            memory_size=function.memory,
            ephemeral_storage_size=Size.mebibytes(function.disk),
            timeout=Duration.seconds(function.seconds),
            reserved_concurrent_executions=reserved,
            environment={
                name: value
                for name in function.variables
                if (value := self._values[name]) is not None
            }
            | prices,
            role=role,
            log_group=group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
        )
        acknowledge(
            created,
            "AwsSolutions-L1",
            "The runtime is the newest Python that the project and its packages support.",
        )
        return created

    def _role(self, scope: Construct, function: Function) -> iam.Role:
        role = iam.Role(
            scope,
            "Role",
            description=f"What Seedwright's {function.name} may do",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        for statement in statements_of(function, self._resources, self._scope):
            role.add_to_policy(statement)
        acknowledge_grants(role, function, self._resources)
        return role


def _values(
    stage: StageConfig, resources: Resources, network: WorkerNetwork
) -> dict[str, str | None]:
    """Every variable that a row can name; None for what the stage doesn't have."""
    per_user = stage.user_monthly_budget_usd
    return {
        **{table.variable: resources.tables[table.name].table_name for table in TABLES},
        names.BUCKET_NAME: resources.bucket.bucket_name,
        names.CLUSTER: resources.cluster.cluster_arn,
        names.TASK_DEFINITION: resources.definition.family,
        names.SUBNET_IDS: ",".join(network.subnets.subnet_ids),
        names.SECURITY_GROUP_IDS: network.security_group.security_group_id,
        names.ASSIGN_PUBLIC_IP: "ENABLED" if network.assign_public_ip else "DISABLED",
        names.STATE_MACHINE: None
        if resources.machine is None
        else resources.machine.state_machine_arn,
        names.MAX_WORKERS: str(stage.max_workers),
        names.USER_WORKERS: str(stage.user_workers),
        names.WORKER_HOURS: str(stage.worker_hours),
        names.MODEL_TOKENS_PER_MINUTE: str(stage.model_tokens_per_minute),
        names.WORKER_CONCURRENCY: str(stage.worker_concurrency),
        names.STAGE: stage.name,
        names.SEED_QUOTA_GIB: str(stage.seed_quota_gib),
        names.MAX_ACTIVE_JOBS: str(stage.max_active_jobs),
        names.MONTHLY_BUDGET_USD: str(stage.monthly_budget_usd),
        names.USER_MONTHLY_BUDGET_USD: None if per_user is None else str(per_user),
        names.METRICS_NAMESPACE: stage.metrics_namespace,
        names.SERVERS: document_of(stage.servers) or None,
    }

"""From the grants of the route table to IAM statements: exact actions on exact resources."""

from dataclasses import dataclass
from typing import Final

from cdk_app.constructs.tables import Tables
from cdk_app.models import PricedModels
from cdk_app.nag import acknowledge_objects, acknowledge_wildcard, name_of_export
from runtime.contract.events import DEFAULT_BUS
from runtime.contract.functions import Function
from runtime.contract.grants import (
    AnnounceGrant,
    DataGrant,
    ExecutionGrant,
    Grant,
    LaunchGrant,
    ListGrant,
    ModelGrant,
    ObjectGrant,
    StopGrant,
    TableGrant,
)
from runtime.contract.worker_grants import WORKER_GRANTS

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from constructs import IConstruct


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What grants are about. `definition` is passed by its family, see `task_definition_arn`;
    `machine` is not there yet where it is made.
    """

    tables: Tables
    bucket: s3.IBucket
    cluster: ecs.ICluster
    definition: ecs.FargateTaskDefinition
    models: PricedModels
    machine: sfn.StateMachine | None = None


def statements_of(
    function: Function, resources: Resources, stack: Stack
) -> list[iam.PolicyStatement]:
    """All that `function` may do besides writing its own log."""
    return [
        statement for grant in function.grants for statement in _statements(grant, resources, stack)
    ]


def _statements(grant: Grant, resources: Resources, stack: Stack) -> list[iam.PolicyStatement]:
    if isinstance(grant, LaunchGrant):
        return launch_statements(resources, stack)
    if isinstance(grant, StopGrant):
        return _stop_statements(resources, stack)
    if isinstance(grant, ExecutionGrant):
        return _execution_statements(grant, resources, stack)
    if isinstance(grant, AnnounceGrant):
        return [_announce_statement(stack)]
    return _data_statements(grant, resources.tables, resources.bucket, resources.models, stack)


def _data_statements(
    grant: DataGrant, tables: Tables, bucket: s3.IBucket, models: PricedModels, stack: Stack
) -> list[iam.PolicyStatement]:
    match grant:
        case TableGrant():
            arn = tables[grant.table.name].table_arn
            resource = f"{arn}/index/{grant.index}" if grant.index else arn
            return [iam.PolicyStatement(actions=list(grant.actions), resources=[resource])]
        case ObjectGrant():
            objects = [bucket.arn_for_objects(pattern) for pattern in grant.keys]
            return [iam.PolicyStatement(actions=list(grant.actions), resources=objects)]
        case ListGrant():
            return [_list_statement(bucket, grant)]
        case ModelGrant():
            return models.invoke_statements(stack)


def worker_statements(
    stack: Stack, tables: Tables, bucket: s3.IBucket, models: PricedModels
) -> list[iam.PolicyStatement]:
    """All that a worker may do besides writing its own log."""
    statements: list[iam.PolicyStatement] = []
    for row in WORKER_GRANTS:
        found = _data_statements(row.grant, tables, bucket, models, stack)
        if row.name is not None:
            for statement in found:
                statement.sid = row.name
        statements.extend(found)
    return statements


def _list_statement(bucket: s3.IBucket, grant: ListGrant) -> iam.PolicyStatement:
    """Listing by prefix. It also makes S3 say 404 for a missing object whose key matches: S3 asks
    for this permission then, with the key as the prefix.
    """
    return iam.PolicyStatement(
        actions=list(grant.actions),
        resources=[bucket.bucket_arn],
        conditions={"StringLike": {"s3:prefix": list(grant.prefixes)}},
    )


def launch_statements(resources: Resources, stack: Stack) -> list[iam.PolicyStatement]:
    """To start the worker's task in the cluster, tagged, with its roles."""
    definition = resources.definition
    roles = [definition.task_role, definition.obtain_execution_role()]
    return [
        iam.PolicyStatement(
            actions=["ecs:RunTask"],
            resources=[task_definition_arn(definition, stack)],
            conditions={"ArnEquals": {"ecs:cluster": resources.cluster.cluster_arn}},
        ),
        # A task is tagged like its definition, so that its costs can be told.
        iam.PolicyStatement(
            actions=["ecs:TagResource"],
            resources=[tasks_of(resources.cluster, stack)],
            conditions={"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn for role in roles],
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def _stop_statements(resources: Resources, stack: Stack) -> list[iam.PolicyStatement]:
    in_cluster = {"ArnEquals": {"ecs:cluster": resources.cluster.cluster_arn}}
    return [
        # The only resource that it can be granted on is an instance of EC2, and Fargate's tasks are
        # on none: AWS asks for `*` then, and the condition keeps it to the cluster.
        iam.PolicyStatement(actions=["ecs:ListTasks"], resources=["*"], conditions=in_cluster),
        iam.PolicyStatement(
            actions=["ecs:DescribeTasks", "ecs:StopTask"],
            resources=[tasks_of(resources.cluster, stack)],
            conditions=in_cluster,
        ),
    ]


START_EXECUTION: Final = "states:StartExecution"


def _execution_statements(
    grant: ExecutionGrant, resources: Resources, stack: Stack
) -> list[iam.PolicyStatement]:
    """Executions are started of the machine, and everything else is done to an execution."""
    machine = _machine(resources)
    others = [action for action in grant.actions if action != START_EXECUTION]
    statements = []
    if START_EXECUTION in grant.actions:
        statements.append(
            iam.PolicyStatement(actions=[START_EXECUTION], resources=[machine.state_machine_arn])
        )
    if others:
        executions = executions_of(machine, stack)
        statements.append(iam.PolicyStatement(actions=others, resources=[executions]))
    return statements


def _machine(resources: Resources) -> sfn.StateMachine:
    if resources.machine is None:
        raise ValueError("there is no state machine yet")
    return resources.machine


def executions_of(machine: sfn.StateMachine, stack: Stack) -> str:
    """Every execution of the machine, those of its Maps left out."""
    return stack.format_arn(
        service="states",
        resource="execution",
        resource_name=f"{machine.state_machine_name}:*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def _announce_statement(stack: Stack) -> iam.PolicyStatement:
    bus = stack.format_arn(service="events", resource="event-bus", resource_name=DEFAULT_BUS)
    return iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus])


def tasks_of(cluster: ecs.ICluster, stack: Stack) -> str:
    """Every task of the cluster."""
    return stack.format_arn(
        service="ecs", resource="task", resource_name=f"{cluster.cluster_name}/*"
    )


def task_definition_arn(definition: ecs.FargateTaskDefinition, stack: Stack) -> str:
    """Every revision of the worker's task definition.

    Not one revision: it changes with each release of the worker, and CloudFormation refuses to
    change a value that another stack imports. The family is a constant.
    """
    return stack.format_arn(
        service="ecs",
        resource="task-definition",
        resource_name=f"{definition.family}:*",
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )


def acknowledge_grants(role: IConstruct, function: Function, resources: Resources) -> None:
    """Accept the wildcards that the grants of `function` bring, one by one."""
    for grant in function.grants:
        match grant:
            case ObjectGrant():
                for pattern in grant.keys:
                    acknowledge_objects(
                        role,
                        resources.bucket,
                        pattern,
                        "One role serves all users, whose ids are part of the keys; the handler"
                        " keeps a caller to their own.",
                    )
            case LaunchGrant():
                acknowledge_wildcard(
                    role,
                    "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/"
                    f"{resources.definition.family}:*",
                    "`*` is the revision, which changes with each release of the worker.",
                )
                cluster = resources.cluster
                acknowledge_wildcard(
                    role,
                    "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/"
                    f"{name_of_export(cluster, cluster.cluster_name)}/*",
                    "A task has its id only once it was started; tags are allowed in RunTask only.",
                )
            case ModelGrant():
                acknowledge_models(role, resources.models)
            case ExecutionGrant(actions=actions) if set(actions) != {START_EXECUTION}:
                machine = _machine(resources)
                acknowledge_wildcard(
                    role,
                    "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
                    f"{name_of_export(machine, machine.state_machine_name)}:*",
                    "An execution is named after its job.",
                )
            case StopGrant():
                acknowledge_wildcard(
                    role,
                    "*",
                    "Tasks of Fargate are listed on no resource; the condition says which cluster.",
                )
            case TableGrant() | ListGrant() | ExecutionGrant() | AnnounceGrant():
                pass


def acknowledge_models(role: IConstruct, models: PricedModels) -> None:
    """Accept the `*` for the region in `PricedModels.routed_models`."""
    for resource in models.routed_models(partition="<AWS::Partition>"):
        acknowledge_wildcard(
            role,
            resource,
            "A profile routes to regions that AWS chooses and adds to; the statement holds for"
            " calls through a profile of this account only.",
        )

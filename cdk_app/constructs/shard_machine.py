"""The state machine that works on sharded jobs, its role and its log."""

import json
from typing import Final, cast

from cdk_app.config import StageConfig
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.grants import Resources, launch_statements, tasks_of
from cdk_app.logs import log_group
from cdk_app.machine_definition import MachineParts, definition
from cdk_app.nag import acknowledge, acknowledge_wildcard, name_of_export
from runtime.contract.executions import MAP_LABEL

from aws_cdk import ArnFormat, Aws, CfnElement, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

_EVENTS_RULE: Final = "StepFunctionsGetEventsForECSTaskRule"
"""Step Functions hears by this rule of its own that a task has ended."""


class ShardMachine(Construct):
    """`machine` is the state machine; `judge` is the function that says what is next."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        resources: Resources,
        network: WorkerNetwork,
        judge: lambda_.Function,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        parts = MachineParts(
            judge_arn=judge.function_arn,
            partition=Aws.PARTITION,
            cluster_arn=resources.cluster.cluster_arn,
            task_family=resources.definition.family,
            subnet_ids=network.subnets.subnet_ids,
            security_group_id=network.security_group.security_group_id,
            assign_public_ip=network.assign_public_ip,
            task_hours=stage.task_hours,
        )
        role = self._role(stack, resources, judge)
        # API Gateway's access log has the reasons for the name.
        group = log_group(
            self, "Log", days=stage.log_days, name=f"/aws/vendedlogs/{Aws.STACK_NAME}/executions"
        )
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            comment=f"Seedwright {stage.name}: jobs in shards",
            # Not the CDK's own way to JSON, which leaves out what is null.
            definition_body=sfn.DefinitionBody.from_string(json.dumps(definition(parts))),
            state_machine_type=sfn.StateMachineType.STANDARD,
            role=role,
            logs=sfn.LogOptions(
                destination=group, level=sfn.LogLevel.ALL, include_execution_data=False
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            self.machine,
            "AwsSolutions-SF2",
            "Nothing here is traced: logs and metrics say which state took how long, and traces are"
            " billed for each execution.",
        )
        self._allow_children(stack, role)
        self._acknowledge(resources, role)

    def _role(self, stack: Stack, resources: Resources, judge: lambda_.Function) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description="What Seedwright's state machine may do",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                # Excludes state machines of another account (the confused deputy).
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            ),
        )
        in_cluster = {"ArnEquals": {"ecs:cluster": resources.cluster.cluster_arn}}
        rule = stack.format_arn(service="events", resource="rule", resource_name=_EVENTS_RULE)
        for statement in (
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[judge.function_arn]),
            *launch_statements(resources, stack),
            # A task that is waited for is asked after, and stopped with its execution.
            iam.PolicyStatement(
                actions=["ecs:DescribeTasks", "ecs:StopTask"],
                resources=[tasks_of(resources.cluster, stack)],
                conditions=in_cluster,
            ),
            iam.PolicyStatement(
                actions=["events:DescribeRule", "events:PutRule", "events:PutTargets"],
                resources=[rule],
            ),
        ):
            role.add_to_policy(statement)
        return role

    def _allow_children(self, stack: Stack, role: iam.Role) -> None:
        """The children of a Distributed Map are executions that the machine starts of itself. A
        policy of its own: the machine waits for that of the role, and this one for the machine.
        """
        name = self.machine.state_machine_name
        children = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{name}/{MAP_LABEL}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        policy = iam.Policy(
            self,
            "Children",
            statements=[
                iam.PolicyStatement(
                    actions=["states:StartExecution"], resources=[self.machine.state_machine_arn]
                ),
                iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"],
                    resources=[children],
                ),
            ],
        )
        policy.attach_to_role(role)
        machine = stack.get_logical_id(cast("CfnElement", self.machine.node.default_child))
        acknowledge_wildcard(
            policy,
            "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
            f"<{machine}.Name>/{MAP_LABEL}:*",
            "A child has its name only once it was started.",
        )

    def _acknowledge(self, resources: Resources, role: iam.Role) -> None:
        cluster = resources.cluster
        ecs = "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>"
        acknowledge_wildcard(
            role,
            f"{ecs}:task-definition/{resources.definition.family}:*",
            "`*` is the revision, which changes with each release of the worker.",
        )
        acknowledge_wildcard(
            role,
            f"{ecs}:task/{name_of_export(cluster, cluster.cluster_name)}/*",
            "A task has its id only once it was started; the condition says which cluster.",
        )
        acknowledge_wildcard(
            role, "*", "The delivery of logs to CloudWatch takes no resource; nothing else has `*`."
        )

"""Where workers run: network, cluster and task definition."""

from cdk_app.config import StageConfig
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.constructs.tables import Tables
from cdk_app.constructs.worker_task import WorkerTask
from cdk_app.nag import acknowledge

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_s3 as s3
from constructs import Construct


class WorkerStack(Stack):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        tables: Tables,
        bucket: s3.IBucket,
    ) -> None:
        super().__init__(
            scope, construct_id, description="Seedwright: the workers and where they run"
        )
        self.network = WorkerNetwork(self, "Network", stage=stage)
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=self.network.vpc,
            # Both: whoever starts a task names one. A strategy over both would be a proportion,
            # not a fallback.
            enable_fargate_capacity_providers=True,
            container_insights_v2=ecs.ContainerInsights.ENABLED
            if stage.container_insights
            else ecs.ContainerInsights.DISABLED,
        )
        if not stage.container_insights:
            acknowledge(
                self.cluster,
                "AwsSolutions-ECS4",
                "Container Insights bills metrics by the hour and is a setting of the stage"
                " (container_insights, on in PROD); the worker's logs tell what a job did.",
            )
        self.task = WorkerTask(self, "Worker", stage=stage, tables=tables, bucket=bucket)

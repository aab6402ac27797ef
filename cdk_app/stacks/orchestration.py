"""Sharded jobs: the state machine that works on them, and the function that judges each round."""

from cdk_app.config import StageConfig
from cdk_app.constructs.functions import Functions
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.constructs.shard_machine import ShardMachine
from cdk_app.grants import Resources
from runtime.contract.routes import ADVANCE_JOB

from aws_cdk import Stack
from constructs import Construct


class OrchestrationStack(Stack):
    """`machine` is the state machine, `advance_job` the function that it asks what is next."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        resources: Resources,
        network: WorkerNetwork,
    ) -> None:
        super().__init__(scope, construct_id, description="Seedwright: jobs in shards")
        functions = Functions(self, stage=stage, resources=resources, network=network)
        self.advance_job = functions.create(ADVANCE_JOB)
        self.machine = ShardMachine(
            self,
            "Shards",
            stage=stage,
            resources=resources,
            network=network,
            judge=self.advance_job,
        ).machine

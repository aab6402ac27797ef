"""What happens without a request: a worker's task has stopped, and a minute has passed.

Neither function has a dead letter queue. An event that is lost is found by the next sweep, and a
sweep that failed by the one after it; the alarms tell if that goes on.
"""

from cdk_app.config import StageConfig
from cdk_app.constructs.functions import Functions
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.grants import Resources
from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct


class EventsStack(Stack):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        resources: Resources,
        network: WorkerNetwork,
    ) -> None:
        super().__init__(
            scope, construct_id, description="Seedwright: stopped tasks and the sweeper"
        )
        functions = Functions(self, stage=stage, resources=resources, network=network)
        self.task_stopped = functions.create(TASK_STOPPED)
        self.sweep_queue = functions.create(SWEEP_QUEUE)
        events.Rule(
            self,
            "StoppedTasks",
            description="A Seedwright worker has stopped: by itself, by Spot, or by a fault",
            event_pattern=events.EventPattern(
                source=["aws.ecs"],
                detail_type=["ECS Task State Change"],
                detail={
                    "clusterArn": [resources.cluster.cluster_arn],
                    "lastStatus": ["STOPPED"],
                },
            ),
            targets=[
                targets.LambdaFunction(
                    self.task_stopped, max_event_age=Duration.hours(1), retry_attempts=10
                )
            ],
        )
        events.Rule(
            self,
            "EveryMinute",
            description="Looks for Seedwright jobs that nobody works on",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            # The next one is due before a second try would help.
            targets=[
                targets.LambdaFunction(
                    self.sweep_queue, max_event_age=Duration.minutes(1), retry_attempts=0
                )
            ],
        )

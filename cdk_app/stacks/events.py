"""What happens without a request: a worker's task has stopped, and a minute has passed.

An event that is lost is found by the next sweep, and a sweep that failed by the one after it. What
was lost lies in a queue beside its function, and the alarms tell if that goes on.
"""

from typing import Final

from cdk_app.config import StageConfig
from cdk_app.constructs.functions import Functions
from cdk_app.constructs.lost_events import LostEvents
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.grants import Resources
from runtime.contract.routes import SWEEP_QUEUE, TASK_STOPPED

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

_HOUR: Final = Duration.hours(1)
_MINUTE: Final = Duration.minutes(1)


class EventsStack(Stack):
    """`lost` are the queues of lost events, by the name of the function in the route table."""

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
        self.sweep_queue = functions.create(
            SWEEP_QUEUE, reserved=1 if stage.reserve_sweeper else None
        )
        self.lost = {
            TASK_STOPPED.name: LostEvents(
                self,
                "LostTaskStopped",
                function=self.task_stopped,
                keep=Duration.days(4),
                retries=2,
                max_age=_HOUR,
            ).queue,
            # A lost sweep is of no use to anybody an hour later, and the alarm ends by itself.
            SWEEP_QUEUE.name: LostEvents(
                self,
                "LostSweeps",
                function=self.sweep_queue,
                keep=_HOUR,
                retries=0,
                max_age=_MINUTE,
            ).queue,
        }
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
                    self.task_stopped,
                    max_event_age=_HOUR,
                    retry_attempts=10,
                    dead_letter_queue=self.lost[TASK_STOPPED.name],
                )
            ],
        )
        events.Rule(
            self,
            "EveryMinute",
            description="Looks for Seedwright jobs that nobody works on",
            schedule=events.Schedule.rate(_MINUTE),
            # The next one is due before a second try would help.
            targets=[
                targets.LambdaFunction(
                    self.sweep_queue,
                    max_event_age=_MINUTE,
                    retry_attempts=0,
                    dead_letter_queue=self.lost[SWEEP_QUEUE.name],
                )
            ],
        )

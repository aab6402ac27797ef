"""Alarms, the topic they go to, and the dashboard. docs/runbook.md says what to do about each."""

from cdk_app.config import StageConfig
from cdk_app.constructs.alarms import Alarms
from cdk_app.constructs.dashboard import add_dashboard
from cdk_app.constructs.measures import Measures
from cdk_app.stacks.api import ApiStack
from cdk_app.stacks.events import EventsStack
from cdk_app.stacks.worker import WorkerStack

from aws_cdk import Stack
from constructs import Construct


class MonitoringStack(Stack):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        worker: WorkerStack,
        api: ApiStack,
        events: EventsStack,
    ) -> None:
        super().__init__(scope, construct_id, description="Seedwright: alarms and dashboard")
        measures = Measures(
            self,
            "Measures",
            namespace=f"seedwright/{stage.name}",
            worker_log=worker.task.log_group,
            api=api.api,
            functions={
                **api.functions,
                "task_stopped": events.task_stopped,
                "sweep_queue": events.sweep_queue,
            },
        )
        alarms = Alarms(self, "Alarms", stage=stage, measures=measures)
        add_dashboard(self, measures, alarms.all.values())

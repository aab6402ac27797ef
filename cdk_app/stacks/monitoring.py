"""Alarms, their topic, the dashboard, and the budget at AWS. docs/runbook.md says what to do about
each alarm.
"""

from typing import Final

from cdk_app.config import StageConfig
from cdk_app.constructs.alarms import Alarms
from cdk_app.constructs.dashboard import add_dashboard
from cdk_app.constructs.measures import Measures
from cdk_app.constructs.monthly_budget import add_monthly_budget
from cdk_app.stacks.api import ApiStack
from cdk_app.stacks.events import EventsStack
from cdk_app.stacks.orchestration import OrchestrationStack
from cdk_app.stacks.worker import WorkerStack

from aws_cdk import CrossStackReferences, ReferenceStrength, Stack
from constructs import Construct

_STRENGTHS: Final = {"weak": ReferenceStrength.WEAK, "both": ReferenceStrength.BOTH}


class MonitoringStack(Stack):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        worker: WorkerStack,
        orchestration: OrchestrationStack,
        api: ApiStack,
        events: EventsStack,
    ) -> None:
        super().__init__(scope, construct_id, description="Seedwright: alarms and dashboard")
        # What looks at functions must not keep them from being renamed or replaced.
        CrossStackReferences.of(self).consume(_STRENGTHS[stage.monitoring_references])
        measures = Measures(
            self,
            "Measures",
            namespace=stage.metrics_namespace,
            worker_log=worker.task.log_group,
            api=api.api,
            functions={
                **api.functions,
                "task_stopped": events.task_stopped,
                "sweep_queue": events.sweep_queue,
                "advance_job": orchestration.advance_job,
            },
            machine=orchestration.machine,
            lost_events=events.lost,
        )
        alarms = Alarms(self, "Alarms", stage=stage, measures=measures)
        add_dashboard(self, measures, alarms.all.values())
        if stage.alarm_email:
            add_monthly_budget(self, stage, address=stage.alarm_email)

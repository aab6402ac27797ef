"""All stacks of one stage, in the order of their dependencies."""

from dataclasses import dataclass, replace

from cdk_app.config import StageConfig
from cdk_app.grants import Resources
from cdk_app.models import PricedModels
from cdk_app.stacks.api import ApiStack
from cdk_app.stacks.events import EventsStack
from cdk_app.stacks.monitoring import MonitoringStack
from cdk_app.stacks.orchestration import OrchestrationStack
from cdk_app.stacks.stateful import StatefulStack
from cdk_app.stacks.worker import WorkerStack
from runtime.contract.stacks import (
    API,
    EVENTS,
    MONITORING,
    ORCHESTRATION,
    PROJECT,
    STATEFUL,
    WORKER,
    stack_name,
)

from aws_cdk import App, Tags


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacks:
    """What was put together; later ones use what earlier ones made."""

    stateful: StatefulStack
    worker: WorkerStack
    orchestration: OrchestrationStack
    api: ApiStack
    events: EventsStack
    monitoring: MonitoringStack


def add_stacks(app: App, stage: StageConfig) -> Stacks:
    """Put the stacks of `stage` into `app`. They are named `seedwright-{stage}-{what}` and belong
    to whatever account and region they are deployed to.
    """

    def name(what: str) -> str:
        return stack_name(stage.name, what)

    stateful = StatefulStack(app, name(STATEFUL), stage=stage)
    worker = WorkerStack(
        app, name(WORKER), stage=stage, tables=stateful.tables, bucket=stateful.bucket
    )
    resources = Resources(
        tables=stateful.tables,
        bucket=stateful.bucket,
        cluster=worker.cluster,
        definition=worker.task.definition,
        models=PricedModels(price_file=stage.price_file),
    )
    network = worker.network
    orchestration = OrchestrationStack(
        app, name(ORCHESTRATION), stage=stage, resources=resources, network=network
    )
    resources = replace(resources, machine=orchestration.machine)
    api = ApiStack(
        app,
        name(API),
        stage=stage,
        resources=resources,
        network=network,
        user_pool=stateful.user_pool,
        user_pool_client=stateful.user_pool_client,
    )
    events = EventsStack(app, name(EVENTS), stage=stage, resources=resources, network=network)
    monitoring = MonitoringStack(
        app,
        name(MONITORING),
        stage=stage,
        worker=worker,
        orchestration=orchestration,
        api=api,
        events=events,
    )
    Tags.of(app).add("project", PROJECT)
    Tags.of(app).add("stage", stage.name)
    return Stacks(
        stateful=stateful,
        worker=worker,
        orchestration=orchestration,
        api=api,
        events=events,
        monitoring=monitoring,
    )

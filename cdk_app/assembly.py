"""All stacks of one stage, in the order of their dependencies."""

from dataclasses import dataclass

from cdk_app.config import StageConfig
from cdk_app.stacks.stateful import StatefulStack
from cdk_app.stacks.worker import WorkerStack

from aws_cdk import App, Tags


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacks:
    """What was put together; later ones use what earlier ones made."""

    stateful: StatefulStack
    worker: WorkerStack


def add_stacks(app: App, stage: StageConfig) -> Stacks:
    """Put the stacks of `stage` into `app`. They are named `seedwright-{stage}-{what}` and belong
    to whatever account and region they are deployed to.
    """
    prefix = f"seedwright-{stage.name}"
    stateful = StatefulStack(app, f"{prefix}-stateful", stage=stage)
    worker = WorkerStack(
        app, f"{prefix}-worker", stage=stage, tables=stateful.tables, bucket=stateful.bucket
    )
    Tags.of(app).add("project", "seedwright")
    Tags.of(app).add("stage", stage.name)
    return Stacks(stateful=stateful, worker=worker)

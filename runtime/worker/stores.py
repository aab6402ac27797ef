"""The components through which a job is saved."""

from dataclasses import dataclass

from runtime.domain.ports import Clock, Journal
from runtime.export.batches import Batches
from runtime.worker.checkpoints import Checkpoints
from runtime.worker.costs import Costs
from runtime.worker.crash_points import CrashPoint
from runtime.worker.status_writer import Jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """Numbered objects by what their lines are, and whatever else is written beside them."""

    batches: Batches
    failure_parts: Batches
    rejected_parts: Batches
    retries: Batches
    checkpoints: Checkpoints
    jobs: Jobs
    costs: Costs
    journal: Journal | None
    clock: Clock
    crash_point: CrashPoint

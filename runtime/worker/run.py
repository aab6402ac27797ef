"""What the work on one claim is done with."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.job import Job, Progress
from runtime.domain.ports import Clock
from runtime.engine.checking import OutputChecks
from runtime.engine.plan import Plan
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.files.rows import SeedRows
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.control import Control
from runtime.worker.costs import Costs
from runtime.worker.crash_points import CrashPoint
from runtime.worker.goal import Goal
from runtime.worker.judge_shares import JudgeShares
from runtime.worker.pool import CallPool
from runtime.worker.saver import Saver
from runtime.worker.settings import WorkerSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything about one claim's work on a job."""

    job: Job
    plan: Plan
    seeds: SeedRows | None
    saver: Saver
    goal: Goal
    guard: BudgetGuard
    shares: JudgeShares
    engine: TemplateEngine
    checks: OutputChecks
    pool: CallPool
    costs: Costs
    control: Control
    clock: Clock
    settings: WorkerSettings
    rng: random.Random
    crash_point: CrashPoint
    on_progress: Callable[[Progress], None]
    on_activity: Callable[[Activity], None]

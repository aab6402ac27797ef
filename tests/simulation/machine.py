"""Step Functions and ECS in virtual time: executions that do what `cdk_app/machine_definition.py`
says, and tasks that are simulated worker processes. Both may end at any time, or never begin.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from runtime.contract import environment as names
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tasks import STARTED_BY_MACHINE, TaskName
from runtime.domain.errors import LaunchError, SeedwrightError
from runtime.domain.jobs.job import work_id_of
from runtime.domain.service_ports import WorkItem
from tests.simulation.process import Process
from tests.simulation.scheduler import Actor, Scheduler
from tests.simulation.truth import InvariantError

LOOK_SECONDS: Final = 5.0
TASK_SECONDS: Final = 2 * 3600.0
"""Timeout of a task, shorter than it is so that a schedule ends."""
JUDGE_TRIES: Final = 6
SPOT_TRIES: Final = 20
KILLED: Final = 137


@dataclass(frozen=True, kw_only=True)
class MachineRates:
    """Probabilities: of each launch, each state of an execution, each look at a Map, each event."""

    no_machine: float = 0.0
    never_starts: float = 0.0
    """A task whose container ends before the worker is there."""
    dies: float = 0.0
    """An execution, between two states."""
    aborted: float = 0.0
    """An execution in the middle of a Map, by an operator."""
    event_lost: float = 0.0
    stop_fails: float = 0.0
    begin_fails: float = 0.0
    begin_unheard: float = 0.0
    """An execution begins and its caller hears of a failure."""

    def calm(self, factor: float) -> "MachineRates":
        """All of them scaled down."""
        return MachineRates(**{name: value * factor for name, value in vars(self).items()})


@dataclass(eq=False)
class Task:
    """One task of ECS."""

    name: TaskName
    process: Process
    began: float
    by_machine: bool
    actor: Actor = field(init=False)
    stopped: bool = False
    """Somebody has asked ECS to stop it."""
    abandoned: bool = False
    """It should have been stopped, and ECS would not."""
    code: int = KILLED

    @property
    def work_id(self) -> str:
        """What it works on."""
        return work_id_of(self.name.job_id, self.name.shard)


@dataclass(eq=False)
class Execution:
    """One execution of the state machine."""

    job_id: str
    number: int
    status: str = "RUNNING"
    actor: Actor = field(init=False)
    tasks: list[Task] = field(default_factory=list)


@dataclass(eq=False)
class _Child:
    """What the Map does about one shard."""

    shard: int | None
    due: float = 0.0
    no_machine: int = 0
    failed: int = 0
    task: Task | None = None


class _DiedError(Exception):
    """An execution has ended as FAILED."""


class Machine:
    """Implements `service_ports.Launcher` and `service_ports.Executions`.

    `new_process` makes a worker by its name, `judge` answers a question of an execution, and `tell`
    gets the event of ECS when a task has ended.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        *,
        new_process: Callable[[str], Process],
        judge: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.rates = MachineRates()
        self.tasks: list[Task] = []
        self.executions: list[Execution] = []
        self.launched = self.rounds = 0
        self.task_seconds = 0.0
        """For which tasks are paid."""
        self.start_seconds = 0.0
        """Those of them before a worker was there."""
        self._scheduler = scheduler
        self._rng = rng
        self._new_process = new_process
        self._judge = judge
        self._tell = tell

    # ── as the sweeper and the API see it ──────────────────────────────────────────────────────

    def launch(self, item: WorkItem, *, number: int, created_at: datetime, on_demand: bool) -> None:
        """See the port. An unsharded job."""
        del created_at, on_demand
        if self._rng.random() < self.rates.no_machine:
            raise LaunchError("simulated: no machine")
        self.start(TaskName(job_id=item.job_id, number=number), by_machine=False)

    def begin_execution(self, item: WorkItem, *, number: int, created_at: datetime) -> None:
        """See the port."""
        del created_at
        if self._rng.random() < self.rates.begin_fails:
            raise LaunchError("simulated: not begun")
        if any(each.number == number for each in self.executions):
            return
        goes_on = [each.number for each in self.executions if each.status == "RUNNING"]
        if goes_on:
            raise InvariantError(f"execution {number} begins while {goes_on} goes on")
        execution = Execution(item.job_id, number)
        self.executions.append(execution)
        execution.actor = self._scheduler.spawn(
            f"execution-{number}", lambda: self._execute(execution)
        )
        if self._rng.random() < self.rates.begin_unheard:
            raise LaunchError("simulated: begun, and nobody heard of it")

    def is_running(self, job_id: str, *, number: int, created_at: datetime) -> bool:
        """See the port."""
        del job_id, created_at
        return any(each.number == number and each.status == "RUNNING" for each in self.executions)

    def stop(
        self, owner: str, *, number: int | None = None, created_at: datetime | None = None
    ) -> int:
        """See both ports: a task by its name, or the execution of a job by its number."""
        del created_at
        if self._rng.random() < self.rates.stop_fails:
            for task in self._live():
                task.abandoned |= str(task.name) == owner
            raise LaunchError("simulated: not stopped")
        if number is None:
            found = [task for task in self._live() if str(task.name) == owner]
            for task in found:
                self._kill(task)
            return len(found)
        running = [
            each for each in self.executions if (each.number, each.status) == (number, "RUNNING")
        ]
        for execution in running:
            self._abort(execution)
        return len(running)

    def end_abandoned(self) -> None:
        """What ECS would not stop an operator has to, as an alarm tells them."""
        for task in self._live():
            if task.abandoned:
                self._kill(task)

    # ── executions ─────────────────────────────────────────────────────────────────────────────

    def _execute(self, execution: Execution) -> None:
        try:
            self._run(execution)
            execution.status = "SUCCEEDED"
        except _DiedError:
            execution.status = "FAILED"

    def _run(self, execution: Execution) -> None:
        state: Mapping[str, Any] = {"job_id": execution.job_id, "execution": execution.number}
        while True:
            self._scheduler.pause(0.1 + self._rng.random())
            self._may_die()
            state = self._ask(state)
            self._may_die()
            match state["next"]:
                case "generate":
                    self.rounds += 1
                    self._map(execution, state, state["shards"], state["concurrency"])
                case "export":
                    self._map(execution, state, [None], 1)
                case "wait":
                    self._scheduler.pause(state["seconds"])
                case _:
                    return

    def _ask(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        for attempt in range(JUDGE_TRIES):
            try:
                return self._judge(state)
            except SeedwrightError:
                self._scheduler.pause(self._rng.random() * min(10 * 2**attempt, 120))
        raise _DiedError

    def _may_die(self) -> None:
        if self._rng.random() < self.rates.dies:
            raise _DiedError

    def _map(
        self,
        execution: Execution,
        state: Mapping[str, Any],
        shards: list[int | None],
        concurrency: int,
    ) -> None:
        waiting = [_Child(shard) for shard in shards]
        active: list[_Child] = []
        while waiting or active:
            while waiting and len(active) < concurrency:
                active.append(waiting.pop(0))
            active = [child for child in active if self._goes_on(execution, child, state)]
            if self._rng.random() < self.rates.aborted:
                self._stop_tasks(execution)
                raise _DiedError
            self._scheduler.pause(LOOK_SECONDS)

    def _goes_on(self, execution: Execution, child: _Child, state: Mapping[str, Any]) -> bool:
        """One look at a child; False: it has ended, well or for good."""
        now = self._scheduler.clock.monotonic()
        if child.task is not None:
            if not child.task.actor.ended:
                if now - child.task.began > TASK_SECONDS:
                    self._kill(child.task)
                return True
            if child.task.code == ExitCode.DONE or child.failed == SPOT_TRIES:
                return False
            child.due = now + self._rng.random() * min(10 * 2.0**child.failed, 60)
            child.failed += 1
            child.task = None
        if now < child.due:
            return True
        if self._rng.random() < self.rates.no_machine:
            child.due = now + self._rng.random() * min(20 * 2.0**child.no_machine, 300)
            child.no_machine += 1
            return child.no_machine <= SPOT_TRIES
        number = state["number"] + child.no_machine + child.failed
        name = TaskName(job_id=execution.job_id, number=number, shard=child.shard)
        child.task = self.start(name, by_machine=True)
        execution.tasks.append(child.task)
        return True

    def _abort(self, execution: Execution) -> None:
        execution.status = "ABORTED"
        self._scheduler.kill(execution.actor)
        self._stop_tasks(execution)

    def _stop_tasks(self, execution: Execution) -> None:
        for task in execution.tasks:
            if not task.actor.ended and not task.stopped:
                task.stopped = True
                # A worker that hangs sees no signal, and is killed two minutes later.
                task.process.worker.request_shutdown()
                self._scheduler.spawn("ecs", self._killing(task))

    def _killing(self, task: Task) -> Callable[[], None]:
        def kill() -> None:
            self._scheduler.pause(120)
            self._scheduler.kill(task.actor)

        return kill

    # ── tasks ──────────────────────────────────────────────────────────────────────────────────

    def _live(self) -> Iterator[Task]:
        self.tasks = [task for task in self.tasks if not task.actor.ended]
        return iter(self.tasks)

    def start(self, name: TaskName, *, by_machine: bool) -> Task:
        """Begin a task. Raises `InvariantError` where another one works on the same."""
        for other in self._live():
            if other.work_id == work_id_of(name.job_id, name.shard) and not (
                other.stopped or other.abandoned
            ):
                raise InvariantError(f"{name} is launched while {other.name} is alive")
        self.launched += 1
        task = Task(
            name, self._new_process(str(name)), self._scheduler.clock.monotonic(), by_machine
        )
        task.actor = self._scheduler.spawn(str(name), lambda: self._work(task))
        self.tasks.append(task)
        return task

    def _work(self, task: Task) -> None:
        starts = self._rng.random() >= self.rates.never_starts
        try:
            self._scheduler.pause(15 + 60 * self._rng.random())
            self.start_seconds += self._scheduler.clock.monotonic() - task.began
            if starts:
                task.process.run(task.work_id)
                task.code = task.process.code or ExitCode.DONE
        except SeedwrightError:
            task.code = ExitCode.INTERRUPTED  # as `runtime.worker.__main__` has it
        finally:
            self.task_seconds += self._scheduler.clock.monotonic() - task.began
            if self._rng.random() >= self.rates.event_lost:
                self._scheduler.spawn("event", lambda: self._report(task))

    def _kill(self, task: Task) -> None:
        task.stopped = True
        self._scheduler.kill(task.actor)

    def _report(self, task: Task) -> None:
        self._scheduler.pause(1 + 10 * self._rng.random())
        owner = {"name": names.WORKER_OWNER, "value": str(task.name)}
        self._tell(
            {
                "lastStatus": "STOPPED",
                "startedBy": STARTED_BY_MACHINE if task.by_machine else str(task.name),
                "overrides": {"containerOverrides": [{"environment": [owner]}]},
                "containers": [{"exitCode": task.code}],
            }
        )

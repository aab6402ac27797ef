"""Fault campaign of sharded jobs as they run on AWS: the production worker, `service/rounds.py`,
the sweeper and the event of a stopped task, around executions and tasks that end at any time.

    python -m tests.simulation.executions --schedules 1000
    python -m tests.simulation.executions --seed 1234

Beyond the invariants of `campaign.py`: one execution of a job at a time; no task is launched for a
shard while another one for it is alive; after the job has ended nothing is queued, running or
waiting any more; the job ends.
"""

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.domain.errors import SeedwrightError, StorageUnavailableError
from runtime.domain.jobs.job import ACTIVE, ENDED
from runtime.domain.service_ports import ApiSettings
from runtime.lambdas.events.sweep_queue import lambda_handler as sweep_queue
from runtime.lambdas.events.task_stopped import lambda_handler as task_stopped
from runtime.lambdas.jobs.delete_job import Action, Deletion
from runtime.lambdas.jobs.delete_job import lambda_handler as delete_job
from runtime.service import observability
from runtime.service.launching import start_job
from runtime.service.rounds import next_step
from tests.fixtures.memory_work import MemoryCatalog, MemoryWork
from tests.simulation.campaign import JOB_ID, Outcome, Schedule, main_of
from tests.simulation.machine import Machine, MachineRates
from tests.simulation.process import Process
from tests.simulation.truth import InvariantError

SWEEP_SECONDS: Final = 60.0
TURN_SECONDS: Final = 600.0
CALM_AFTER: Final = 24
"""Turns after which nothing goes wrong any more."""
MAX_TURNS: Final = 120
END_SECONDS: Final = 4 * 3600.0
"""In which everything comes to rest once the job has ended."""


class _NoMetrics:
    def add_metric(self, **_: object) -> None:
        return None


class _NoEnds:
    """Announces nothing."""

    def announce(self, *, enough: Callable[[], bool]) -> int:
        del enough
        return 0


class _Shaky:
    """A port as a function sees it: some calls fail, before their effect or after it."""

    def __init__(self, target: object, schedule: "MachineSchedule") -> None:
        self._target = target
        self._schedule = schedule

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            schedule, dice = self._schedule, self._schedule.dice.random
            if dice() < 0.1:
                schedule.scheduler.pause(0.05 * dice())
            if dice() < schedule.shakiness:
                raise StorageUnavailableError("simulated: no effect")
            result = method(*args, **kwargs)
            if dice() < schedule.shakiness:
                raise StorageUnavailableError("simulated: the reply was lost")
            return result

        return call


@dataclass(frozen=True, kw_only=True)
class _Functions:
    """Implements what functions that look after jobs need of `service_ports.ApiPorts`."""

    clock: Any
    settings: Any
    jobs: Any
    job_catalog: Any
    queue: Any
    work: Any
    budgets: Any
    launcher: Any
    executions: Any
    announcer: Any


class MachineSchedule(Schedule):
    """One seeded run of a job in up to `shards` shards on the state machine."""

    def __init__(self, seed: int, *, shards: int = 4) -> None:
        super().__init__(seed, shards=shards)
        self.dice = random.Random(self.rng.getrandbits(64))  # noqa: S311
        self.shakiness = self._shakiness = 0.0
        self.over = False
        self._rates_now = self.rates
        self.machine = Machine(
            self.scheduler,
            random.Random(self.rng.getrandbits(64)),  # noqa: S311
            new_process=self._new_worker,
            judge=self._judge_round,
            tell=self._tell,
        )
        self._machine_rates = self._draw_machine_rates()
        work = MemoryWork(self.queue, self.scheduler.clock)
        self.work = work
        self.functions: Any = _Functions(
            clock=self.scheduler.clock,
            settings=ApiSettings(
                max_workers=self.rng.randint(1, shards), max_losses=self.rng.choice((2, 5))
            ),
            jobs=_Shaky(self.jobs, self),
            job_catalog=_Shaky(MemoryCatalog(self.jobs), self),
            queue=_Shaky(self.queue, self),
            work=_Shaky(work, self),
            budgets=_Shaky(self.budgets, self),
            launcher=self.machine,
            executions=self.machine,
            announcer=_NoEnds(),
        )

    def _draw_machine_rates(self) -> MachineRates:
        limits = {
            "no_machine": 0.6,
            "never_starts": 0.4,
            "dies": 0.1,
            "aborted": 0.02,
            "event_lost": 1.0,
            "stop_fails": 0.3,
            "begin_fails": 0.4,
            "begin_unheard": 0.4,
        }
        kinds = self.rng.sample(sorted(limits), self.rng.randint(2, 5))
        if self.rng.random() < 0.3:
            self._shakiness = 0.05 * self.rng.random()
        if self.rng.random() < 0.3:
            self.rates = self.rates.with_hangs(0.01 * self.rng.random())
        return MachineRates(**{kind: limits[kind] * self.rng.random() for kind in kinds})

    # ── what happens ───────────────────────────────────────────────────────────────────────────

    def run(self) -> Outcome:
        """From a queued job to a terminal state. Raises `InvariantError`."""
        self.scheduler.spawn("sweeper", self._sweeper)
        self._as_function(lambda: start_job(self.functions, self.jobs.get_job(JOB_ID)))
        for turn in range(MAX_TURNS):
            self._grow_calm(max(1 - turn / CALM_AFTER, 0.0))
            if self.rng.random() < 0.05:
                self.scheduler.spawn("user", self._cancel)
            self.scheduler.run_for(TURN_SECONDS * self.rng.random())
            self._raise_found()
            job = self.jobs.get_job(JOB_ID)
            if job.status in ENDED:
                if not self._goes_on(job):
                    break
                self._as_function(lambda: start_job(self.functions, self.jobs.get_job(JOB_ID)))
        self._come_to_rest()
        return self._judge()

    def _grow_calm(self, factor: float) -> None:
        self._rates_now = self.rates.calm(factor)
        self.machine.rates = self._machine_rates.calm(factor)
        self.shakiness = self._shakiness * factor
        now = self.scheduler.clock.monotonic()
        self.truth.draw_outages(now, self._rates_now.outages, self.rng)

    def _come_to_rest(self) -> None:
        self._grow_calm(0.0)
        for process in self.processes:
            process.rates = self._rates_now
        if self.jobs.get_job(JOB_ID).status not in ENDED:
            return  # which is what will be told
        self.machine.end_abandoned()
        self.scheduler.run_for(END_SECONDS)
        self.over = True
        at_rest = self.scheduler.run_for(END_SECONDS)
        self._raise_found()
        if not at_rest:
            raise InvariantError(f"still there: {[a.name for a in self.scheduler.alive]}")
        left = {
            item.work_id: str(item.status)
            for item in self.work.work_of(JOB_ID)
            if item.status not in ENDED
        }
        if left:
            raise InvariantError(f"left behind: {left}")

    def _raise_found(self) -> None:
        for error in self.scheduler.errors:
            raise error

    # ── who acts ───────────────────────────────────────────────────────────────────────────────

    def _new_worker(self, name: str) -> Process:
        return self.new_process(name, self._rates_now)

    def _judge_round(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._as_function(lambda: next_step(self.functions, state))
        return answer

    def _tell(self, detail: Mapping[str, Any]) -> None:
        event = {"detail": detail}
        try:
            self._as_function(lambda: task_stopped.operation(event, self.functions))
        except SeedwrightError:
            self.scheduler.pause(60)  # Lambda tries once more
            try:
                self._as_function(lambda: task_stopped.operation(event, self.functions))
            except SeedwrightError:
                return

    def _sweeper(self) -> None:
        while not self.over:
            self.scheduler.pause(SWEEP_SECONDS)
            try:
                self._as_function(lambda: sweep_queue.operation({}, self.functions))
            except SeedwrightError:
                continue

    def _cancel(self) -> None:
        self.scheduler.pause(self.rng.random() * 60)
        if self.jobs.get_job(JOB_ID).status in ACTIVE:
            call: Any = _Cancellation(self.functions)
            try:
                self._as_function(lambda: delete_job.operation(call))
            except SeedwrightError:
                return

    @staticmethod
    def _as_function(body: Callable[[], Any]) -> Any:
        observability._metrics.set(_NoMetrics())  # type: ignore[arg-type]
        return body()


class _Cancellation:
    """A request, as far as `delete_job` looks at it."""

    caller = "user"
    path: Final = {"job_id": JOB_ID}
    query = Deletion(action=Action.CANCEL)

    def __init__(self, ports: object) -> None:
        self.ports = ports


def run_schedule(seed: int, *, shards: int = 4) -> Outcome | str:
    """The outcome, or why the seed failed."""
    try:
        return MachineSchedule(seed, shards=shards).run()
    except Exception as error:  # noqa: BLE001 - reported with its seed
        return f"seed {seed}: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main_of(__doc__ or "", run_schedule, default_shards=4))

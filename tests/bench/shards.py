"""100 000 records on 40 workers in virtual time, counted: the production worker, sweeper and
`service/rounds.py` around one quota of a model that all workers share.

    python -m tests.bench.shards                       (make bench-shards)
    python -m tests.bench.shards --records 4000 --workers 8

Calls take as long and cost as much as `runtime/operations/scale.py` has it. Printed is what was
counted, and what a million records come to by it.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from runtime.contract.executions import SHARD_BATCH
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.jobs.job import ENDED, JobStatus
from runtime.domain.jobs.sharding import Sharding, sharding_for
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.templates.template import Step, Template
from runtime.operations import scale
from runtime.service.launching import start_job
from runtime.service.shard_count import FIRST_TOKEN_SECONDS, TOKENS_PER_SECOND
from runtime.worker.settings import WorkerSettings
from tests.simulation.campaign import JOB_ID, OneTemplate
from tests.simulation.executions import MachineSchedule
from tests.simulation.machine import MachineRates
from tests.simulation.process import Process, Rates, SimulatedPool
from tests.simulation.truth import Call

MAX_HOURS: Final = 24

WRITES: Final = {
    "queue.claim": {"Queue": 2},
    "queue.heartbeat": {"Queue": 2},
    "queue.release": {"Queue": 2},
    "queue.finish": {"Queue": 2},
    "queue.enqueue": {"Queue": 2},
    "queue.release_own": {"Queue": 2},
    "queue.recover": {"Queue": 2},
    "work.note_seen": {"Queue": 2},
    "work.begin_launch": {"Queue": 2},
    "jobs.set_progress": {"Queue": 2},
    "jobs.set_status": {"Jobs": 4},
    "jobs.refresh_progress": {"Jobs": 4},
    "checkpoints.put": {"CheckpointMetadata": 1},
    "costs.add": {"CostTracking": 1},
    "budgets.open_account": {"Budgets": 1},
    "budgets.change_slice_hold": {"Budgets": 1},
    # A transaction over account and slice.
    "budgets.resize_slice": {"Budgets": 4},
}
"""Write units by method and table, those of an item's indices with it. Items are below 1 KiB."""

ACCOUNT: Final = "budgets.resize_slice"
"""What writes to the one item that all workers of a job write."""


@dataclass(slots=True)
class Counts:
    """What was asked of whom, and when."""

    calls: Counter[str] = field(default_factory=Counter)
    by_second: dict[str, Counter[int]] = field(default_factory=dict)

    def note(self, name: str, now: float) -> None:
        """One call of a method."""
        self.calls[name] += 1
        for table, units in WRITES.get(name, {}).items():
            self.by_second.setdefault(table, Counter())[int(now)] += units
        if name == ACCOUNT:
            self.by_second.setdefault("account", Counter())[int(now)] += 1

    def written(self, table: str) -> int:
        """Write units of a table."""
        return self.by_second.get(table, Counter()).total()

    def most(self, table: str) -> int:
        """Write units of its worst second."""
        return max(self.by_second.get(table, Counter()).values(), default=0)


class Counted:
    """A port whose calls are noted."""

    def __init__(self, name: str, target: object, note: Callable[[str], None]) -> None:
        self._name = name
        self._target = target
        self._note = note

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._target, method)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._note(f"{self._name}.{method}")
            return found(*args, **kwargs)

        return call


class Quota:
    """Tokens of one model by the minute, as a bucket that holds a minute of them. A call takes its
    prompt and its whole limit.
    """

    def __init__(self, tokens_per_minute: float) -> None:
        self._rate = tokens_per_minute / 60
        self._most = self._left = tokens_per_minute
        self._at = 0.0
        self.asked = self.refused = 0

    def takes(self, tokens: int, now: float) -> bool:
        """Whether a call of so many has room."""
        self._left = min(self._most, self._left + self._rate * (now - (self._at or now)))
        self._at = now
        self.asked += 1
        if self._left < tokens:
            self.refused += 1
            return False
        self._left -= tokens
        return True


class SteadyPool(SimulatedPool):
    """Calls that are answered after a usual time, or refused by the quota."""

    quota: Quota

    def _fate(self, request: ModelRequest, key: Call) -> tuple[float, ModelReply | ModelError, int]:
        del request, key
        process, rng = self._process, self._process.rng
        if not self.quota.takes(
            scale.TOKENS_IN + scale.MAX_TOKENS, process.scheduler.clock.monotonic()
        ):
            return 0.1, ModelError(ModelErrorKind.THROTTLED, "simulated"), 0
        out = round(scale.TOKENS_OUT * (0.5 + rng.random()))
        usage = Usage(input_tokens=1, output_tokens=out)  # the prompt here is a word
        seconds = FIRST_TOKEN_SECONDS + out / TOKENS_PER_SECOND
        return seconds, ModelReply(text="text", usage=usage), process.price.cost(usage)


class LargeJob(MachineSchedule):
    """`records` on `workers` of the state machine. Nothing fails but what the quota refuses."""

    def __init__(self, records: int, workers: int, tokens_per_minute: float) -> None:
        self._size = records
        super().__init__(1, shards=workers)
        self.quota = Quota(tokens_per_minute)
        self.counts = Counts()
        self.settings = WorkerSettings(checkpoint_interval=SHARD_BATCH)
        step = Step(id="one", prompt="x", max_tokens=scale.MAX_TOKENS)
        self.ports = replace(
            self.ports,
            templates=OneTemplate(Template(name="t", steps=(step,))),
            **self._counted(self.ports, "queue", "jobs", "checkpoints", "costs", "budgets"),
        )
        more = replace(self.functions.settings, max_workers=workers, user_workers=2 * workers)
        self.functions = replace(
            self.functions,
            settings=more,
            **self._counted(self.functions, "queue", "jobs", "work", "budgets"),
        )

    def _counted(self, ports: object, *names: str) -> dict[str, Any]:
        return {name: Counted(name, getattr(ports, name), self._note) for name in names}

    def _note(self, name: str) -> None:
        self.counts.note(name, self.scheduler.clock.monotonic())

    def _draw_records(self) -> int:
        return self._size

    def _draw_sharding(self, shards: int) -> Sharding | None:
        return sharding_for(self.records, shards)

    def _draw_rates(self) -> Rates:
        return Rates()

    def _draw_machine_rates(self) -> MachineRates:
        return MachineRates()

    def _new_worker(self, name: str) -> Process:
        process = super()._new_worker(name)
        pool = SteadyPool(process)
        pool.quota = self.quota
        process.pool = pool
        return process

    def run_to_end(self) -> float:
        """Run until the job has ended; how many hours it took."""
        began = self.scheduler.clock.monotonic()
        self.scheduler.spawn("sweeper", self._sweeper)
        self._as_function(lambda: start_job(self.functions, self.jobs.get_job(JOB_ID)))
        while self.jobs.get_status(JOB_ID) not in ENDED:
            self.scheduler.run_for(10)
            self._raise_found()
            if self.scheduler.clock.monotonic() - began > MAX_HOURS * 3600:
                raise TimeoutError
        hours = (self.scheduler.clock.monotonic() - began) / 3600
        self._come_to_rest()
        self._judge()
        assert self.jobs.get_status(JOB_ID) is JobStatus.COMPLETED
        return hours


def dollars(counts: Counts, puts: int, *, task_hours: float, tasks: int) -> dict[str, float]:
    """What was counted, at the prices of `scale.py`."""
    tables = {table for units in WRITES.values() for table in units}
    return {
        "workers": task_hours * scale.TASK_HOUR,
        "S3 writes": puts * scale.PUT,
        "DynamoDB": sum(map(counts.written, tables)) * scale.TABLE_WRITE,
        "Step Functions": tasks * scale.STATES_A_TASK * scale.STATE,
    }


def measure(records: int, workers: int, tokens_per_minute: float) -> None:
    """One job; what it came to is printed."""
    began = time.monotonic()
    job = LargeJob(records, workers, tokens_per_minute)
    hours = job.run_to_end()
    counts, quota = job.counts, job.quota
    puts = len(job.objects.bodies)
    puts += counts.calls["checkpoints.put"] - workers  # each is a version of one object
    task_hours = job.machine.task_seconds / 3600
    price = dollars(counts, puts, task_hours=task_hours, tasks=job.machine.launched)
    print(f"{records} records, {workers} workers, {tokens_per_minute / 1e6:g} M tokens a minute")
    print(f"  {hours:.2f} hours, {task_hours:.2f} task hours, {job.machine.launched} tasks")
    refused = quota.refused / quota.asked
    print(f"  {quota.asked} calls, {quota.refused} refused ({refused:.1%})")
    for table in ("Queue", "Jobs", "Budgets", "CheckpointMetadata", "CostTracking"):
        print(
            f"  {table}: {counts.written(table)} write units, at most {counts.most(table)} a second"
        )
    holds = counts.calls["budgets.change_slice_hold"] / quota.asked
    print(f"  {holds:.3f} writes of a hold a call")
    print(f"  the account of the job: at most {counts.most('account')} writes a second")
    print(f"  S3: {puts} writes")
    print("  dollars: " + ", ".join(f"{name} {each:.4f}" for name, each in price.items()))
    # There are as many tasks for a million records, which start once.
    start = job.machine.start_seconds / 3600 * scale.TASK_HOUR + price["Step Functions"]
    by_that = start + (sum(price.values()) - start) * 1_000_000 / records
    print(f"  a million records by that: {by_that:.2f} dollars besides tokens")
    print(f"  counted in {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """Measure the quotas that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument(
        "--quota", type=float, nargs="*", default=[2.0, 10.0, 100.0], help="million tokens a minute"
    )
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for quota in options.quota:
        measure(options.records, options.workers, quota * 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())

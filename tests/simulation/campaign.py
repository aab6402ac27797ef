"""Fault campaign: seeded schedules of the production worker among crashes, lost replies, throttles,
stale owners, slow calls, outages and cancellations, in virtual time. A job that has ended may grow,
and its failures may be tried again.

    python -m tests.simulation.campaign --schedules 10000      (make campaign)
    python -m tests.simulation.campaign --seed 1234            replays one schedule
    python -m tests.simulation.campaign --shards 4             of jobs in up to so many shards

Invariants of every schedule: each index at most once and, in a completed job, exactly once in the
dataset or among the failures; true spend ≤ ledger ≤ limit at every moment; replies paid twice only
as many as processes took with them, none on a graceful stop; a record of a completed job ends as
failed only for its own fault; a terminal state in bounded time. Of a sharded job also: no shard is
claimed again after it was done.
"""

import argparse
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from multiprocessing import Pool
from typing import Any, Final

import orjson

from runtime.contract.keys import export_key, failures_key
from runtime.domain.jobs.job import ENDED, Job, JobStatus
from runtime.domain.jobs.record import is_skipped, kind_of
from runtime.domain.jobs.sharding import Sharding, sharding_for
from runtime.domain.jobs.step_totals import sum_of
from runtime.domain.models.price_table import load_prices
from runtime.domain.models.retry import is_service_failure
from runtime.domain.money.accounts import Admission, Limits, month_of, stage_account
from runtime.domain.money.amounts import MAX_BUDGET_NANO
from runtime.domain.ports import Claim, Ports
from runtime.domain.templates.template import Step, Template, TemplateRef
from runtime.service.requeue import has_work_left, queue_again
from runtime.service.retry import retry_failed
from runtime.service.shards import advance
from runtime.worker.settings import WorkerSettings
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_budgets import MemoryBudgets
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.memory_ports import MemoryCosts, MemoryJobs, MemoryQueue, MemoryVersions
from tests.simulation.engines import CheckScript, is_taken
from tests.simulation.process import Process, Rates
from tests.simulation.scheduler import Scheduler
from tests.simulation.truth import InvariantError, Truth

JOB_ID: Final = "job"
MODEL: Final = "amazon.nova-micro-v1:0"
SCHEMA_MODEL: Final = "openai.gpt-oss-20b-1:0"
"""Is held to a schema by its service, which has to compile it."""
SEEDS_KEY: Final = "seed-data/user/seeds.jsonl"
ON: Final = date(2026, 11, 23)
MAX_ROUNDS: Final = 60
CALM_AFTER: Final = 12
"""Rounds after which nothing goes wrong any more, so that every schedule can end."""
MAX_RETRIES: Final = 3
"""How often the user queues a failed job again."""
MAX_AFTERTHOUGHTS: Final = 2
"""How often the user wants more of a job that is complete."""


class OneTemplate:
    """A template store with one template in it."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def load_template(self, ref: TemplateRef) -> Template:
        del ref
        return self._template

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        raise NotImplementedError


class NoModels:
    """Never called: the simulated pool stands before it."""

    def converse(self, request: object) -> object:
        raise NotImplementedError

    def close(self) -> None:
        return None


class WatchedQueue(MemoryQueue):
    """Sees a shard that is claimed though it has ended in the present run of its job."""

    def __init__(self, run_of_job: Callable[[], int]) -> None:
        super().__init__()
        self._run_of_job = run_of_job

    def _take(self, work_id: str, owner: str) -> Claim:
        item = self._items[work_id]
        if item.shard is not None and item.run >= self._run_of_job():
            raise InvariantError(f"shard {item.shard} is run again after it was done")
        return super()._take(work_id, owner)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one schedule did."""

    seed: int
    status: JobStatus
    records: int
    failures: int
    processes: int
    paid_twice: int
    virtual_seconds: float


def template(steps: int) -> Template:
    """One or two steps; the second answers in JSON."""
    answer = {"answer": {"type": "integer"}}
    schema = {"type": "object", "required": ["answer"], "properties": answer}
    two = Step(id="two", prompt="{{ steps.one.output }}", output_schema=schema, max_tokens=20)
    return Template(name="t", steps=(Step(id="one", prompt="x", max_tokens=20), two)[:steps])


def skipping_template() -> Template:
    """Both steps for some records only, of which each has three seeds."""
    one, two = template(2).steps
    steps = (replace(one, when="true"), replace(two, when="true"))
    return Template(name="t", steps=steps, batch_of=3)


class Schedule:
    """One seeded run from a queued job to its terminal state. `skips`: its records don't take all
    steps. `shards`: the job has two to so many.
    """

    script: CheckScript | None = None

    def __init__(
        self, seed: int, *, model: str = MODEL, skips: bool = False, shards: int = 1
    ) -> None:
        self.seed = seed
        self.model = model
        self.rng = random.Random(seed)  # noqa: S311 - a schedule has to be repeatable
        rng = self.rng
        self.scheduler = Scheduler(random.Random(rng.getrandbits(64)))  # noqa: S311
        self.queue = WatchedQueue(lambda: self.jobs.run_of(JOB_ID))
        self.budgets = MemoryBudgets()
        self.jobs = MemoryJobs(self.queue, self.scheduler.clock, budgets=self.budgets)
        self.objects = MemoryObjects()
        prices = load_prices()
        self.price = prices.price(model, ON)
        self.records = self._draw_records()
        self.ports = Ports(
            clock=self.scheduler.clock,
            queue=self.queue,
            jobs=self.jobs,
            templates=OneTemplate(self._draw_template(skips=skips)),
            checkpoints=MemoryVersions(),
            costs=MemoryCosts(),
            budgets=self.budgets,
            objects=self.objects,
            models=NoModels(),  # type: ignore[arg-type]
            provider="bedrock",
            prices=prices,
        )
        self.skips = skips
        self.sharding = self._draw_sharding(shards)
        self.truth = Truth(JOB_ID, self.budgets)
        self.settings = WorkerSettings(
            checkpoint_interval=rng.choice((1, 3, 5, 10)),
            concurrency=rng.choice((1, 2, 4, 8)),
            flush_seconds=rng.choice((2.0, 30.0)),
        )
        self.rates = self._draw_rates()
        self.processes: list[Process] = []
        self.retries = self.afterthoughts = 0
        self.left: Counter[str] = Counter()
        """What is in the accounts of a month and not in the job's share of it any more."""
        self._create_job()

    def _draw_template(self, *, skips: bool) -> Template:
        return skipping_template() if skips else template(self.rng.choice((1, 1, 2)))

    def _options(self) -> dict[str, Any]:
        """More of the job's configuration."""
        return {}

    def _draw_records(self) -> int:
        return self.rng.randint(1, 40)

    def _draw_sharding(self, shards: int) -> Sharding | None:
        return sharding_for(self.records, self.rng.randint(2, shards)) if shards > 1 else None

    def _draw_rates(self) -> Rates:
        """Three to six kinds of faults at once, each at its own strength."""
        limits = {
            "store_down": 0.05,
            "reply_lost": 0.05,
            "crash": 0.02,
            "stall": 0.02,
            "throttled": 0.5,
            "in_doubt": 0.1,
            "server_fault": 0.1,
            "unavailable": 0.1,
            "model_failed": 0.1,
            "outages": 1.0,
            "not_sent": 0.1,
            "rejected": 0.05,
            "fatal": 0.005,
            "slow": 0.05,
            "invalid": 0.2,
            "shutdown": 0.03,
        }
        kinds = self.rng.sample(sorted(limits), self.rng.randint(3, 6))
        return Rates(**{kind: limits[kind] * self.rng.random() for kind in kinds})

    def _create_job(self) -> None:
        self.objects.put(SEEDS_KEY, b'{"name": "a"}\n{"name": "b"}\n', content_type="text/plain")
        worst = self.price.worst_case(prompt_bytes=200, max_tokens=20)
        enough = 60 * self.records * worst
        budget = enough if self.rng.random() < 0.8 else self.rng.randint(worst, enough // 20)
        now = self.scheduler.clock.now()
        self.jobs.create_job(
            Job(
                job_id=JOB_ID,
                user_id="user",
                status=JobStatus.QUEUED,
                config=job_config(
                    template=TemplateRef(template_id="t", version=1),
                    seed_data_path=SEEDS_KEY,
                    seed_version=None,
                    num_records=self.records,
                    sharding=self.sharding,
                    model=self.model,
                    **self._options(),
                ),
                budget_limit=f"{budget / 1e9:.9f}",
                created_at=now,
                updated_at=now,
            ),
            admission=self.admission(),
        )

    def admission(self) -> Admission:
        """The accounts have room for this job, and for nothing besides."""
        month = month_of(self.scheduler.clock.now())
        limits = Limits(month=month, stage_nano=MAX_BUDGET_NANO, user_nano=None)
        return Admission(limits=limits, max_active_jobs=1)

    def run(self) -> Outcome:
        """Start workers until the job has ended. Raises `InvariantError`."""
        for turn in range(MAX_ROUNDS):
            job = self.jobs.get_job(JOB_ID)
            if job.status in ENDED and not self._goes_on(job):
                break
            rates = self.rates.calm(max(1 - turn / CALM_AFTER, 0.0))
            self.truth.draw_outages(self.scheduler.clock.monotonic(), rates.outages, self.rng)
            self._sweep(job)
            count = 1 if self.sharding is None else self.rng.randint(1, self.sharding.count)
            for _ in range(count):
                self._start(rates)
            if self.rng.random() < 0.3:
                self._start(rates)
            if self.rng.random() < 0.05:
                self._cancel_later()
            self.scheduler.run_for(20_000.0)
            self._raise_errors()
        return self._judge()

    def _sweep(self, job: Job) -> None:
        """As the sweeper does for a worker that died once it had ended the last shard."""
        if self.sharding is not None and job.status not in ENDED:
            advance(self.queue, job)

    def _goes_on(self, job: Job) -> bool:
        """Whether the user queues an ended job again, as it is, larger, or with its failures."""
        if job.status is JobStatus.FAILED:
            self.retries += 1
            if self.retries > MAX_RETRIES:
                return False
        elif job.status is not JobStatus.COMPLETED:
            return False
        elif not has_work_left(job):
            self.afterthoughts += 1
            if self.afterthoughts > MAX_AFTERTHOUGHTS or self.rng.random() < 0.5:
                return False
            if self.rng.random() < 0.5:
                self.records += self.rng.randint(1, 10)
                self.jobs.set_num_records(JOB_ID, self.records)
            else:
                self._retry_failures()
        else:
            # A user waits a moment. With so few records work ends so soon that an outage of minutes
            # would outlast all rounds.
            self.scheduler.clock.advance(60)
        self._leave_month(job)
        queue_again(self.jobs, self.queue, JOB_ID, admission=self.admission())
        return True

    def _leave_month(self, job: Job) -> None:
        """What a job leaves in the accounts of a month when it is queued in a later one."""
        month = month_of(self.scheduler.clock.now())
        if job.share is not None and job.share.month != month:
            self.left[job.share.month] += job.share.reserved_nano

    def _retry_failures(self) -> None:
        """What failed records had cost is paid for again, because that was asked for."""
        self.truth.give_back(self._indices(failures_key(JOB_ID)))
        retry_failed(self.objects, JOB_ID)

    def new_process(self, name: str, rates: Rates) -> Process:
        """A worker's process that has not begun."""
        process = Process(
            name,
            ports=self.ports,
            objects=self.objects,
            scheduler=self.scheduler,
            truth=self.truth,
            rates=rates,
            rng=random.Random(self.rng.getrandbits(64)),  # noqa: S311
            settings=self.settings,
            price=self.price,
            owner_of=self.queue.owner,
            script=self.script,
        )
        self.processes.append(process)
        return process

    def _start(self, rates: Rates) -> None:
        process = self.new_process(f"worker-{len(self.processes)}", rates)
        work_id = JOB_ID if self.sharding is None else None
        actor = self.scheduler.spawn(process.name, lambda: process.run(work_id))
        self._actors = [*getattr(self, "_actors", []), actor]

    def _cancel_later(self) -> None:
        def cancel() -> None:
            self.scheduler.pause(self.rng.random() * 60)
            status = self.jobs.get_job(JOB_ID).status
            if status in {JobStatus.QUEUED, JobStatus.RUNNING}:
                self.jobs.set_status(JOB_ID, JobStatus.CANCELLED, fence=None)

        self._actors = [*getattr(self, "_actors", []), self.scheduler.spawn("user", cancel)]

    def _raise_errors(self) -> None:
        for actor in self._actors:
            if not actor.ended:
                raise InvariantError(f"{actor.name} never ended")
            if actor.error is not None and not _expected(actor.error):
                raise actor.error
        self._actors = []

    def _judge(self) -> Outcome:
        job = self.jobs.get_job(JOB_ID)
        if job.status not in ENDED:
            raise InvariantError(f"no terminal state: {job.status}")
        dataset = self._indices(export_key(JOB_ID, "jsonl"))
        failed = self._indices(failures_key(JOB_ID))
        if len(set(dataset)) != len(dataset) or len(set(failed)) != len(failed):
            raise InvariantError("an index stands twice in an export")
        # An export that failed, or was cut off by a cancellation, may have left a new dataset by
        # the failures of the export before. The next one mends both.
        is_exported = job.status in {JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED}
        if is_exported and set(dataset) & set(failed):
            raise InvariantError("an index is a record and a failure")
        self._judge_indices(job, dataset, failed)
        if self.truth.paid_twice > self.truth.lost:
            raise InvariantError(
                f"{self.truth.paid_twice} replies paid twice, {self.truth.lost} were lost"
            )
        self.truth.check_money()
        self._judge_skips()
        self._judge_month(job)
        self._judge_figures(job)
        return Outcome(
            seed=self.seed,
            status=job.status,
            records=len(dataset),
            failures=len(failed),
            processes=len(self.processes),
            paid_twice=self.truth.paid_twice,
            virtual_seconds=self.scheduler.clock.monotonic(),
        )

    def _judge_indices(self, job: Job, dataset: list[int], failed: list[int]) -> None:
        if job.status is not JobStatus.COMPLETED:
            return
        if set(dataset) | set(failed) != set(range(self.records)):
            raise InvariantError("an index is lost")
        if job.progress.records_generated != len(dataset):
            raise InvariantError("the counters are not those of the export")
        self._judge_completed(job, failed)

    def _judge_skips(self) -> None:
        """A record has what its conditions say, and nothing was called for the rest of it."""
        if not self.skips:
            return
        called = {(index, step) for index, step, _ in self.truth.attempts}
        for index, step in called:
            if not is_taken(index, step):
                raise InvariantError(f"step {step} of record {index} was called")
        body = self.objects.bodies.get(export_key(JOB_ID, "jsonl"), b"")
        for document in map(orjson.loads, body.splitlines()):
            for step, result in document["generation_result"].items():
                if is_skipped(result) is is_taken(document["index"], step):
                    raise InvariantError(f"record {document['index']} has another {step}")
            if len(document["seed_data_id"].split(", ")) != 3:
                raise InvariantError("a record has not its three seeds")

    def _judge_month(self, job: Job) -> None:
        """N16: the accounts of the month have what the job's own account says, and no more."""
        share, committed = job.share, self.budgets.committed(JOB_ID)
        if share is None:
            raise InvariantError("the job has left the accounts of the month")
        if share.reserved_nano < committed - share.base_nano:
            raise InvariantError("the job has committed more than it has reserved")
        self.jobs.return_rest(JOB_ID)  # as the sweeper does for a worker that died at its end
        self.left[share.month] += max(committed - share.base_nano, 0)
        accounts = {
            month: nano for month, nano in self.jobs.accounts.items() if month.startswith("stage#")
        }
        if accounts != {stage_account(month): nano for month, nano in self.left.items()}:
            raise InvariantError(f"the month has {accounts}, its jobs {dict(self.left)}")

    def _judge_figures(self, job: Job) -> None:
        if sum(job.progress.failures_by_kind.values()) != job.progress.failed_records:
            raise InvariantError("a failure is of no kind")
        if sum(job.progress.cost_by_model.values()) > job.progress.cost_nano:
            raise InvariantError("models cost more than the job")
        steps = sum_of(job.progress.steps)
        if steps.cost_nano != sum(job.progress.cost_by_model.values()):
            raise InvariantError("steps cost something else than their models")
        if steps.tokens_in + steps.tokens_out > job.progress.tokens_used:
            raise InvariantError("steps used more tokens than the job")

    def _judge_completed(self, job: Job, failed: list[int]) -> None:
        progress = job.progress
        if progress.failed_records != len(failed):
            raise InvariantError("the counters are not those of the export")
        if self.truth.not_tried_again:
            raise InvariantError("a failure that was given back was not tried again")
        body = self.objects.bodies.get(failures_key(JOB_ID), b"")
        of_service = [line for line in body.splitlines() if is_service_failure(kind_of(line))]
        if of_service or progress.service_failures:
            raise InvariantError("a record ended as failed for a fault of the service")

    def _indices(self, key: str) -> list[int]:
        body = self.objects.bodies.get(key, b"")
        return [orjson.loads(line)["index"] for line in body.splitlines()]


def _expected(error: BaseException) -> bool:
    """What `__main__` turns into exit code 75: the process is over, its work is not."""
    from runtime.domain.errors import SeedwrightError  # noqa: PLC0415

    return isinstance(error, SeedwrightError)


def run_schedule(seed: int, *, shards: int = 1) -> Outcome | str:
    """The outcome, or why the seed failed."""
    try:
        return Schedule(seed, shards=shards).run()
    except Exception as error:  # noqa: BLE001 - reported with its seed
        return f"seed {seed}: {type(error).__name__}: {error}"


def main_of(description: str, run: Callable[..., Outcome | str], *, default_shards: int = 1) -> int:
    """Run schedules, print what they did, and every seed that broke a promise."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--shards", type=int, default=default_shards, help="shards of a job, at most"
    )
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.seed is not None:
        outcome = run(options.seed, shards=options.shards)
        print(outcome)
        return int(isinstance(outcome, str))
    began = time.monotonic()
    seeds = range(options.first, options.first + options.schedules)
    with Pool(options.processes) as pool:
        results = list(
            pool.imap_unordered(partial(run, shards=options.shards), seeds, chunksize=16)
        )
    outcomes = [each for each in results if isinstance(each, Outcome)]
    violations = [each for each in results if isinstance(each, str)]
    by_status = {
        str(status): sum(outcome.status is status for outcome in outcomes) for status in ENDED
    }
    print(
        f"{len(results)} schedules in {time.monotonic() - began:.0f} s, "
        f"{sum(outcome.processes for outcome in outcomes)} processes, "
        f"{sum(outcome.records for outcome in outcomes)} records, "
        f"{sum(outcome.failures for outcome in outcomes)} failures, "
        f"{sum(outcome.paid_twice for outcome in outcomes)} replies paid twice after kills, "
        f"{by_status}, {len(violations)} violations"
    )
    for violation in violations[:20]:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main_of(__doc__ or "", run_schedule))

"""Jobs in shards, by the production worker on storage in memory: the same rows as in one piece."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import batches_prefix, export_key, exports_prefix, failures_key
from runtime.contract.statuses import WaitingStatus
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sharding import ranges_of, sharding_for
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price_table import load_prices
from runtime.domain.ports import Ports
from runtime.inputs.templates import read_template
from runtime.service.requeue import queue_again
from runtime.service.retry import retry_failed
from runtime.service.shards import advance
from runtime.worker.crash_points import CrashPoint, pass_through
from runtime.worker.pool import Completion
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker
from tests.fixtures.clock import ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_budgets import MemoryBudgets
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.memory_ports import (
    MemoryCosts,
    MemoryJobs,
    MemoryQueue,
    MemoryTemplates,
    MemoryVersions,
)
from tests.simulation.campaign import NoModels
from tests.simulation.engines import PlainEngine

TEMPLATE = {
    "name": "t",
    "samplers": [
        {
            "name": "size",
            "sampler_type": "gaussian",
            "params": {"mean": 0, "stddev": 9},
        }
    ],
    "steps": [{"id": "one", "prompt": "Write about {{ name }}.", "max_tokens": 20}],
    "output": {
        "columns": {"text": "steps.one.output", "size": "samples.size", "name": "seed.name"}
    },
    "split": {"test": 0.2},
}

Fate = Callable[[int], ModelError | None]


class Pool:
    """Answers at once, in another order each time."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: list[tuple[int, ModelRequest]] = []

    def submit(self, call: int, request: ModelRequest) -> None:
        self._waiting.append((call, request))

    def wait(self, timeout: float) -> list[Completion]:
        del timeout
        waiting, self._waiting = self._waiting, []
        self._world.rng.shuffle(waiting)
        if not waiting:
            self._world.clock.advance(1)
        return [self._end(call, request) for call, request in waiting]

    def _end(self, call: int, request: ModelRequest) -> Completion:
        index = int(request.messages[0].text.split("/")[0])
        self._world.called.append(index)
        usage = Usage(input_tokens=10, output_tokens=10)
        error = self._world.fate(index)
        return Completion(call=call, result=error or ModelReply(text=f"no. {index}", usage=usage))

    def withdraw(self) -> list[int]:
        calls = [call for call, _ in self._waiting]
        self._waiting = []
        return calls

    def wake(self) -> None:
        return None

    def close(self) -> None:
        return None


class World:
    """One job, and workers that take what is queued. A shard of `piece_bytes` exports by itself."""

    def __init__(
        self,
        records: int,
        shards: int | None,
        *,
        budget: str = "10",
        formats: tuple[OutputFormat, ...] = (OutputFormat.JSONL,),
        piece_bytes: int = 10**9,
        template: Mapping[str, object] = TEMPLATE,
        objects: Any = None,
    ) -> None:
        self.piece_bytes = piece_bytes
        self.crash_point: CrashPoint = pass_through
        self.clock, self.rng = ManualClock(), random.Random(shards)  # noqa: S311
        self.fate: Fate = lambda _index: None
        self.called: list[int] = []
        self.queue, budgets = MemoryQueue(), MemoryBudgets()
        self.jobs = MemoryJobs(self.queue, self.clock, budgets=budgets)
        self.objects: MemoryObjects = objects or MemoryObjects()
        templates = MemoryTemplates()
        self.ports = Ports(
            clock=self.clock,
            queue=self.queue,
            jobs=self.jobs,
            templates=templates,
            checkpoints=MemoryVersions(),
            costs=MemoryCosts(),
            budgets=budgets,
            objects=self.objects,
            models=NoModels(),  # type: ignore[arg-type]
            provider="bedrock",
            prices=load_prices(),
        )
        self.objects.put(
            "seeds.jsonl", b'{"name": "a"}\n{"name": "b"}\n{"name": "c"}\n', content_type=""
        )
        now = self.clock.now()
        self.jobs.create_job(
            Job(
                job_id="j",
                user_id="ada",
                status=JobStatus.QUEUED,
                config=job_config(
                    template=templates.save_template("ada", "t", read_template(template)),
                    seed_data_path="seeds.jsonl",
                    seed_version=None,
                    num_records=records,
                    model="amazon.nova-micro-v1:0",
                    output_formats=formats,
                    sharding=sharding_for(records, shards),
                ),
                budget_limit=budget,
                created_at=now,
                updated_at=now,
            )
        )

    @property
    def job(self) -> Job:
        return self.jobs.get_job("j")

    def ended(self) -> JobStatus:
        """How the job has ended by now."""
        return self.job.status

    def worker(self) -> Worker:
        return Worker(
            self.ports,
            owner="me",
            settings=WorkerSettings(
                concurrency=16, checkpoint_interval=100, piece_bytes=self.piece_bytes
            ),
            crash_point=self.crash_point,
            make_pool=lambda: Pool(self),
            template_engine=PlainEngine(),
        )

    def work(self) -> ExitCode:
        return self.worker().run()

    def work_on(self, work_id: str) -> ExitCode:
        claim = self.queue.claim(work_id, "me")
        assert claim is not None
        return self.worker().process_job(claim)

    def go_on(self) -> None:
        queue_again(self.jobs, self.queue, "j")

    def rows(self) -> dict[str, bytes]:
        """The files of rows, by name."""
        return {
            key: body
            for key, body in self.objects.bodies.items()
            if key.startswith((f"{exports_prefix('j')}data/", f"{exports_prefix('j')}data-"))
        }

    def indices(self, key: str) -> list[int]:
        body = self.objects.bodies.get(key, b"")
        return [orjson.loads(line)["index"] for line in body.splitlines()]

    def dataset(self) -> list[int]:
        return self.indices(export_key("j", "jsonl"))


def check_alike(worlds: list[World], records: int) -> None:
    """Each generated each record once, and all have the same rows."""
    for world in worlds:
        assert world.ended() is JobStatus.COMPLETED
        assert sorted(world.called) == list(range(records))
    first, *others = (world.rows() for world in worlds)
    assert len(first) == 4  # two splits, each as Parquet and as text
    assert all(other == first for other in others)
    lines, *more = (
        sorted(world.objects.bodies[export_key("j", "jsonl")].splitlines()) for world in worlds
    )
    assert all(other == lines for other in more)
    assert len({str(world.job.progress) for world in worlds}) == 1


def test_the_rows_do_not_depend_on_shards() -> None:
    worlds = [World(2000, shards) for shards in (1, 4, 9)]
    for world in worlds:
        assert world.work() is ExitCode.DONE
    check_alike(worlds, 2000)


def test_the_rows_do_not_depend_on_shards_where_a_job_grows() -> None:
    worlds = [World(60, shards) for shards in (1, 4, 9)]
    for world in worlds:
        for records in (61, 97):
            world.work()
            world.jobs.set_num_records("j", records)
            world.go_on()
        world.work()
    check_alike(worlds, 97)


def test_a_shard_generates_its_ranges_and_no_more() -> None:
    world = World(40, 3)
    assert world.work_on("j#1") is ExitCode.DONE
    sharding = world.job.config.sharding
    assert sharding is not None
    assert sorted(world.called) == [index for each in ranges_of(sharding, 1) for index in each]
    assert all("/shard-0001/" in key for key in world.objects.bodies if batches_prefix("j") in key)
    assert (world.job.status, world.job.progress.records_generated) == (JobStatus.RUNNING, 13)
    assert world.queue.status("j") is WaitingStatus.WAITING
    assert not world.dataset()


def test_the_last_shard_releases_the_end() -> None:
    world = World(40, 3)
    for shard in (2, 0, 1):
        assert world.queue.status("j") is WaitingStatus.WAITING
        world.work_on(f"j#{shard}")
    assert world.queue.status("j") is JobStatus.QUEUED
    world.work_on("j")
    assert world.ended() is JobStatus.COMPLETED
    # Shard after shard, and in each as the answers came: 13 records, 13, and 14.
    parts = (world.dataset()[:13], world.dataset()[13:26], world.dataset()[26:])
    assert [set(part) for part in parts] == [
        set(range(13)),
        set(range(13, 26)),
        set(range(26, 40)),
    ]
    assert len(world.called) == 40
    # Lists of jobs read what is stored with a job, and no sums.
    stored = world.jobs.stored("j")
    assert (stored.status, stored.progress.records_generated) == (JobStatus.COMPLETED, 40)


def test_an_end_that_is_claimed_too_early_is_put_off() -> None:
    world = World(40, 2)
    world.queue.release_own("j")
    assert world.work_on("j") is ExitCode.DONE
    assert world.queue.status("j") is WaitingStatus.WAITING
    assert world.job.status is JobStatus.QUEUED
    world.work()
    assert world.ended() is JobStatus.COMPLETED


def test_a_shard_that_ends_while_the_end_is_put_off_releases_it() -> None:
    """It has found nobody waiting for it."""
    world = World(40, 2)
    world.queue.release_own("j")
    early = world.queue.claim("j", "early")
    assert early is not None
    for shard in range(2):
        world.work_on(f"j#{shard}")
    assert world.queue.status("j") is JobStatus.RUNNING
    world.worker().jobs.put_off(early, world.job)
    assert world.queue.status("j") is JobStatus.QUEUED


def test_a_job_that_has_ended_releases_nothing() -> None:
    world = World(40, 2)
    for shard in range(2):
        claim = world.queue.claim(f"j#{shard}", "me")
        assert claim is not None
        world.queue.finish(claim, JobStatus.COMPLETED, run=1)
    world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
    advance(world.queue, world.job)
    assert world.queue.status("j") is WaitingStatus.WAITING


def test_a_late_owner_of_a_shard_writes_nothing_of_its_end() -> None:
    world = World(20, 2)
    late = world.queue.claim("j#0", "late")
    assert late is not None
    world.queue.release(late)
    world.work()
    calls = len(world.called)
    assert world.worker().process_job(late) is ExitCode.INTERRUPTED
    assert len(world.called) == calls
    other = World(20, 2)
    late = other.queue.claim("j#0", "late")
    assert late is not None
    other.queue.release(late)
    other.work_on("j#0")
    calls = len(other.called)
    assert other.worker().process_job(late) is ExitCode.INTERRUPTED
    assert len(other.called) == calls


def refuse(*indices: int, kind: ModelErrorKind = ModelErrorKind.REJECTED) -> Fate:
    return lambda index: ModelError(kind, "no") if index in indices else None


def test_failures_are_tried_again_in_their_own_shards() -> None:
    world = World(30, 3)
    world.fate = refuse(3, 14, 29)
    world.work()
    assert (world.job.status, world.indices(failures_key("j"))) == (
        JobStatus.COMPLETED,
        [3, 14, 29],
    )
    world.called.clear()
    retry_failed(world.objects, "j")
    world.fate = refuse(14)
    world.go_on()
    world.work()
    assert sorted(set(world.called)) == [3, 14, 29]
    assert world.indices(failures_key("j")) == [14]
    assert (world.job.progress.records_generated, world.job.progress.failed_records) == (29, 1)


def test_a_shard_that_fails_fails_the_job_and_goes_on_alone() -> None:
    world = World(30, 3)
    world.fate = refuse(*range(10, 20), kind=ModelErrorKind.FATAL)
    world.work()
    assert (world.job.status, world.job.error_message) == (JobStatus.FAILED, "no")
    assert world.job.progress.records_generated == 20
    before, world.fate = len(world.called), refuse()
    world.go_on()
    world.work()
    assert (world.job.status, world.job.error_message) == (JobStatus.COMPLETED, None)
    assert set(world.called[before:]) <= set(range(10, 20))
    assert sorted(world.dataset()) == list(range(30))


def test_a_job_of_failures_alone_fails_as_a_whole() -> None:
    world = World(4, 2)
    world.fate = refuse(0, 1)
    world.work()
    assert world.job.status is JobStatus.COMPLETED
    world = World(4, 2)
    world.fate = refuse(*range(4))
    world.work()
    assert world.job.status is JobStatus.FAILED
    assert "every record failed" in str(world.job.error_message)


def test_what_fits_the_budget_is_exported() -> None:
    world = World(400, 2, budget="0.0005")
    world.work()
    job = world.job
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert 0 < job.progress.records_generated == len(world.dataset()) < 400
    done = job.progress.records_generated
    assert str(job.error_message).startswith("the budget of $0.0005 is used up: ")
    assert str(job.error_message).endswith(f", {done} of 400 records generated")
    for state in world.ports.queue.shards_of("j", 2):  # which says so of itself
        assert state.error is None or "records" not in state.error.message
    assert job.progress.cost_nano <= 500_000
    assert world.ports.budgets.get_account("j").committed_nano == job.progress.cost_nano


@pytest.mark.parametrize("taken", [0, 1])
def test_a_cancelled_job_exports_nothing_and_goes_on(taken: int) -> None:
    world = World(30, 3)
    for shard in range(taken):
        world.work_on(f"j#{shard}")
    world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
    world.work()
    assert not world.dataset()
    assert world.job.status is JobStatus.CANCELLED
    world.go_on()
    world.work()
    assert (world.job.status, sorted(world.called)) == (JobStatus.COMPLETED, list(range(30)))


def test_an_interrupted_shard_is_handed_back() -> None:
    world = World(90, 2)
    worker = world.worker()

    def stop(_index: int) -> None:
        worker.request_shutdown()

    world.fate = stop
    claim = world.queue.claim("j#0", "me")
    assert claim is not None
    assert worker.process_job(claim) is ExitCode.INTERRUPTED
    assert world.queue.status("j#0") is JobStatus.QUEUED
    assert world.job.status is JobStatus.RUNNING
    world.fate = refuse()
    world.work()
    assert sorted(world.called) == list(range(90))
    assert world.ended() is JobStatus.COMPLETED


def test_a_resumption_that_was_cut_off_goes_on() -> None:
    """After each of its steps: the status, the own work, some shards."""
    for steps in range(4):
        world = World(30, 3)
        world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
        world.work()  # ends the shards
        world.jobs.set_status("j", JobStatus.QUEUED, fence=None)
        for shard in range(max(steps - 1, 0)):
            world.queue.enqueue(f"j#{shard}")
        world.go_on()
        world.work()
        assert sorted(world.called) == list(range(30)), steps
        assert world.ended() is JobStatus.COMPLETED

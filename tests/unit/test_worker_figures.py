"""Figures that a dashboard shows: failures by kind and cost by model, over restarts and crashes."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from runtime.bootstrap import LocalEngine, local_engine
from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.jobs.checkpoint import decode
from runtime.domain.jobs.job import JobStatus, Progress
from runtime.domain.jobs.record import UNKNOWN_KIND
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.choice import ModelChoice
from runtime.domain.models.price_table import load_prices
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker
from tests.fixtures.session_faults import Fault
from tests.fixtures.storage import new_job
from tests.fixtures.worker_world import (
    MODEL,
    SCHEMA_MODEL,
    WorkerWorld,
    at,
    indices,
    make_template,
    step,
)

SCHEMA = {"type": "object", "required": ["stars"], "properties": {"stars": {"type": "integer"}}}


class KilledError(BaseException):
    """The machine is gone."""


def kill(world: WorkerWorld, point: str, nth: int) -> None:
    """Run a worker, one call at a time, that dies at a crash point and writes nothing more; then
    its lease runs out.
    """
    silence: list[Fault] = []

    def die() -> None:
        silence.extend(world.fail("dynamodb", name) for name in ("UpdateItem", "PutItem"))
        silence.append(world.fail("s3", "PutObject"))
        raise KilledError

    with pytest.raises(KilledError):
        world.run(crash_point=at(point, nth, die), concurrency=1)
    for fault in silence:
        fault.clear()
    (lease,) = world.ports.queue.leases()
    assert world.ports.queue.recover(lease)


def cost(world: WorkerWorld, model: str, **usage: int) -> int:
    return world.ports.prices.price(model, world.clock.now().date()).cost(Usage(**usage))


def billed(world: WorkerWorld) -> int:
    """Nano-USD that `MODEL` has really cost."""
    usage = Counter(world.double.stats()["usage"])
    return cost(
        world, MODEL, input_tokens=usage["inputTokens"], output_tokens=usage["outputTokens"]
    )


def unattributed(progress: Progress) -> int:
    return progress.cost_nano - sum(progress.cost_by_model.values())


def reject(world: WorkerWorld, *numbers: int, effect: str = "ValidationException") -> None:
    world.double.faults([{"prompt": f"product {each}.", "effect": effect} for each in numbers])


def test_failures_are_counted_by_their_kind(world: WorkerWorld) -> None:
    world.double.faults(
        [
            {"prompt": "product 1.", "effect": "ValidationException"},
            {"prompt": "product 4.", "effect": "ValidationException"},
            {"prompt": "product 6.", "effect": "reply", "stop_reason": "content_filtered"},
        ]
    )
    prompt = "Review {{ product }}.{{ '' if 1 // (number - 8) }}"
    seeds = [{"product": f"product {number}", "number": number} for number in range(10)]
    job_id = world.create_job(make_template(step(prompt=prompt)), seeds, num_records=10)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    listed = Counter(line["kind"] for line in world.failures(job_id))
    assert progress.failures_by_kind == listed
    assert listed == {"rejected": 2, "content_filtered": 1, "render_failed": 1}
    assert progress.failed_records == 4


def test_cost_is_counted_by_model(world: WorkerWorld) -> None:
    usage = {"inputTokens": 100, "outputTokens": 10, "totalTokens": 110}
    world.double.faults(
        [
            {"model": SCHEMA_MODEL, "prompt": "product 2!", "effect": "no_usage"},
            {"model": SCHEMA_MODEL, "effect": "reply", "usage": usage},
            {"model": MODEL, "effect": "reply", "usage": {**usage, "inputTokens": 50}},
        ]
    )
    template = make_template(step(), step("answer", "Answer {{ product }}!", model=SCHEMA_MODEL))
    job_id = world.create_job(template, num_records=6)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    each = cost(world, SCHEMA_MODEL, input_tokens=100, output_tokens=10)
    assert progress.cost_by_model.keys() == {MODEL, SCHEMA_MODEL}
    assert progress.cost_by_model[MODEL] == 6 * cost(
        world, MODEL, input_tokens=50, output_tokens=10
    )
    # A reply without usage is booked at its worst case, for its model.
    assert progress.cost_by_model[SCHEMA_MODEL] > 6 * each
    assert unattributed(progress) == 0


def test_a_call_in_doubt_counts_for_its_model(world: WorkerWorld) -> None:
    world.double.faults([{"prompt": "product 2.", "effect": "InternalServerException", "times": 1}])
    job_id = world.create_job(num_records=4)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    assert progress.cost_by_model[MODEL] > billed(world)
    assert unattributed(progress) == 0


def test_figures_go_on_after_an_interruption(world: WorkerWorld) -> None:
    """S4: nothing is in doubt after SIGTERM, so nothing is unattributed."""
    reject(world, 1, 7)
    job_id = world.create_job(num_records=10)
    crash_point = at("after_call", 5, world.stop)
    assert world.run(crash_point=crash_point, concurrency=1) is ExitCode.INTERRUPTED
    first = world.job(job_id).progress
    assert first.failures_by_kind == {"rejected": 1}
    assert first.cost_by_model == {MODEL: billed(world)}

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    assert progress.failures_by_kind == {"rejected": 2}
    assert progress.cost_by_model == {MODEL: billed(world)}
    assert unattributed(progress) == 0


def test_a_failure_list_that_is_adopted_counts_by_its_kinds(world: WorkerWorld) -> None:
    reject(world, 1)
    job_id = world.create_job(num_records=10)
    kill(world, "after_failures_put", 1)
    assert world.object_keys(keys.checkpoint_key(job_id)) == []

    assert world.run() is ExitCode.DONE

    assert world.job(job_id).progress.failures_by_kind == {"rejected": 1}


def test_a_list_of_somebody_else_under_the_next_number_counts_too(world: WorkerWorld) -> None:
    reject(world, 1)
    job_id = world.create_job(num_records=10)
    theirs = [
        {"id": f"{job_id}-{index}", "index": index, "seed_data_id": "s", "step": "review", **kind}
        for index, kind in ((8, {"kind": "server_fault"}), (9, {}), (1, {"kind": "in_doubt"}))
    ]
    body = b"".join(orjson.dumps(line) + b"\n" for line in theirs)

    def interfere() -> None:
        world.put_object(keys.failure_part_key(job_id, 1), body)

    assert world.run(crash_point=at("after_call", 2, interfere), concurrency=1) is ExitCode.DONE

    progress = world.job(job_id).progress
    # Index 1 has failed here first. Index 8 failed by the service, and was tried again.
    assert progress.failures_by_kind == {"rejected": 1, UNKNOWN_KIND: 1}
    assert progress.failed_records == 2
    assert 8 in indices(world.dataset(job_id))


def test_what_a_killed_worker_left_in_doubt_is_no_models(world: WorkerWorld) -> None:
    """S8, N3."""
    job_id = world.create_job(num_records=10)
    kill(world, "after_call", 8)
    saved = decode(world.object(keys.checkpoint_key(job_id)))
    assert saved.records_generated == 5
    held = world.account(job_id).holds[job_id].nano
    before = billed(world)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    again = billed(world) - before
    assert progress.cost_by_model == {MODEL: saved.cost_by_model[MODEL] + again}
    assert unattributed(progress) == held > 0


def test_a_checkpoint_without_figures_is_gone_on_from(world: WorkerWorld) -> None:
    reject(world, 1, 7)
    job_id = world.create_job(num_records=10)
    crash_point = at("after_call", 5, world.stop)
    assert world.run(crash_point=crash_point, concurrency=1) is ExitCode.INTERRUPTED
    key = keys.checkpoint_key(job_id)
    document = orjson.loads(world.object(key))
    del document["failures_by_kind"], document["cost_by_model"]
    world.put_object(key, orjson.dumps(document))
    before = billed(world)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    assert progress.failed_records == 2
    assert progress.failures_by_kind == {"rejected": 1}
    assert progress.cost_by_model == {MODEL: billed(world) - before}
    assert unattributed(progress) == before


# ── with a journal ─────────────────────────────────────────────────────────────────────────────


class Models:
    """Answers every prompt, and refuses two of them."""

    def __init__(self) -> None:
        self.calls = 0

    def converse(self, request: ModelRequest) -> ModelReply:
        self.calls += 1
        text = request.messages[0].text
        if text in {"Review product 1.", "Review product 2."}:
            raise ModelError(ModelErrorKind.REJECTED, "too long")
        return ModelReply(text="Fine.", usage=Usage(input_tokens=10, output_tokens=2))

    def close(self) -> None:
        pass


@pytest.fixture
def open_engine(tmp_path: Path) -> Iterator[Callable[[], tuple[LocalEngine, Models]]]:
    opened: list[LocalEngine] = []

    def open_another() -> tuple[LocalEngine, Models]:
        models = Models()
        engine = local_engine(tmp_path, models=models, provider="bedrock", prices=load_prices())
        opened.append(engine)
        return engine, models

    yield open_another
    for engine in opened:
        engine.close()


def create_job(engine: LocalEngine, *, num_records: int) -> None:
    ports = engine.ports
    seeds = b"".join(b'{"product": "product %d"}\n' % number for number in range(num_records))
    ports.objects.put("seed-data/ada/s.jsonl", seeds, content_type="text/plain")
    ref = ports.templates.save_template("ada", "t", make_template())
    job = new_job("a", ports.clock)
    config = replace(
        job.config,
        template=ref,
        seed_data_path="seed-data/ada/s.jsonl",
        seed_version=None,
        num_records=num_records,
        models=ModelChoice(model=None),
        includes={},
        draws=Draws(seed_strategy=SeedStrategy.SEQUENTIAL),
    )
    ports.jobs.create_job(replace(job, config=config, created_at=datetime.now(UTC)))


def test_replies_of_a_journal_count_by_kind_and_their_cost_for_no_model(
    open_engine: Callable[[], tuple[LocalEngine, Models]], render_engine: TemplateEngine
) -> None:
    engine, _ = open_engine()
    create_job(engine, num_records=10)
    settings = WorkerSettings(checkpoint_interval=100, concurrency=1)

    def die() -> None:
        engine.close()  # as the kernel would: nothing is written any more, and the locks are free
        raise KilledError

    killed = Worker(
        engine.ports,
        owner="first",
        settings=settings,
        template_engine=render_engine,
        crash_point=at("after_call", 5, die),
    )
    with pytest.raises(KilledError):
        killed.run()
    successor, models = open_engine()
    held = successor.ports.budgets.get_account("a").holds["a"].nano

    again = Worker(
        successor.ports, owner="second", settings=settings, template_engine=render_engine
    ).run()

    assert again is ExitCode.DONE
    # Four replies were in the journal: two of them failures.
    assert models.calls == 6
    job = successor.ports.jobs.get_job("a")
    assert job.status is JobStatus.COMPLETED
    assert job.progress.failures_by_kind == {"rejected": 2}
    price = load_prices().price(MODEL, datetime.now(UTC).date())
    each = price.cost(Usage(input_tokens=10, output_tokens=2))
    assert job.progress.cost_by_model == {MODEL: 6 * each}
    assert unattributed(job.progress) == held > 0

"""The loop that turns prompts into records, with a pool of calls that the test answers."""

import sys

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.worker.pool import Completion
from runtime.worker.settings import WorkerSettings
from runtime.worker.switching import SWITCH_SECONDS
from runtime.worker.worker import Worker
from tests.fixtures.worker_world import MODEL, SCHEMA_MODEL, WorkerWorld, make_template, step

CONCURRENCY = 4


class PatientPool:
    """Answers one open call at a time, those to `SCHEMA_MODEL` only when no other is open. Time
    stands still until nothing is open.
    """

    def __init__(self, world: WorkerWorld, *, refusals: int = 0) -> None:
        self._clock = world.clock
        self._clock.hasten(0)
        self._refusals = refusals
        self.open: dict[int, str] = {}
        self.most_open = 0
        self.begun_since_slow_reply = [0]
        """How many calls to `MODEL` began before each reply of the other, and after the last."""

    def submit(self, call: int, request: ModelRequest) -> None:
        self.open[call] = request.model
        self.most_open = max(self.most_open, len(self.open))
        self.begun_since_slow_reply[-1] += request.model == MODEL

    def wait(self, timeout: float) -> list[Completion]:  # noqa: ARG002 - a port
        if not self.open:
            self._clock.hasten(1000)  # until the next one is due
            return []
        quick = (call for call, model in self.open.items() if model == MODEL)
        call = next(quick, next(iter(self.open)))
        return [Completion(call=call, result=self._reply(self.open.pop(call)))]

    def _reply(self, model: str) -> ModelReply | ModelError:
        if model == SCHEMA_MODEL:
            self.begun_since_slow_reply.append(0)
            self._refusals -= 1
            if self._refusals >= 0:
                return ModelError(ModelErrorKind.THROTTLED, "slow down")
        return ModelReply(text="Fine.", usage=Usage(input_tokens=10, output_tokens=2))

    def withdraw(self) -> list[int]:
        return []

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def run(world: WorkerWorld, pool: PatientPool, engine: TemplateEngine) -> None:
    answer = step("answer", "Answer {{ product }}!", model=SCHEMA_MODEL)
    job_id = world.create_job(make_template(step(), answer), num_records=20)

    ended = Worker(
        world.ports,
        owner="worker",
        settings=WorkerSettings(concurrency=CONCURRENCY),
        template_engine=engine,
        make_pool=lambda: pool,
    ).run()

    assert ended is ExitCode.DONE
    assert len(world.dataset(job_id)) == 20


def test_all_models_together_have_no_more_calls_than_there_are_threads(
    world: WorkerWorld, render_engine: TemplateEngine
) -> None:
    pool = PatientPool(world)

    run(world, pool, render_engine)

    assert pool.most_open == CONCURRENCY


def test_a_model_that_is_throttled_holds_up_no_other(
    world: WorkerWorld, render_engine: TemplateEngine
) -> None:
    """S5.1: the window of one shrinks to two calls, and the other goes on beside them."""
    pool = PatientPool(world, refusals=1)

    run(world, pool, render_engine)

    # After the refusal, until the other model replies again: as many as are rendered ahead.
    assert pool.begun_since_slow_reply[1] == CONCURRENCY


def test_the_interpreter_is_shared_quickly_while_records_are_generated(
    world: WorkerWorld, render_engine: TemplateEngine
) -> None:
    """And as it was before, afterwards: it belongs to the program that called."""
    before = sys.getswitchinterval()
    seen: list[float] = []

    class WatchingPool(PatientPool):
        def submit(self, call: int, request: ModelRequest) -> None:
            seen.append(sys.getswitchinterval())
            super().submit(call, request)

    run(world, WatchingPool(world), render_engine)

    assert max(seen) == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(before)

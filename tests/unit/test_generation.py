"""The loop that turns prompts into records, with a pool of calls that the test answers."""

import sys

import psutil
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.worker.generation import MAX_AHEAD
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


def test_as_many_calls_as_there_may_be_begin_before_any_is_waited_for(
    world: WorkerWorld, render_engine: TemplateEngine
) -> None:
    """However few prompts are rendered at a time."""
    wide = 3 * MAX_AHEAD
    waited_with: list[int] = []

    class WatchingPool(PatientPool):
        def wait(self, timeout: float) -> list[Completion]:
            if timeout <= 0:
                return []
            waited_with.append(len(self.open))
            return [each for _ in range(len(self.open)) for each in PatientPool.wait(self, timeout)]

    pool = WatchingPool(world)
    job_id = world.create_job(make_template(step()), num_records=2 * wide + 5)
    worker = Worker(
        world.ports,
        owner="worker",
        settings=WorkerSettings(concurrency=wide),
        template_engine=render_engine,
        make_pool=lambda: pool,
    )

    assert worker.run() is ExitCode.DONE
    assert len(world.dataset(job_id)) == 2 * wide + 5
    assert waited_with == [wide, wide, 5]


@pytest.mark.parametrize(("frees", "rendered", "children"), [(1, 0, 0), (0, 0, 1), (1, 1, 1)])
def test_a_process_of_one_job_has_no_render_process_while_it_exports(
    world: WorkerWorld,
    frees: int,
    rendered: int,
    children: int,
) -> None:
    """Unless rows need it."""
    text = {"columns": {"text": "{{ seed.product }}!"}}
    world.create_job(make_template(output=text if rendered else "records"), num_records=2)
    seen: list[int] = []

    def crash_point(name: str) -> None:
        if name == "before_export":
            seen.append(len(psutil.Process().children()))

    before = len(psutil.Process().children())
    with TemplateEngine() as engine:
        worker = Worker(
            world.ports,
            owner="worker",
            settings=WorkerSettings(frees_renderer=bool(frees)),
            template_engine=engine,
            make_pool=lambda: PatientPool(world),
            crash_point=crash_point,
        )
        assert worker.run() is ExitCode.DONE

    assert [each - before for each in seen] == [children]

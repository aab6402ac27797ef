"""From index to rendered prompt: which records are open, and what their next calls will say."""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from runtime.domain.errors import BudgetExceededError, RenderError
from runtime.domain.jobs.checkpoint import Partial
from runtime.domain.jobs.job import Job
from runtime.domain.seeds.seeds import seed_id
from runtime.engine.plan import Plan
from runtime.engine.preparation import prepare
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.seeds import DrawnSeeds
from runtime.files.rows import SeedRows
from runtime.worker.saver import Saver

_log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

Rendered = tuple[RecordTask, RenderError | None]


class Prompts:
    """Takes indices in order, opens them as tasks and renders in batches.

    `admit` is asked before each fresh record and raises what stops the job. If that is the budget,
    records that were admitted before are finished first.
    """

    def __init__(
        self,
        *,
        job: Job,
        plan: Plan,
        seeds: SeedRows | None,
        saver: Saver,
        engine: TemplateEngine,
        next_index: int,
        admit: Callable[[], None],
    ) -> None:
        self._job = job
        self._plan = plan
        self._seeds = seeds
        self._drawn = DrawnSeeds(
            seeds,
            samplers=plan.template.samplers,
            job_id=job.job_id,
            draws=job.config.draws,
            batch_of=plan.template.batch_of,
        )
        self._saver = saver
        self._engine = engine
        self._next_index = next_index
        self._admit = admit
        self._indices: Iterator[int] | None = saver.finished.missing()
        self._postponed = False
        self._is_last_pass = False
        self._refused: int | None = None
        self._open: dict[int, RecordTask] = {}
        self._waiting: list[RecordTask] = []

    @property
    def complete(self) -> bool:
        """Whether every index has been taken and closed, those that failed by the service twice."""
        return self._indices is None and not self._open and not self._may_begin_last_pass

    def close(self, task: RecordTask) -> None:
        """The task is a record or a failure now."""
        self._open.pop(task.index, None)
        self._saver.partials.pop(task.index, None)

    def postpone(self, task: RecordTask) -> None:
        """The task failed by the service: its index is tried again, in this run once."""
        partial = task.partial
        self.close(task)
        self._postponed = True
        if partial is not None:
            self._saver.partials[task.index] = partial

    def begin_last_pass(self) -> None:
        """Once every index was tried, take those once more that failed by the service."""
        if self._indices is None and not self._open and self._may_begin_last_pass:
            self._is_last_pass = True
            self._indices = self._saver.finished.missing()

    def give_up(self) -> bool:
        """Begin nothing more of the last pass; False if this is not the last pass."""
        if self._is_last_pass:
            self._indices = None
        return self._is_last_pass

    @property
    def _may_begin_last_pass(self) -> bool:
        return self._postponed and not self._is_last_pass

    def unfinished(self) -> tuple[int, Mapping[int, Partial | None]]:
        """The next index to take, and every unfinished one below it with its paid steps."""
        finished = self._saver.finished
        # Adopted batches may hold indices that this run has not reached: once the checkpoint has
        # moved past such a batch, nobody would look into it again.
        next_index = max(self._next_index, finished.end)
        # What an earlier run left behind and this one has not reached yet is missing as well.
        missing = itertools.takewhile(lambda index: index < next_index, finished.missing())
        unfinished: dict[int, Partial | None] = {}
        for index in missing:
            task = self._open.get(index)
            unfinished[index] = task.partial if task else self._saver.partials.get(index)
        return next_index, unfinished

    def render_later(self, task: RecordTask) -> None:
        """The task has a step behind it and needs its next prompt."""
        self._waiting.append(task)

    def render_waiting(self) -> list[Rendered]:
        """All tasks on their way that need a prompt, each with its prompt or with an error, or
        `finished` where it takes no more steps.
        """
        tasks, self._waiting = self._waiting, []
        return self._render(tasks)

    def render_fresh(self, count: int) -> list[Rendered]:
        """Up to `count` records that nobody has begun; fewer at the end of the job.

        A record whose steps are all paid for or skipped is `finished` already and has no prompt.
        """
        tasks: list[RecordTask] = []
        while len(tasks) < count and (task := self._take()) is not None:
            tasks.append(task)
        return self._render(tasks)

    def _take(self) -> RecordTask | None:
        if self._indices is None or self._saver.room <= len(self._open):
            return None
        index = next(self._indices, None) if self._refused is None else self._refused
        if index is None:
            self._indices = None
            return None
        try:
            self._admit()
        except BudgetExceededError:
            if not self._open:
                raise
            self._refused = index
            return None
        self._refused = None
        drawn = self._drawn.draw(index)
        positions = self._drawn.positions(index, drawn)
        seed = self._drawn.row(positions)
        task = RecordTask(
            job_id=self._job.job_id,
            index=index,
            seed=seed,
            seed_id=(
                seed_id(seed, index)
                if self._seeds is None
                else ", ".join(map(self._seeds.seed_id, positions))
            ),
            draw=drawn,
            samples=drawn.samples,
            draws=self._job.config.draws,
            most_tries=self._job.config.acceptance.attempts,
            plan=self._plan,
            waits_longer=self._is_last_pass,
            is_suspect=index in self._saver.postponed,
        )
        partial = self._saver.partials.get(index)
        if partial is not None:
            task.resume(partial)
        self._open[index] = task
        self._next_index = max(self._next_index, index + 1)
        return task

    def _render(self, tasks: Sequence[RecordTask]) -> list[Rendered]:
        engine = self._engine
        errors = prepare(
            tasks,
            # Looked up at each call: whoever watches the engine sees it.
            lambda requests: _one_by_one(engine.execute_template, requests),
            lambda requests: _one_by_one(engine.check_texts, requests),
        )
        return list(zip(tasks, errors, strict=True))


def _one_by_one(
    execute: Callable[[Sequence[RequestT]], Sequence[AnswerT | RenderError]],
    requests: Sequence[RequestT],
) -> Sequence[AnswerT | RenderError]:
    """In one round trip. If that fails as a whole, one by one, so that a defect costs the records
    that meet it and not the job (requirement S5.7).
    """
    try:
        return execute(requests)
    except Exception:  # noqa: BLE001 - logged here, counted below
        _log.exception("rendering failed as a batch")
    answers: list[AnswerT | RenderError] = []
    for request in requests:
        try:
            answers += execute([request])
        except Exception as error:  # noqa: BLE001 - counted as a failed record
            answers.append(RenderError(f"rendering failed: {type(error).__name__}"))
    return answers

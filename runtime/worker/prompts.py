"""From index to rendered prompt: which records are open, and what their next calls will say."""

import heapq
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
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
from runtime.worker.goal import Goal
from runtime.worker.saver import Saver

_log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

Rendered = tuple[RecordTask, RenderError | None]


class _Pass(Enum):
    """Why an index is taken."""

    FIRST = auto()
    """It is unfinished."""
    LAST = auto()
    """It has failed by the service in the pass before."""
    BEYOND = auto()
    """Those that were opened did not give enough records."""


class Prompts:
    """Takes indices in order, opens them as tasks and renders in batches.

    What was opened is taken to its end, in whichever run; of the others as many as the goal wants.
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
        goal: Goal,
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
        self._goal = goal
        self._indices: Iterator[int] = saver.finished.missing()
        self._pass = _Pass.FIRST
        self._postponed = 0
        """Indices that this pass has failed by the service."""
        self._set_aside: list[int] = []
        """Taken, but not to be opened yet, or closed before their last try: a heap."""
        self._is_dry = False
        """Whether, with nothing open, there was nothing to open when it was looked for."""
        self._open: dict[int, RecordTask] = {}
        self._waiting: list[RecordTask] = []

    @property
    def complete(self) -> bool:
        """Whether every index has been taken and closed, those that failed by the service twice; or
        enough of them.
        """
        return self._has_ended and not self._goal.must_confirm

    @property
    def must_confirm(self) -> bool:
        """Whether nothing is open, and what is stored has to be looked at before anything is."""
        return self._has_ended and self._goal.must_confirm

    @property
    def _has_ended(self) -> bool:
        return self._has_taken_all and not self._may_begin_last_pass

    @property
    def _has_taken_all(self) -> bool:
        """Whether nothing is open and nothing is to be opened in this pass."""
        if self._open:
            return False
        if not self._is_dry:
            index = self._next_with_tries()
            self._is_dry = index is None
            if index is not None:
                heapq.heappush(self._set_aside, index)
        return self._is_dry

    def confirm(self) -> None:
        """Look at what is stored, all of which is saved. Raises `ExportError`, `StorageError`."""
        self._goal.confirm()
        self._is_dry = False

    def close(self, task: RecordTask) -> None:
        """The task is a record or a failure now."""
        self._open.pop(task.index, None)
        self._saver.partials.pop(task.index, None)

    def close_rejected(self, task: RecordTask) -> None:
        """Every try that the task could take was rejected. Where its index may have one more, it
        waits until others leave it one.
        """
        self._open.pop(task.index, None)
        if task.index not in self._saver.finished:
            heapq.heappush(self._set_aside, task.index)

    def postpone(self, task: RecordTask) -> None:
        """The task failed by the service: its index is tried again, in this run once."""
        partial = task.partial
        self.close(task)
        self._postponed += 1
        if partial is not None:
            self._saver.partials[task.index] = partial

    def begin_last_pass(self) -> None:
        """Once every index was tried, take those once more that failed by the service."""
        if self._may_begin_last_pass and self._has_taken_all:
            self._set_aside = []  # what is there comes again, behind what is tried again
            self._begin(_Pass.LAST, self._saver.finished.missing())

    def give_up(self) -> bool:
        """Begin nothing more of the last pass; False if this is not the last pass."""
        if self._pass is not _Pass.LAST:
            return False
        end, self._set_aside = self._end, []
        self._indices = (index for index in self._saver.finished.missing() if index >= end)
        return True

    @property
    def _may_begin_last_pass(self) -> bool:
        return self._postponed > 0 and self._pass is _Pass.FIRST

    def _begin(self, number: _Pass, indices: Iterator[int]) -> None:
        self._pass, self._indices, self._is_dry = number, indices, False

    @property
    def _end(self) -> int:
        """One more than the largest index that was ever opened. Adopted batches may hold indices
        that this run has not reached.
        """
        return max(self._next_index, self._saver.finished.end)

    def unfinished(self) -> tuple[int, Mapping[int, Partial | None]]:
        """The next index to take, and every unfinished one below it with its paid steps."""
        # Once the checkpoint has moved past an adopted batch nobody would look into it again.
        next_index = self._end
        # What an earlier run left behind and this one has not reached yet is missing as well.
        missing = itertools.takewhile(
            lambda index: index < next_index, self._saver.finished.missing()
        )
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
        index = self._next_with_tries()
        if index is None:
            return None
        tries = self._tries_for(index)
        if self._saver.room <= len(self._open):
            heapq.heappush(self._set_aside, index)
            return None
        try:
            self._admit()
        except BudgetExceededError:
            if not self._open:
                raise
            heapq.heappush(self._set_aside, index)
            return None
        partial = self._saver.partials.get(index)
        task = self._task(index, most_tries=tries + (0 if partial is None else partial.attempt))
        if partial is not None:
            task.resume(partial)
        self._open[index] = task
        self._next_index = max(self._next_index, index + 1)
        return task

    def _tries_for(self, index: int) -> int:
        """How many tries the index may take now; 0: it waits until others leave it one."""
        partial = self._saver.partials.get(index)
        attempt = 0 if partial is None else partial.attempt
        return self._goal.tries_for(index, attempt, self._open.values())

    def _next_with_tries(self) -> int | None:
        """As `_next`, if it may take a try now. Else the next one behind it that may: the service
        failed it, so that its try is counted already.
        """
        index = self._next()
        if index is None or self._tries_for(index):
            return index
        waiting: list[int] = [index]
        found: int | None = None
        while self._saver.postponed and found is None and waiting[-1] < self._end:
            index = self._first_unopened()
            if index is None:
                break
            if index in self._saver.postponed and self._tries_for(index):
                found = index
            else:
                waiting.append(index)
        for each in waiting:
            heapq.heappush(self._set_aside, each)
        return found

    def _next(self) -> int | None:
        """The next index to open, if any is to be: the caller opens it or sets it aside."""
        index = self._first_unopened()
        if index is not None:
            if index < self._end or (self._pass is not _Pass.LAST and self._wants_more):
                return index
            heapq.heappush(self._set_aside, index)
        if self._pass is not _Pass.LAST or self._open:
            return None
        # Of the indices that were opened none is left.
        self._begin(_Pass.BEYOND, self._indices)
        return self._next()

    def _first_unopened(self) -> int | None:
        while self._set_aside:
            index = heapq.heappop(self._set_aside)
            if index not in self._open and index not in self._saver.finished:
                return index
        return next((index for index in self._indices if index not in self._open), None)

    @property
    def _wants_more(self) -> bool:
        # What the last pass takes once more may still be a record.
        waiting = self._postponed if self._pass is _Pass.FIRST else 0
        return self._goal.wants(under_way=len(self._open) + waiting)

    def _task(self, index: int, *, most_tries: int) -> RecordTask:
        drawn = self._drawn.draw(index)
        positions = self._drawn.positions(index, drawn)
        seed = self._drawn.row(positions)
        return RecordTask(
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
            most_tries=most_tries,
            plan=self._plan,
            waits_longer=self._pass is _Pass.LAST,
            is_suspect=index in self._saver.postponed,
        )

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

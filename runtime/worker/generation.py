"""The loop that generates a job's records.

One thread owns all state; a pool of threads only calls the model. Each turn of the loop

    saves what is due ─▶ renders ahead ─▶ dispatches what limiter and budget allow ─▶ takes replies

A record walks through its steps as a `RecordTask`: rendered, reserved, called, settled, read, and
again for the next step or one repair, until it is a record or a failure.
"""

import heapq
import itertools
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from runtime.domain.checkpoint import Partial
from runtime.domain.errors import (
    BudgetExceededError,
    LeaseLostError,
    ModelError,
    ModelErrorKind,
    ModelsFailingError,
    PriceError,
    RenderError,
    SeedwrightError,
)
from runtime.domain.job import Job, Progress
from runtime.domain.limiter import AdaptiveLimiter
from runtime.domain.money import usd
from runtime.domain.ports import Clock, ModelReply
from runtime.domain.record import Failure, Record
from runtime.domain.retry import MAX_CONSECUTIVE_FAILURES, RULES, STALL_SECONDS, decide
from runtime.domain.sampling import draw
from runtime.domain.seed_data import Row, seed_id
from runtime.worker.budget_guard import BudgetGuard, Cover
from runtime.worker.control import Control, StopReason
from runtime.worker.costs import Costs
from runtime.worker.crash_points import CrashPoint
from runtime.worker.logs import event
from runtime.worker.plan import Plan
from runtime.worker.pool import CallPool, Completion
from runtime.worker.record_task import RecordTask
from runtime.worker.saver import Saver
from runtime.worker.settings import WorkerSettings
from runtime.worker.template_engine import RenderRequest, TemplateEngine

_log = logging.getLogger(__name__)

RENDER_BATCH: Final = 32
"""Fresh records rendered in one round trip to the render child, and ahead of their calls."""

MAX_WAIT_SECONDS: Final = 0.5
"""Longest sleep of the owner thread, so that nothing that lacks a wake-up is seen late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything about one claim's work on a job."""

    job: Job
    plan: Plan
    seeds: Sequence[Row]
    saver: Saver
    guard: BudgetGuard
    engine: TemplateEngine
    pool: CallPool
    costs: Costs
    control: Control
    clock: Clock
    settings: WorkerSettings
    rng: random.Random
    crash_point: CrashPoint
    on_progress: Callable[[Progress], None]


class Generation:
    """Runs once. `run` returns why it stopped early, or None when every index is finished."""

    def __init__(self, run: Run, *, next_index: int) -> None:
        self._run = run
        self._saver = run.saver
        self._guard = run.guard
        self._control = run.control
        self._budget_usd = Decimal(run.guard.limit_nano).scaleb(-9)
        self._indices: Iterator[int] | None = run.saver.finished.missing()
        self._next_index = next_index
        self._open: dict[int, RecordTask] = {}
        self._to_render: list[RecordTask] = []
        self._ready: deque[RecordTask] = deque()
        self._waiting: list[tuple[float, int, RecordTask]] = []
        self._in_flight: dict[int, RecordTask] = {}
        self._in_flight_of: Counter[str] = Counter()
        self._ahead = min(RENDER_BATCH, run.settings.concurrency)
        self._calls = itertools.count(1)
        self._limiters = {
            step.model: AdaptiveLimiter(run.settings.concurrency) for step in run.plan.steps
        }
        self._error: SeedwrightError | None = None
        self._failed_in_a_row = 0
        self._last_reply = run.clock.monotonic()

    def run(self) -> StopReason | None:
        """Generate. Raises what ends the job: budget, fatal model errors, storage, a lost lease.
        Whatever it raises but a lost lease, everything paid for has been saved first.
        """
        self._control.on_stop(self._run.pool.wake)
        try:
            while self._error is None and self._control.reason is None and not self._complete():
                self._turn()
        except LeaseLostError:
            raise
        except Exception:
            self._drain()
            raise
        finally:
            self._control.on_stop(None)
        self._drain()
        if self._error is not None:
            raise self._error
        return None if self._complete() else self._control.reason

    def _complete(self) -> bool:
        return self._indices is None and not self._open

    def _turn(self) -> None:
        due = self._saver.seconds_to_flush()
        if due is not None and due <= 0:
            self._flush(last=False)
        self._wake_waiting()
        self._render_ahead()
        self._dispatch()
        self._receive(self._patience())

    # ── stopping ───────────────────────────────────────────────────────────────────────────────

    def _drain(self) -> None:
        """Begin nothing; keep what is paid for. Calls that outlast the deadline are presumed
        spent.
        """
        self._check_lease()
        for call in self._run.pool.withdraw():
            self._guard.release(call)
            del self._in_flight[call]
        deadline = self._run.clock.monotonic() + self._run.settings.drain_seconds
        # Slow calls may outlast this process: what is finished is saved before waiting for them.
        self._flush(last=False)
        while self._in_flight and (left := deadline - self._run.clock.monotonic()) > 0:
            self._check_lease()
            self._receive(min(left, MAX_WAIT_SECONDS))
        for call in self._in_flight:
            self._guard.presume_spent(call)
        self._in_flight.clear()
        self._flush(last=True)

    def _check_lease(self) -> None:
        if self._control.reason is StopReason.LEASE_LOST:
            raise LeaseLostError("another worker owns this work now")

    def _flush(self, *, last: bool) -> None:
        self._check_lease()
        self._saver.flush(self._unfinished, last=last)
        self._run.on_progress(self._saver.progress)

    def _unfinished(self) -> tuple[int, Mapping[int, Partial | None]]:
        finished = self._saver.finished
        unfinished = {
            index: task.partial for index, task in self._open.items() if index not in finished
        }
        for index, partial in self._saver.partials.items():
            if index not in finished and index not in unfinished:
                unfinished[index] = partial
        # Indices that an earlier run left behind and this one has not reached yet.
        for index in itertools.takewhile(
            lambda index: index < self._next_index, finished.missing()
        ):
            unfinished.setdefault(index, None)
        return self._next_index, unfinished

    # ── from index to prompt ───────────────────────────────────────────────────────────────────

    def _take(self) -> RecordTask | None:
        """The next index as a task. Raises `BudgetExceededError` when booked cost has reached the
        limit (cost equal to the limit counts as exceeded, requirement S8.7).
        """
        if self._indices is None or self._saver.room <= len(self._open):
            return None
        index = next(self._indices, None)
        if index is None:
            self._indices = None
            return None
        if self._run.costs.calculate_current_cost(self._run.job.job_id) >= self._budget_usd:
            raise self._over_budget()
        job = self._run.job
        chosen = draw(
            job.job_id,
            index,
            rows=len(self._run.seeds),
            strategy=job.config.seed_strategy,
        )
        seed = self._run.seeds[chosen.row]
        task = RecordTask(
            job_id=job.job_id,
            index=index,
            seed=seed,
            seed_id=seed_id(seed, chosen.row),
            draw=chosen,
            plan=self._run.plan,
        )
        partial = self._saver.partials.get(index)
        if partial is not None:
            task.resume(partial)
        self._open[index] = task
        self._next_index = max(self._next_index, index + 1)
        return task

    def _render_ahead(self) -> None:
        """Keep enough prompts ready that a reply is answered with the next call at once.

        Records that are on their way go first: a record ends sooner, and fewer are open at a time.
        """
        if self._to_render:
            tasks, self._to_render = self._to_render, []
            self._render(tasks)
        if len(self._ready) >= self._ahead:
            return
        fresh: list[RecordTask] = []
        while len(fresh) < self._ahead and (task := self._take()) is not None:
            if task.finished:
                self._finish(task, tokens=0)
            else:
                fresh.append(task)
        if fresh:
            self._render(fresh)

    def _render(self, tasks: Sequence[RecordTask]) -> None:
        requests: list[RenderRequest] = []
        for task in tasks:
            requests += self._render_requests(task)
        texts = iter(self._execute(requests))
        for task in tasks:
            prompt = next(texts)
            system = next(texts) if task.step.step.system is not None else None
            error = next((each for each in (prompt, system) if isinstance(each, RenderError)), None)
            if error is not None:
                self._fail(task, task.failure(error.code, str(error)), tokens=0, paid=False)
                continue
            task.prompt, task.system = str(prompt), None if system is None else str(system)
            if task.results:
                self._ready.appendleft(task)
            else:
                self._ready.append(task)

    def _render_requests(self, task: RecordTask) -> list[RenderRequest]:
        prompt = RenderRequest(
            step_id=task.step.step.id,
            index=task.index,
            seed=task.seed,
            steps=task.results,
            entropy=task.draw.filter_entropy,
        )
        if task.step.step.system is None:
            return [prompt]
        return [prompt, replace(prompt, part="system")]

    def _execute(self, requests: Sequence[RenderRequest]) -> Sequence[str | RenderError]:
        """Render in one round trip. If that fails as a whole, one by one, so that a defect costs
        the records that meet it and not the job (requirement S5.7).
        """
        engine = self._run.engine
        try:
            return engine.execute_template(requests)
        except Exception:  # noqa: BLE001 - logged here, counted below
            _log.exception("rendering failed as a batch")
        texts: list[str | RenderError] = []
        for request in requests:
            try:
                texts += engine.execute_template([request])
            except Exception as error:  # noqa: BLE001 - counted as a failed record
                texts.append(RenderError(f"rendering failed: {type(error).__name__}"))
        return texts

    # ── from prompt to reply ───────────────────────────────────────────────────────────────────

    def _dispatch(self) -> None:
        for _ in range(len(self._ready)):
            task = self._ready[0]
            model = task.step.model
            if self._in_flight_of[model] >= self._limiters[model].window:
                if len(self._limiters) == 1:
                    return
                self._ready.rotate(-1)  # another model may have room
                continue
            request = task.request()
            call = next(self._calls)
            cover = self._guard.reserve(call, task.step.worst_case(request))
            if cover is not Cover.GRANTED:
                if cover is Cover.EXHAUSTED and not self._in_flight:
                    raise self._over_budget()
                # Calls in flight will settle below their worst case and make room.
                return
            self._ready.popleft()
            self._run.crash_point("after_reserve")
            task.calls += 1
            self._in_flight[call] = task
            self._in_flight_of[model] += 1
            self._run.pool.submit(call, request)

    def _over_budget(self) -> BudgetExceededError:
        return BudgetExceededError(
            f"the budget of {usd(self._guard.limit_nano)} is used up: {usd(self._guard.spent_nano)}"
            f" spent, {self._saver.progress.records_generated} of"
            f" {self._run.job.config.num_records} records generated"
        )

    def _patience(self) -> float:
        """How long to wait for a reply before something else is due."""
        now = self._run.clock.monotonic()
        if self._complete():
            return 0.0
        waits = [MAX_WAIT_SECONDS]
        if self._waiting:
            waits.append(self._waiting[0][0] - now)
        if (due := self._saver.seconds_to_flush()) is not None:
            waits.append(due)
        if now - self._last_reply >= STALL_SECONDS:
            raise ModelsFailingError(
                f"no model has answered for {STALL_SECONDS / 60:.0f} minutes: check quota and "
                "service health, then run the job again; everything generated is kept"
            )
        return max(min(waits), 0.0)

    def _wake_waiting(self) -> None:
        now = self._run.clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._waiting)[2])

    def _receive(self, timeout: float) -> None:
        completions = self._run.pool.wait(timeout)
        for completion in completions:
            self._completed(completion)
        if completions:
            self._run.on_progress(self._saver.progress)

    def _completed(self, completion: Completion) -> None:
        self._run.crash_point("after_call")
        task = self._in_flight.pop(completion.call)
        self._in_flight_of[task.step.model] -= 1
        if isinstance(completion.result, ModelError):
            self._refused(completion.call, task, completion.result)
        else:
            self._answered(completion.call, task, completion.result)

    # ── from reply to record ───────────────────────────────────────────────────────────────────

    def _answered(self, call: int, task: RecordTask, reply: ModelReply) -> None:
        step = task.step
        self._last_reply = self._run.clock.monotonic()
        self._limiters[step.model].succeeded()
        self._settle(call, task, reply)
        tokens = reply.usage.total if reply.usage else 0
        failure = task.answered(reply)
        if failure is not None:
            self._fail(task, failure, tokens=tokens)
        elif task.finished:
            self._finish(task, tokens=tokens)
        else:
            self._saver.paid(task.index, task.partial, tokens)
            if task.prompt is None:
                self._to_render.append(task)
            else:
                self._ready.appendleft(task)

    def _settle(self, call: int, task: RecordTask, reply: ModelReply) -> None:
        try:
            if reply.usage is not None:
                self._guard.settle(call, task.step.price.cost(reply.usage))
                return
            self._log_record(logging.WARNING, "reply without usage", task)
        except PriceError as error:
            # Billed in a way the table has no price for: the worst case is the safe reading.
            self._log_record(logging.ERROR, "usage without a price", task, error=str(error))
        self._guard.presume_spent(call)

    def _refused(self, call: int, task: RecordTask, error: ModelError) -> None:
        now = self._run.clock.monotonic()
        rule = RULES[error.kind]
        if rule.presume_spent:
            self._guard.presume_spent(call)
        else:
            self._guard.release(call)
        if rule.slows_dispatch:
            self._limiters[task.step.model].refused(now)
        delay = decide(error.kind, task.attempts, jitter=self._run.rng.random())
        self._log_record(
            logging.WARNING,
            "model call failed",
            task,
            kind=str(error.kind),
            service_code=error.service_code,
            attempt=task.attempts.total,
            retry_seconds=delay,
        )
        if error.kind is ModelErrorKind.FATAL:
            self._error = self._error or error
        elif delay is not None:
            heapq.heappush(self._waiting, (now + delay, task.index, task))
        else:
            self._fail(task, task.failure(str(error.kind), str(error)), tokens=0)

    def _finish(self, task: RecordTask, *, tokens: int) -> None:
        self._close(task)
        self._failed_in_a_row = 0
        self._saver.record(
            Record(
                job_id=task.job_id,
                index=task.index,
                timestamp=self._run.clock.now(),
                seed_data_id=task.seed_id,
                generation_result=task.results,
            ),
            tokens,
        )

    def _fail(self, task: RecordTask, failure: Failure, *, tokens: int, paid: bool = True) -> None:
        self._close(task)
        self._log_record(
            logging.WARNING, "record failed", task, kind=failure.kind, attempts=failure.attempts
        )
        self._saver.failure(failure, tokens)
        if not paid:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MAX_CONSECUTIVE_FAILURES and self._error is None:
            self._error = ModelsFailingError(
                f"{self._failed_in_a_row} records failed one after the other, the last with "
                f"{failure.kind}: {failure.message}"
            )

    def _close(self, task: RecordTask) -> None:
        self._open.pop(task.index, None)
        self._saver.partials.pop(task.index, None)

    def _log_record(self, level: int, message: str, task: RecordTask, **fields: Any) -> None:
        step = None if task.finished else task.step.step.id
        event(_log, level, message, job_id=task.job_id, record=task.index, step=step, **fields)

"""The loop that generates a job's records.

One thread owns all state; a pool of threads only calls the model. Each turn of the loop

    saves what is due ─▶ renders ahead ─▶ dispatches what limiter and budget allow ─▶ takes replies

A record walks through its steps as a `RecordTask`: rendered, reserved, called, settled, read, and
again for the next step or one repair, until it is a record or a failure.
"""

import heapq
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from runtime.domain.errors import (
    BudgetExceededError,
    LeaseLostError,
    ModelAccessError,
    ModelError,
    ModelErrorKind,
    NoCreditError,
    QuotaUsedUpError,
    RenderError,
    SchemaRefusedError,
    SeedwrightError,
)
from runtime.domain.jobs.record import Failure, is_skipped
from runtime.domain.models.calls import ModelReply
from runtime.domain.models.retry import is_service_failure
from runtime.engine.record_task import RecordTask
from runtime.worker.activity_report import ActivityReport
from runtime.worker.control import StopReason
from runtime.worker.dispatch import Dispatch
from runtime.worker.limits import Limits
from runtime.worker.losing_streak import LosingStreak
from runtime.worker.pool import Completion
from runtime.worker.prompts import Prompts
from runtime.worker.record_log import log_record
from runtime.worker.run import Run
from runtime.worker.settlement import Settlement
from runtime.worker.switching import quick_switches
from runtime.worker.task_lines import record_of, rejected_of

_log = logging.getLogger(__name__)

MAX_AHEAD: Final = 32
"""Fresh records rendered in one round trip to the render child, and ahead of their calls."""

MAX_WAIT_SECONDS: Final = 0.5
"""Longest sleep of the owner thread, so that nothing that lacks a wake-up is seen late."""

HELD_UP_SECONDS: Final = 0.05
"""Pause before a call that could go, but for a lease or an account in doubt, is tried again."""


class Generation:
    """Runs once. `run` returns why it stopped early, or None when every index is finished."""

    def __init__(self, run: Run, *, next_index: int) -> None:
        self._run = run
        self._saver = run.saver
        self._saver.tally.judges.update(run.plan.judges)
        self._settlement = Settlement(run.guard, run.saver)
        self._control = run.control
        self._limits = Limits(run)
        self._prompts = Prompts(
            job=run.job,
            plan=run.plan,
            seeds=run.seeds,
            saver=run.saver,
            engine=run.engine,
            next_index=next_index,
            admit=self._limits.check_booked_cost,
            goal=run.goal,
        )
        self._calls = Dispatch(run)
        self._waiting: list[tuple[float, int, RecordTask]] = []
        self._arrived: deque[Completion] = deque()
        self._ahead = min(MAX_AHEAD, run.settings.concurrency)
        self._streak = LosingStreak(run.clock, longest_wait=run.plan.longest_wait)
        self._error: SeedwrightError | None = None
        self._activity = ActivityReport(run.clock, run.on_activity)
        self._ended_uncalled = False
        """Whether records ended in this turn without a call, so that there may be more at once."""
        self._has_fresh = False
        """Whether there were fresh records at the last look, so that there may be more."""

    @quick_switches()
    def run(self) -> StopReason | None:
        """Generate. Raises what ends the job: budget, fatal model errors, storage, a lost lease.
        Whatever it raises but a lost lease, everything paid for has been saved first.
        """
        self._control.on_stop(self._run.pool.wake)
        try:
            while not (self._error or self._control.reason or self._prompts.complete):
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
        return None if self._prompts.complete else self._control.reason

    def _turn(self) -> None:
        self._flush_if_due()
        self._wake_waiting()
        self._render_ahead()
        if self._prompts.must_confirm:
            self._confirm()
        self._dispatch()
        self._report_activity()
        self._receive(self._patience())

    def _report_activity(self) -> None:
        self._activity.report(
            in_flight=len(self._calls.in_flight),
            waiting_until=self._waiting[0][0] if self._waiting else None,
            probe_at=min(self._calls.probes(), default=None),
            last_reply=self._streak.last_reply,
        )

    # ── stopping ───────────────────────────────────────────────────────────────────────────────

    def _drain(self) -> None:
        """Begin nothing; keep what is paid for. Calls beyond the deadline are presumed spent."""
        self._check_lease()
        self._calls.withdraw()
        deadline = self._run.clock.monotonic() + self._run.settings.drain_seconds
        # Slow calls may outlast this process: what is finished is saved before waiting for them.
        self._flush(last=False)
        while self._calls.in_flight and (left := deadline - self._run.clock.monotonic()) > 0:
            self._check_lease()
            self._report_activity()
            self._receive(min(left, MAX_WAIT_SECONDS))
        for call, task in self._calls.in_flight.items():
            self._settlement.presume_spent(call, task)
        self._calls.in_flight.clear()
        self._flush(last=True)

    def _check_lease(self) -> None:
        if self._control.reason is StopReason.LEASE_LOST:
            raise LeaseLostError("another worker owns this work now")

    def _flush_if_due(self) -> None:
        due = self._saver.seconds_to_flush()
        if due is not None and due <= 0:
            self._flush(last=False)

    def _flush(self, *, last: bool) -> None:
        self._check_lease()
        self._saver.flush(self._prompts.unfinished, last=last)
        self._run.on_progress(self._saver.progress)

    def _confirm(self) -> None:
        """Once nothing is open: are there enough records, as the dataset's own checks see them?"""
        if not self._saver.is_failing:
            self._flush(last=False)
        if self._saver.is_saved:
            self._prompts.confirm()
            self._saver.left_out = self._run.goal.left_out

    # ── from index to prompt ───────────────────────────────────────────────────────────────────

    def _render_ahead(self) -> None:
        """Keep enough prompts ready that a reply is answered with the next call at once.

        Records that are on their way go first: a record ends sooner, and fewer are open at a time.
        """
        self._ended_uncalled = False
        self._prompts.begin_last_pass()
        for task, error in self._prompts.render_waiting():
            self._take_prompt(task, error, self._calls.ready.appendleft)
        if len(self._calls.ready) < self._ahead:
            fresh = self._prompts.render_fresh(self._ahead)
            self._has_fresh = bool(fresh)
            for task, error in fresh:
                self._take_prompt(task, error, self._calls.ready.append)

    def _take_prompt(
        self,
        task: RecordTask,
        error: RenderError | None,
        queue: Callable[[RecordTask], None],
    ) -> None:
        self._keep_rejected(task, tokens=0)
        if error is not None:
            self._ended_uncalled = True
            self._fail(task, task.failure(error.code, str(error)), tokens=0)
        elif task.is_rejected:
            self._ended_uncalled = True
            self._prompts.close_rejected(task)
        elif task.finished:
            # It skipped what was left, or an earlier run was stopped before the record was made.
            self._ended_uncalled = True
            self._finish(task, tokens=0)
        else:
            queue(task)

    # ── from prompt to reply ───────────────────────────────────────────────────────────────────

    def _dispatch(self) -> None:
        if not self._control.lease_trusted():
            # A process that was stopped for longer than its lease: a successor may be paying for
            # the same records. The heartbeat finds out at once whether there is one.
            return
        # All models share the threads of the pool: a call that waited for one would be covered by
        # the budget, and after a crash be presumed to be paid, without ever having been sent.
        # While a batch can't be saved there is less room: what is paid for beyond it is limited.
        room = min(self._run.settings.concurrency, self._saver.room)
        needed = self._calls.send(room=room)
        for task in self._calls.unjudged:
            self._ended_uncalled = True
            self._prompts.render_later(task)
        self._calls.unjudged.clear()
        if self._calls.used_up is not None:
            raise self._limits.stopped_by(BudgetExceededError(self._calls.used_up))
        if needed is not None:
            raise self._limits.over_budget(next_nano=needed)

    def _patience(self) -> float:
        """How long to wait for a reply before something else is due."""
        now = self._run.clock.monotonic()
        if self._prompts.complete or self._ended_uncalled:
            return 0.0
        if self._has_fresh and not self._calls.ready:
            return 0.0  # all that was rendered went out, and there may be room for more
        waits = [MAX_WAIT_SECONDS]
        if self._waiting:
            waits.append(self._waiting[0][0] - now)
        if (due := self._saver.seconds_to_flush()) is not None:
            waits.append(due)
        if self._calls.ready:
            # One that is due and was not sent is held up by something else: lease or account.
            waits += [max(probe - now, HELD_UP_SECONDS) for probe in self._calls.probes()]
        if (error := self._streak.stalled()) is not None and not self._prompts.give_up():
            raise error
        return max(min(waits), 0.0)

    def _wake_waiting(self) -> None:
        now = self._run.clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._calls.ready.appendleft(heapq.heappop(self._waiting)[2])

    def _receive(self, timeout: float) -> None:
        # Kept here, so that a flush that fails between two replies doesn't lose the others.
        self._arrived += self._run.pool.wait(0.0 if self._arrived else timeout)
        arrived = bool(self._arrived)
        self._run.checks.ask_ahead(
            (step.step.id, step.reader, each.result.text)
            for each in self._arrived
            if isinstance(each.result, ModelReply)
            for step in [self._calls.in_flight[each.call].step]
        )
        while self._arrived:
            self._completed(self._arrived.popleft())
            self._flush_if_due()  # however many replies come at once, a batch has its size
        if arrived:
            self._run.on_progress(self._saver.progress)

    def _completed(self, completion: Completion) -> None:
        self._run.crash_point("after_call")
        task = self._calls.came_back(completion.call, completion.result)
        if isinstance(completion.result, ModelError):
            self._refused(completion.call, task, completion.result)
        else:
            self._answered(completion.call, task, completion.result)

    # ── from reply to record ───────────────────────────────────────────────────────────────────

    def _answered(self, call: int, task: RecordTask, reply: ModelReply) -> None:
        self._streak.answered()
        self._settlement.settle(call, task, reply)
        tokens = reply.usage.total if reply.usage else 0
        failure = task.answered(reply)
        tokens = self._keep_rejected(task, tokens=tokens)
        if failure is not None:
            self._fail(task, failure, tokens=tokens)
        elif task.is_rejected:
            self._prompts.close_rejected(task)
        elif task.finished:
            self._finish(task, tokens=tokens)
        else:
            self._saver.paid(task.index, task.partial, tokens)
            if task.prompt is None:
                self._prompts.render_later(task)
            else:
                self._calls.ready.appendleft(task)

    def _refused(self, call: int, task: RecordTask, error: ModelError) -> None:
        self._settlement.failed(call, task, error.kind)
        if isinstance(error, SchemaRefusedError) and not task.in_words:
            # Nothing is wrong with the record: it goes again at once, with the schema in words.
            log_record(logging.WARNING, "output schema not compiled", task, error=str(error))
            self._calls.ready.appendleft(task)
            return
        now = self._run.clock.monotonic()
        jitter = self._run.rng.random()
        self._calls.failed(task, error, jitter=jitter)
        delay = task.failed(error, jitter=jitter)
        log_record(
            logging.WARNING,
            "model call failed",
            task,
            kind=str(error.kind),
            service_code=error.service_code,
            attempt=task.attempts.total,
            retry_seconds=delay,
        )
        if error.kind is ModelErrorKind.FATAL:
            fatal = ModelAccessError(str(error)) if error.denied else error
            self._error = self._error or fatal
        elif error.kind is ModelErrorKind.QUOTA_USED_UP:
            self._error = self._error or QuotaUsedUpError(str(error), retry_after=error.retry_after)
        elif error.kind is ModelErrorKind.NO_CREDIT:
            self._error = self._error or NoCreditError(str(error))
        elif delay is not None:
            self._settlement.retried(task)
            self._activity.failed(error.kind)
            heapq.heappush(self._waiting, (now + delay, task.index, task))
        else:
            self._fail(task, task.failure(str(error.kind), str(error)), tokens=0)

    def _keep_rejected(self, task: RecordTask, *, tokens: int) -> int:
        """Save the tries of the task that checks have rejected since; the tokens that are still to
        be counted.
        """
        for each in task.rejections:
            self._saver.reject(rejected_of(task, each, self._run.clock.now()), tokens)
            self._error = self._error or self._streak.rejected(each.rejected_by)
            tokens = 0
        task.rejections.clear()
        return tokens

    def _finish(self, task: RecordTask, *, tokens: int) -> None:
        self._prompts.close(task)
        self._streak.finished()
        for step in task.plan.steps:
            if is_skipped(task.results[step.step.id]):
                self._saver.tally.skipped(step.step.id, step.model)
        record = record_of(task, self._run.clock.now())
        self._saver.record(record, tokens)
        self._run.goal.passed(record.index, record.document())
        self._saver.left_out = self._run.goal.left_out

    def _fail(self, task: RecordTask, failure: Failure, *, tokens: int) -> None:
        log_record(
            logging.WARNING, "record failed", task, kind=failure.kind, attempts=failure.attempts
        )
        if not self._saver.failure(failure, tokens):
            self._prompts.close_rejected(task)  # an earlier owner has ended it, or that try of it
        elif is_service_failure(failure.kind):
            self._prompts.postpone(task)
        else:
            self._prompts.close(task)
        error = self._streak.failed(failure)
        if error is not None and not self._prompts.give_up():
            self._error = self._error or error

"""What a call has cost and how it ended: on the account, and in the figures of the job."""

import logging

from runtime.domain.errors import ModelErrorKind, PriceError
from runtime.domain.models.calls import ModelReply, Usage
from runtime.domain.models.retry import RULES
from runtime.engine.outputs import CUT_STOP_REASON, REFUSED_STOP_REASONS
from runtime.engine.record_task import RecordTask
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.record_log import log_record
from runtime.worker.saver import Saver


class Settlement:
    """Settles the reservations of calls, and counts them by step. Asked before the task takes its
    reply in: only then the task still says what it asked for.
    """

    def __init__(self, guard: BudgetGuard, saver: Saver) -> None:
        self._guard = guard
        self._saver = saver
        self._tally = saver.tally

    def settle(self, call: int, task: RecordTask, reply: ModelReply) -> None:
        """Book what `reply` was billed."""
        step, model = task.step.step.id, task.step.model
        self._tally.replied(
            step,
            model,
            cut=reply.stop_reason == CUT_STOP_REASON,
            refused=reply.stop_reason in REFUSED_STOP_REASONS,
            repair=task.invalid is not None,
        )
        self._count_way(task)
        try:
            if reply.usage is not None:
                cost = task.step.price.cost(reply.usage)
                self._guard.settle(call, cost)
                self._saver.spent(model, cost)
                self._tally.settled(step, model, reply.usage, cost)
                return
            log_record(logging.WARNING, "reply without usage", task)
        except PriceError as error:
            # Billed in a way the table has no price for: the worst case is the safe reading.
            log_record(logging.ERROR, "usage without a price", task, error=str(error))
        self.presume_spent(call, task, reply.usage)

    def presume_spent(self, call: int, task: RecordTask, usage: Usage | None = None) -> None:
        """Book the worst case of a call whose fate, or whose price, is not known."""
        nano = self._guard.presume_spent(call)
        self._saver.spent(task.step.model, nano)
        self._tally.presumed_spent(task.step.step.id, task.step.model, nano, usage)

    def failed(self, call: int, task: RecordTask, kind: ModelErrorKind) -> None:
        """Book a call that gave no completion: its worst case, or nothing."""
        if kind is not ModelErrorKind.NOT_SENT:
            self._count_way(task)
        if RULES[kind].presume_spent:
            self.presume_spent(call, task)
            return
        self._guard.release(call)
        if kind is not ModelErrorKind.NOT_SENT:
            self._tally.not_billed(task.step.step.id, task.step.model)

    def retried(self, task: RecordTask) -> None:
        """The call that failed will be made again."""
        self._tally.retried(task.step.step.id, task.step.model)

    def _count_way(self, task: RecordTask) -> None:
        if task.in_words:
            self._tally.in_words(task.step.step.id, task.step.model)

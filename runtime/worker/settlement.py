"""What a call has cost: on the account, and by model in the figures of the job."""

import logging

from runtime.domain.errors import PriceError
from runtime.domain.models.calls import ModelReply
from runtime.engine.record_task import RecordTask
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.record_log import log_record
from runtime.worker.saver import Saver


class Settlement:
    """Settles the reservations of calls."""

    def __init__(self, guard: BudgetGuard, saver: Saver) -> None:
        self._guard = guard
        self._saver = saver

    def settle(self, call: int, task: RecordTask, reply: ModelReply) -> None:
        """Book what `reply` was billed."""
        try:
            if reply.usage is not None:
                cost = task.step.price.cost(reply.usage)
                self._guard.settle(call, cost)
                self._saver.spent(task.step.model, cost)
                return
            log_record(logging.WARNING, "reply without usage", task)
        except PriceError as error:
            # Billed in a way the table has no price for: the worst case is the safe reading.
            log_record(logging.ERROR, "usage without a price", task, error=str(error))
        self.presume_spent(call, task)

    def presume_spent(self, call: int, task: RecordTask) -> None:
        """Book the worst case of a call whose fate, or whose price, is not known."""
        self._saver.spent(task.step.model, self._guard.presume_spent(call))

"""What everybody may see of a job once it is saved: money on its account, counters, cost."""

import logging

from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.job import Progress
from runtime.domain.ports import Claim
from runtime.logs import event
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.costs import Costs
from runtime.worker.status_writer import Jobs

_log = logging.getLogger(__name__)


class Publisher:
    """Publishes under one claim. `begin` says where it begins."""

    def __init__(self, claim: Claim, *, guard: BudgetGuard, jobs: Jobs, costs: Costs) -> None:
        self._claim = claim
        self._guard = guard
        self._jobs = jobs
        self._costs = costs
        self._serial = 0
        self._recorded_nano = 0
        self._recorded_tokens = 0

    def begin(self, *, tokens: int) -> None:
        """Earlier claims have recorded their cost and `tokens`. What a predecessor left in doubt
        was booked just now and belongs into the cost table too.
        """
        self._recorded_nano = self._guard.spent_nano - self._guard.presumed_nano
        self._recorded_tokens = tokens

    def publish(self, progress: Progress) -> None:
        """Book, show the counters, record the cost since the last time. Raises `LeaseLostError`."""
        try:
            self._guard.book()
        except StorageUnavailableError:
            # The hold covers it; the next flush books it.
            event(_log, logging.WARNING, "cost not booked", job_id=self._claim.job_id)
        self._jobs.update_job_progress(self._claim, progress)
        cost = progress.cost_nano - self._recorded_nano
        tokens = progress.tokens_used - self._recorded_tokens
        if cost or tokens:
            self._serial += 1
            self._costs.update_cost_tracking(
                self._claim, serial=self._serial, cost_nano=cost, tokens=tokens
            )
            self._recorded_nano, self._recorded_tokens = progress.cost_nano, progress.tokens_used

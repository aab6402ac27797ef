"""When the budget ends a run, and what its user reads."""

from runtime.domain.errors import BudgetExceededError
from runtime.domain.money.amounts import exact_usd
from runtime.worker.ending import how_far
from runtime.worker.run import Run


class Limits:
    """Of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._budget_usd = exact_usd(run.guard.limit_nano)

    def check_booked_cost(self) -> None:
        """Asked before each record. Cost equal to the limit counts as exceeded (requirement S8.7);
        the ledger holds the limit in any case. Raises `BudgetExceededError`.
        """
        if self._run.costs.calculate_current_cost(self._run.job.job_id) >= self._budget_usd:
            raise self.over_budget()

    def over_budget(self, *, next_nano: int = 0) -> BudgetExceededError:
        """Nothing is left for a call that may cost so much."""
        return self.stopped_by(self._run.guard.exceeded(next_nano=next_nano))

    def stopped_by(self, error: BudgetExceededError) -> BudgetExceededError:
        """The error, and how far the job has come."""
        config = self._run.job.config
        if config.sharding is not None:
            return error  # its records are a part of the job's, whose own work counts them all
        far = how_far(self._run.saver.progress, config.num_records)
        return BudgetExceededError(f"{error}, {far}")

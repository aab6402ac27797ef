"""What a job has cost, as the cost table shows it: a second opinion beside the ledger.

The ledger in the worker is what enforces the budget. This is what users and dashboards read, and
what a worker checks before each record, so that cost booked by anybody else counts too.
"""

import logging
from decimal import Decimal

from runtime.domain.errors import SeedwrightError
from runtime.domain.money.amounts import exact_usd
from runtime.domain.ports import Claim, Clock, CostStore
from runtime.logs import event

_log = logging.getLogger(__name__)


class Costs:
    """Adds entries and reads their sum, which is cached for `refresh_seconds`."""

    def __init__(self, store: CostStore, clock: Clock, *, refresh_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._job_id: str | None = None
        self._read_at = float("-inf")
        self._known = Decimal(0)

    def calculate_current_cost(self, job_id: str) -> Decimal:
        """USD booked for the job. 0 when the table can't be read (requirement S8.6)."""
        now = self._clock.monotonic()
        if job_id != self._job_id or now - self._read_at >= self._refresh_seconds:
            self._job_id, self._read_at = job_id, now
            try:
                self._known = exact_usd(self._store.total(job_id))
            except SeedwrightError as error:
                event(_log, logging.WARNING, "cost not read", job_id=job_id, error=error.code)
                self._known = Decimal(0)
        return self._known

    def update_cost_tracking(
        self, claim: Claim, *, serial: int, cost_nano: int, tokens: int
    ) -> int:
        """Add what was spent since the last entry; `serial` numbers the entries of a claim.

        Returns the cost, also when the write failed: that is logged, and the ledger has it.
        """
        # Fences are counted per work item: two shards have the same ones.
        shard = "" if claim.shard is None else f"shard-{claim.shard:04d}-"
        try:
            self._store.add(
                claim.job_id,
                entry_id=f"{shard}{claim.fence:08d}-{serial:08d}",
                cost_nano=cost_nano,
                tokens=tokens,
            )
        except SeedwrightError as error:
            event(
                _log,
                logging.WARNING,
                "cost not recorded",
                job_id=claim.job_id,
                error=error.code,
            )
        return cost_nano

"""Keeps a worker's ledger covered by a hold on the job's account."""

import logging
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from runtime.contract.log_lines import COST_ABOVE_WORST_CASE
from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    SeedwrightError,
    StorageUnavailableError,
)
from runtime.domain.money.accounts import Account, BudgetStore
from runtime.domain.money.amounts import usd
from runtime.domain.money.ledger import HoldChange, Ledger, take_over
from runtime.domain.ports import Claim, Clock
from runtime.logs import event
from runtime.worker.control import Control, StopReason

_log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Pause before an account that could not be reached is asked again."""


class Reservation(Enum):
    """Whether a call may start."""

    GRANTED = auto()
    EXHAUSTED = auto()
    """The account has no room for it, unless calls in flight cost less than their worst case."""
    UNREACHABLE = auto()
    """The account can't be asked now. Without cover nothing is dispatched."""


class BudgetGuard:
    """Reserves for calls and grows the hold in slices, so that most calls write nothing."""

    def __init__(
        self, store: BudgetStore, claim: Claim, clock: Clock, *, limit_nano: int, concurrency: int
    ) -> None:
        self._store = store
        self._claim = claim
        self._clock = clock
        self._limit_nano = limit_nano
        self._concurrency = concurrency
        self._retry_at = float("-inf")
        account = store.open_account(claim.job_id, limit_nano)
        change = take_over(account.holds.get(claim.work_id), fence=claim.fence)
        self._ledger = Ledger(change.new)
        self._doubt: HoldChange | None = None
        self._account = self._write(change)
        self._booked = change.spent_nano

    @property
    def limit_nano(self) -> int:
        """The job's budget."""
        return self._limit_nano

    @property
    def spent_nano(self) -> int:
        """Everything booked or settled so far, calls in flight excluded."""
        return self._account.spent_nano + self._ledger.settled_nano

    @property
    def claim_nano(self) -> int:
        """What this claim has spent, what its predecessor left in doubt included."""
        return self._booked + self._ledger.settled_nano

    def reserve(self, call: int, nano: int) -> Reservation:
        """Set `nano` aside for `call`, growing the hold if it must be."""
        if not self._ledger.covers(nano):
            reservation = self._grow(nano)
            if reservation is not Reservation.GRANTED:
                return reservation
        self._ledger.reserve(call, nano)
        return Reservation.GRANTED

    def exceeded(self, records: str, *, next_nano: int) -> BudgetExceededError:
        """Why nothing more is begun; `records` says how far it got. `next_nano` is the most that
        the next call may cost, where that is the reason.
        """
        limit = usd(self._limit_nano)
        if next_nano > self._limit_nano:
            return BudgetExceededError(
                f"the budget of {limit} is too small for one call: the next may cost up to"
                f" {usd(next_nano)}; {records}"
            )
        next_call = f", the next call may cost up to {usd(next_nano)}" if next_nano else ""
        return BudgetExceededError(
            f"the budget of {limit} is used up: {usd(self.spent_nano)} spent{next_call}, {records}"
        )

    def settle(self, call: int, nano: int) -> None:
        """The call cost `nano`."""
        if not self._ledger.settle(call, nano):
            event(
                _log,
                logging.ERROR,
                COST_ABOVE_WORST_CASE,
                job_id=self._claim.job_id,
                cost_nano=nano,
            )

    def release(self, call: int) -> None:
        """The call was certainly not billed."""
        self._ledger.release(call)

    def presume_spent(self, call: int) -> int:
        """Nobody knows whether the call was billed."""
        return self._ledger.presume_spent(call)

    def book(self) -> None:
        """Write what is settled to the account and keep the room there is."""
        if self._ledger.settled_nano:
            self._resolve_doubt()
            hold, settled = self._ledger.hold.nano, self._ledger.settled_nano
            room = max(hold - settled - self._ledger.reserved_nano, 0)
            self._book(self._ledger.change(room))

    def close(self) -> None:
        """Book everything, calls in flight at their worst case, and give the rest back."""
        self._ledger.presume_all_spent()
        self._resolve_doubt()
        self._book(self._ledger.change(0))

    def _grow(self, nano: int) -> Reservation:
        if self._clock.monotonic() < self._retry_at:
            return Reservation.UNREACHABLE
        # A slice is worth many typical calls, and small beside what is in flight anyway: it is what
        # a killed worker leaves in doubt. Near the limit the slice shrinks to the one call.
        slice_nano = max(4 * nano, self._concurrency * nano // 8)
        for room in (slice_nano, nano):
            try:
                self._resolve_doubt()
                self._apply(self._ledger.change(room))
            except BudgetExceededError:
                continue
            except StorageUnavailableError:
                self._retry_at = self._clock.monotonic() + RETRY_SECONDS
                event(_log, logging.WARNING, "budget not reachable", job_id=self._claim.job_id)
                return Reservation.UNREACHABLE
            return Reservation.GRANTED
        return Reservation.EXHAUSTED

    def _book(self, change: HoldChange) -> None:
        try:
            self._apply(change)
        except BudgetExceededError:
            # Only a bill above its worst case needs more than the hold. It is owed all the same:
            # the account lets it in, stands above the limit then, and nothing more starts.
            job_id = self._claim.job_id
            held = change.expected.nano if change.expected else 0
            owed = change.spent_nano + change.new.nano - held
            self._store.open_account(job_id, self._store.get_account(job_id).committed_nano + owed)
            try:
                self._apply(change, owed=True)
            finally:
                self._store.open_account(job_id, self._limit_nano)

    def _apply(self, change: HoldChange, *, owed: bool = False) -> None:
        self._doubt = change
        try:
            self._account = self._write(change, owed=owed)
        except (BudgetExceededError, ConflictError, LeaseLostError):
            self._doubt = None  # refused, so certainly not made
            raise
        self._doubt = None
        self._booked += change.spent_nano
        self._ledger.changed(change)

    def _resolve_doubt(self) -> None:
        """Send a change again whose reply never came: it may have been made, and then every other
        change would start from a hold that is gone.
        """
        if self._doubt is not None:
            with suppress(BudgetExceededError):
                self._apply(self._doubt)

    def _write(self, change: HoldChange, *, owed: bool = False) -> Account:
        return self._store.change_hold(
            self._claim.job_id,
            self._claim.work_id,
            expected=change.expected,
            new=change.new,
            spent_nano=change.spent_nano,
            owed=owed,
        )


def close_guard(guard: BudgetGuard, claim: Claim, control: Control) -> None:
    """Give back what was held. A hold that stays is presumed spent by the next claim, so failing
    here is safe, only less exact.
    """
    if control.reason is StopReason.LEASE_LOST:
        return
    try:
        guard.close()
    except SeedwrightError as error:
        event(_log, logging.WARNING, "hold not returned", job_id=claim.job_id, error=error.code)

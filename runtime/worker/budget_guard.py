"""Keeps a worker's ledger covered by a hold: on its job's account, or in the slice of its shard."""

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
from runtime.domain.jobs.job import Job
from runtime.domain.money.accounts import BudgetStore
from runtime.domain.money.amounts import usd
from runtime.domain.money.ledger import HoldChange, Ledger, take_over
from runtime.domain.money.slices import take_back
from runtime.domain.ports import Claim, Clock
from runtime.logs import event
from runtime.worker.control import Control, StopReason
from runtime.worker.funds import Funds, JobFunds, SliceFunds

_log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Pause before an account that could not be reached is asked again."""

SCARCE_SECONDS: Final = 5.0
"""Pause of a shard between two requests for more once the job's account is all but empty: until
then the calls in flight make room. Else all shards would write to that account for every call.
"""

RETURN_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Pauses of a shard without a call and without room, while others hold what they may not spend:
after the last one it stops. A call rarely takes longer than all of them.
"""


class Reservation(Enum):
    """Whether a call may start."""

    GRANTED = auto()
    EXHAUSTED = auto()
    """The account has no room for it, unless calls in flight cost less than their worst case."""
    UNREACHABLE = auto()
    """The account can't be asked now. Without cover nothing is dispatched."""
    AWAITED = auto()
    """Other shards of the job hold what they may not spend: there may be room in a moment."""


class BudgetGuard:
    """Reserves for calls and grows the hold some calls at a time, so that most write nothing.
    `shards` says of how many the claim is one; None: the job has no shards.
    """

    def __init__(
        self,
        store: BudgetStore,
        claim: Claim,
        clock: Clock,
        *,
        limit_nano: int,
        concurrency: int,
        shards: int | None = None,
    ) -> None:
        self._funds: Funds = (
            JobFunds(store, claim, limit_nano=limit_nano)
            if shards is None
            else SliceFunds(store, claim, limit_nano=limit_nano, shards=shards)
        )
        self._claim = claim
        self._clock = clock
        self._limit_nano = limit_nano
        self._concurrency = concurrency
        self._retry_at = float("-inf")
        self._until_then = Reservation.UNREACHABLE
        self._returns_awaited = 0
        change = take_over(self._funds.open(), fence=claim.fence)
        self.presumed_nano = change.spent_nano
        """What a predecessor left in doubt, booked as spent."""
        self._ledger = Ledger(change.new)
        self._doubt: HoldChange | None = None
        self._funds.write(change)

    @property
    def limit_nano(self) -> int:
        """The job's budget."""
        return self._limit_nano

    @property
    def spent_nano(self) -> int:
        """Everything that this work has booked or settled so far, calls in flight excluded."""
        return self._funds.spent_nano + self._ledger.settled_nano

    def reserve(self, call: int, nano: int) -> Reservation:
        """Set `nano` aside for `call`, growing the hold if it must be."""
        if not self._ledger.covers(nano):
            reservation = self._grow(nano)
            if reservation is not Reservation.GRANTED:
                return reservation
        self._ledger.reserve(call, nano)
        return Reservation.GRANTED

    def exceeded(self, *, next_nano: int) -> BudgetExceededError:
        """Why nothing more is begun. `next_nano` is the most that the next call may cost, where
        that is the reason.
        """
        limit = usd(self._limit_nano)
        if next_nano > self._limit_nano:
            return BudgetExceededError(
                f"the budget of {limit} is too small for one call: the next may cost up to"
                f" {usd(next_nano)}"
            )
        next_call = f", the next call may cost up to {usd(next_nano)}" if next_nano else ""
        spent = usd(self._funds.read_spent_by_job() + self._ledger.settled_nano)
        return BudgetExceededError(f"the budget of {limit} is used up: {spent} spent{next_call}")

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
        self._give_back()

    def _give_back(self) -> None:
        self._resolve_doubt()
        self._book(self._ledger.change(0))
        self._funds.close()

    def _grow(self, nano: int) -> Reservation:
        if self._clock.monotonic() < self._retry_at:
            return self._until_then
        try:
            if self._enlarge(nano):
                self._returns_awaited = 0
                if self._funds.scarce:
                    self._pause(SCARCE_SECONDS, Reservation.AWAITED)
                return Reservation.GRANTED
            return self._await_return(nano)
        except StorageUnavailableError:
            event(_log, logging.WARNING, "budget not reachable", job_id=self._claim.job_id)
            return self._pause(RETRY_SECONDS, Reservation.UNREACHABLE)

    def _enlarge(self, nano: int) -> bool:
        """Whether the hold has room for `nano` now."""
        # What is asked for is worth many typical calls, and no more than what is in flight anyway:
        # it is what a killed worker leaves in doubt. Near the limit it shrinks to the one call.
        for room in (self._funds.step_nano(nano, self._concurrency), nano):
            with suppress(BudgetExceededError):
                self._resolve_doubt()
                self._apply(self._ledger.change(room), wanted_nano=self._concurrency * nano)
                return True
        return False

    def _await_return(self, nano: int) -> Reservation:
        """What to do without room: other shards may give some back."""
        in_flight = self._ledger.reserved_nano > 0
        if not self._funds.may_come_back(nano, in_flight=in_flight):
            return Reservation.EXHAUSTED
        if in_flight:
            return self._pause(SCARCE_SECONDS, Reservation.AWAITED)
        if self._returns_awaited == len(RETURN_SECONDS):
            return Reservation.EXHAUSTED
        self._give_back()  # what is too little for a call here may be what another one lacks
        self._returns_awaited += 1
        return self._pause(RETURN_SECONDS[self._returns_awaited - 1], Reservation.AWAITED)

    def _pause(self, seconds: float, until_then: Reservation) -> Reservation:
        self._retry_at = self._clock.monotonic() + seconds
        self._until_then = until_then
        return until_then

    def _book(self, change: HoldChange) -> None:
        try:
            self._apply(change)
        except BudgetExceededError:
            # Only a bill above its worst case needs more than the hold. It is owed all the same.
            self._apply(change, owed=True)

    def _apply(self, change: HoldChange, *, wanted_nano: int = 0, owed: bool = False) -> None:
        self._doubt = change
        try:
            if owed:
                self._funds.write_owed(change)
            else:
                self._funds.write(change, wanted_nano=wanted_nano)
        except (BudgetExceededError, ConflictError, LeaseLostError):
            self._doubt = None  # refused, so certainly not made
            raise
        self._doubt = None
        self._ledger.changed(change)

    def _resolve_doubt(self) -> None:
        """Send a change again whose reply never came: it may have been made, and then every other
        change would start from a hold that is gone.
        """
        if self._doubt is not None:
            with suppress(BudgetExceededError):
                self._apply(self._doubt)


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


def return_slices(store: BudgetStore, job: Job, claim: Claim) -> None:
    """Give back what is free in slices of a job that ends or has ended: the job's own work in all
    of them, a shard in its own. What stays is committed, so failing here is safe.
    """
    sharding = job.config.sharding
    if sharding is None:
        return
    shards = range(sharding.count) if claim.shard is None else (claim.shard,)
    try:
        take_back(store, job.job_id, shards)
    except SeedwrightError as error:
        event(_log, logging.WARNING, "slices not returned", job_id=job.job_id, error=error.code)

"""Where a worker's hold comes out of: its job's account, or the slice of its shard."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from runtime.domain.errors import BudgetExceededError, ConflictError, SeedwrightError
from runtime.domain.money.accounts import Account, BudgetStore, Hold, Slice
from runtime.domain.money.ledger import HoldChange
from runtime.domain.money.slices import next_growth, spent_of, take_back
from runtime.domain.ports import Claim

_TRIES: Final = 5
"""Refusals in a row that only another shard, which was quicker, can explain."""


_LEAST_CALLS: Final = 4
_PART_OF_CALLS: Final = 8
"""A hold of a job in one piece grows by one such part of the calls that may be in flight."""


class Funds(Protocol):
    """One claim's way to its job's money. All methods raise what `BudgetStore` does."""

    @property
    def spent_nano(self) -> int:
        """Booked under this work id's account, as the last write left it."""
        ...

    @property
    def scarce(self) -> bool:
        """Whether the last write had to ask for more where hardly anything was left."""
        ...

    def read_spent_by_job(self) -> int:
        """Booked by the whole job, as far as it can be read."""
        ...

    def step_nano(self, nano: int, calls: int) -> int:
        """By how much a hold grows at a time, where a call costs `nano` at worst and `calls` may be
        in flight.
        """
        ...

    def open(self) -> Hold | None:
        """Set the limit. What a predecessor left behind."""
        ...

    def write(self, change: HoldChange, *, wanted_nano: int = 0) -> None:
        """Make a change. Where the funds must grow for it, they grow by `wanted_nano` if that is
        to be had.
        """
        ...

    def write_owed(self, change: HoldChange) -> None:
        """Make a change that was billed, whatever the limit says."""
        ...

    def may_come_back(self, nano: int, *, in_flight: bool) -> bool:
        """Whether there may be room in a moment without anybody ending: others hold as much that
        they may not spend, or own calls are `in_flight`.
        """
        ...

    def close(self) -> None:
        """Give back what no hold needs."""
        ...


class JobFunds:
    """The account of an unsharded job: its one worker's hold is on it."""

    def __init__(self, store: BudgetStore, claim: Claim, *, limit_nano: int) -> None:
        self._store = store
        self._claim = claim
        self._limit_nano = limit_nano
        self._account = Account(limit_nano=limit_nano, spent_nano=0, holds={})

    @property
    def spent_nano(self) -> int:
        return self._account.spent_nano

    @property
    def scarce(self) -> bool:
        return False  # the account may be asked at any time: nobody else writes to it

    def read_spent_by_job(self) -> int:
        return self._account.spent_nano

    def step_nano(self, nano: int, calls: int) -> int:
        # All calls in flight may be much of the budget of a job in one piece.
        return max(_LEAST_CALLS, calls // _PART_OF_CALLS) * nano

    def open(self) -> Hold | None:
        self._account = self._store.open_account(self._claim.job_id, self._limit_nano)
        return self._account.holds.get(self._claim.work_id)

    def write(self, change: HoldChange, *, wanted_nano: int = 0) -> None:
        del wanted_nano  # the account has all there is
        self._write(change)

    def write_owed(self, change: HoldChange) -> None:
        # The account lets it in, stands above the limit then, and nothing more starts.
        job_id = self._claim.job_id
        committed = self._store.get_account(job_id).committed_nano
        self._store.open_account(job_id, committed + _growth(change))
        try:
            self._write(change, owed=True)
        finally:
            self._store.open_account(job_id, self._limit_nano)

    def may_come_back(self, nano: int, *, in_flight: bool) -> bool:
        del nano, in_flight
        return False  # nobody else works on the job, and the account may be asked at any time

    def close(self) -> None:
        """The hold is all there was."""

    def _write(self, change: HoldChange, *, owed: bool = False) -> None:
        self._account = self._store.change_hold(
            self._claim.job_id,
            self._claim.work_id,
            expected=change.expected,
            new=change.new,
            spent_nano=change.spent_nano,
            owed=owed,
        )


class SliceFunds:
    """The slice of one of a job's `shards` shards. It grows out of the job's account, and where
    that is empty out of what is free in the slices of others.
    """

    def __init__(self, store: BudgetStore, claim: Claim, *, limit_nano: int, shards: int) -> None:
        self._store = store
        self._claim = claim
        self._limit_nano = limit_nano
        self._shards = shards
        self._slice = Slice(limit_nano=0)
        self._others: Mapping[str, Slice] = {}
        self._left_nano = 0
        self._scarce = False

    @property
    def spent_nano(self) -> int:
        return self._slice.spent_nano

    @property
    def scarce(self) -> bool:
        return self._scarce

    def read_spent_by_job(self) -> int:
        with suppress(SeedwrightError):
            self._note(self._store.get_slices(self._claim.job_id, range(self._shards)))
        return spent_of(self._slice.spent_nano, self._others.values())

    def step_nano(self, nano: int, calls: int) -> int:
        # They are little of the budget of a job in shards, whose writes are what costs. Of a slice
        # that is small half of what is free stays so: another shard may need it.
        step, free = max(2 * _LEAST_CALLS, calls) * nano, self._slice.free_nano
        return min(step, max(free // 2, nano)) if free >= nano else step // 2

    def open(self) -> Hold | None:
        account = self._store.open_account(self._claim.job_id, self._limit_nano)
        self._slice = self._read() or self._open_slice()
        if account.committed_nano > account.limit_nano:
            # The limit was lowered: what a predecessor had set aside isn't there any more.
            self.close()
        return self._slice.hold

    def write(self, change: HoldChange, *, wanted_nano: int = 0) -> None:
        growth, self._scarce = _growth(change), False
        for _ in range(_TRIES):
            if growth > 0 and growth > self._slice.free_nano:
                self._grow(growth - max(self._slice.free_nano, 0), wanted_nano)
            try:
                self._write(change)
            except BudgetExceededError:
                self._reread()  # another shard took back what was free
            else:
                return
        raise BudgetExceededError("other shards of the job took what was left of its budget")

    def write_owed(self, change: HoldChange) -> None:
        for _ in range(_TRIES):
            lacking = _growth(change) - self._slice.free_nano
            if lacking > 0:
                self._change_limit(lacking, owed=True)
            try:
                self._write(change)
            except BudgetExceededError:
                self._reread()
            else:
                return
        self._write(change)

    def may_come_back(self, nano: int, *, in_flight: bool) -> bool:
        if in_flight:
            return True
        held = sum(each.limit_nano - each.spent_nano for each in self._others.values())
        return held > 0 and held + self._left_nano + self._slice.free_nano >= nano

    def close(self) -> None:
        for _ in range(_TRIES):
            if self._slice.free_nano <= 0:
                return
            try:
                self._slice = self._resize(self._slice, self._slice.committed_nano)
            except ConflictError:
                self._reread()

    def _open_slice(self) -> Slice:
        try:
            return self._resize(None, 0)
        except ConflictError:  # a predecessor that is late has opened it just now
            return self._read() or self._slice

    def _grow(self, needed: int, wanted: int) -> None:
        """Let the slice grow by `needed` at least. Raises `BudgetExceededError`."""
        job_id = self._claim.job_id
        for _ in range(_TRIES):
            left = self._store.get_account(job_id).left_nano
            self._scarce = left <= max(needed, wanted)
            if left < needed:
                left += self._take_back(needed - left)
            self._left_nano = left
            if left < needed:
                break
            growth = next_growth(
                needed_nano=needed, wanted_nano=wanted, left_nano=left, shards=self._shards
            )
            try:
                self._change_limit(growth)
            except BudgetExceededError:
                continue  # another shard was quicker
            return
        raise BudgetExceededError(f"the budget of job {job_id} leaves no room for another call")

    def _take_back(self, needed: int) -> int:
        returned = take_back(
            self._store,
            self._claim.job_id,
            range(self._shards),
            needed_nano=needed,
            sparing=self._claim.work_id,
        )
        self._note(returned.slices)
        return returned.nano

    def _note(self, slices: Mapping[str, Slice]) -> None:
        own = self._claim.work_id
        self._others = {work_id: each for work_id, each in slices.items() if work_id != own}

    def _change_limit(self, growth: int, *, owed: bool = False) -> None:
        for _ in range(_TRIES):
            try:
                self._slice = self._resize(self._slice, self._slice.limit_nano + growth, owed=owed)
            except ConflictError:
                self._reread()
            else:
                return
        raise BudgetExceededError("other shards of the job change its budget all the time")

    def _resize(self, expected: Slice | None, limit_nano: int, *, owed: bool = False) -> Slice:
        return self._store.resize_slice(
            self._claim.job_id,
            self._claim.work_id,
            expected=expected,
            limit_nano=limit_nano,
            fence=self._claim.fence,
            owed=owed,
        )

    def _write(self, change: HoldChange) -> None:
        self._slice = self._store.change_slice_hold(
            self._claim.job_id,
            self._claim.work_id,
            expected=change.expected,
            new=change.new,
            spent_nano=change.spent_nano,
        )

    def _read(self) -> Slice | None:
        own = () if self._claim.shard is None else (self._claim.shard,)
        return self._store.get_slices(self._claim.job_id, own).get(self._claim.work_id)

    def _reread(self) -> None:
        self._slice = self._read() or self._slice


def _growth(change: HoldChange) -> int:
    return change.spent_nano + change.new.nano - (change.expected.nano if change.expected else 0)

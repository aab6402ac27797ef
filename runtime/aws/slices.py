"""The slices of a sharded job: one item a shard in the budgets table, beside the job's account.

Attributes: account_id (the shard's work id), job_id, and in integer nano-USD slice_spent and
slice_free; slice_hold is a map {fence, sequence, nano} once a worker has claimed, slice_revision
counts changes of the limit. The limit is spent + held + free: kept as what is free, because
DynamoDB compares but doesn't add. All limits are part of the job's `budget_committed`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.accounts import (
    IS_OPEN,
    OPEN_VALUES,
    has_ended,
    hold_clauses,
    is_open,
    no_account,
    no_room,
    parse_account,
    parse_hold,
    room_clauses,
    stored_hold,
)
from runtime.aws.batch import get_items
from runtime.aws.table import Item, Refused, Table, TableNames
from runtime.aws.transaction import Transaction
from runtime.contract.tables import BUDGETS, JOBS
from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    StorageBusyError,
)
from runtime.domain.jobs.job import work_id_of
from runtime.domain.money.accounts import Hold, Slice

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

FREE: Final = "slice_free"

_TRIES: Final = 5
"""Refusals in a row that only a change of the job's account, just over, can explain."""


class Slices:
    """The part of `BudgetStore` that knows slices."""

    def __init__(self, *, client: "DynamoDBClient", names: TableNames) -> None:
        self._client = client
        self._names = names
        self._jobs = Table(client, names(JOBS))

    def get(self, job_id: str, shards: Iterable[int]) -> Mapping[str, Slice]:
        """See `BudgetStore.get_slices`."""
        keys = [{"account_id": work_id_of(job_id, shard)} for shard in shards]
        found = get_items(self._client, self._names(BUDGETS), keys)
        return {item["account_id"]: _parse(item) for item in found}

    def resize(
        self,
        job_id: str,
        work_id: str,
        *,
        expected: Slice | None,
        limit_nano: int,
        fence: int | None,
        owed: bool,
    ) -> Slice:
        """See `BudgetStore.resize_slice`."""
        growth = limit_nano - (expected.limit_nano if expected else 0)
        bounded = growth > 0 and not owed
        limit = self._limit(job_id) if bounded else 0
        after = _resized(expected, limit_nano)
        for _ in range(_TRIES):
            transaction = Transaction(self._client)
            self._move(transaction, job_id, growth, limit=limit, bounded=bounded)
            self._resize(transaction, job_id, work_id, expected, growth, fence)
            # Money that comes back is what somebody else waits for: it may take a moment longer.
            refusals = transaction.commit(patient=growth <= 0 or owed)
            if not refusals:
                return after
            job, found = refusals
            if found is not None and _judge(found.item, work_id, after, fence):
                return after
            if job is not None:
                limit = _check_room(job.item, job_id, growth, bounded=bounded)
        raise StorageBusyError(f"the budget of job {job_id} keeps changing: try again")

    def change_hold(
        self, work_id: str, *, expected: Hold | None, new: Hold, spent_nano: int
    ) -> Slice:
        """See `BudgetStore.change_slice_hold`."""
        growth = spent_nano + new.nano - (expected.nano if expected else 0)
        clauses, values = hold_clauses("#slice_hold", "#slice_free", expected, new.fence)
        if growth > 0:
            # Excludes that what another shard has taken out of the slice meanwhile is held, too.
            clauses.append("#slice_free >= :growth")
        outcome = self._budgets.update(
            {"account_id": work_id},
            set_="#slice_hold = :new, #slice_spent = #slice_spent + :spent,"
            " #slice_free = #slice_free - :growth",
            condition=" AND ".join(clauses),
            values={
                ":new": stored_hold(new),
                ":spent": spent_nano,
                ":growth": growth,
                **values,
            },
        )
        if not isinstance(outcome, Refused):
            return _parse(outcome)
        if outcome.item is None:
            raise _no_slice(work_id)
        stored = _parse(outcome.item)
        if stored.hold == new:
            return stored  # our own write, whose reply was lost
        if stored.hold is not None and stored.hold.fence > new.fence:
            raise _lost(work_id)
        if stored.hold != expected:
            raise ConflictError(f"the budget hold of work {work_id} has changed: read it again")
        raise BudgetExceededError(f"the slice of {work_id} leaves no room for another call")

    def _limit(self, job_id: str) -> int:
        return parse_account(self._jobs.get({"job_id": job_id}), job_id).limit_nano

    def _move(
        self, transaction: Transaction, job_id: str, growth: int, *, limit: int, bounded: bool
    ) -> None:
        """The job's half: out of its account, or back into it."""
        clauses: list[str] = ["attribute_exists(#budget_holds)"]
        values: dict[str, Any] = {":growth": growth}
        if bounded:
            room, compared = room_clauses(growth, limit)
            clauses += [*room, IS_OPEN]
            values |= {**compared, **OPEN_VALUES}
        transaction.update(
            self._jobs.name,
            {"job_id": job_id},
            set_="#budget_committed = #budget_committed + :growth",
            condition=" AND ".join(clauses),
            values=values,
        )

    def _resize(
        self,
        transaction: Transaction,
        job_id: str,
        work_id: str,
        expected: Slice | None,
        growth: int,
        fence: int | None,
    ) -> None:
        """The slice's half."""
        key, budgets = {"account_id": work_id}, self._names(BUDGETS)
        if expected is None:
            transaction.update(
                budgets,
                key,
                set_="#job_id = :job_id, #slice_spent = :zero, #slice_free = :growth,"
                " #slice_revision = :one",
                # Excludes that a slice which another worker has opened is forgotten.
                condition="attribute_not_exists(#account_id)",
                values={":job_id": job_id, ":zero": 0, ":one": 1, ":growth": growth},
            )
            return
        # Excludes that the same change is made twice.
        clauses = ["#slice_revision = :revision"]
        values: dict[str, Any] = {":revision": expected.revision, ":one": 1, ":growth": growth}
        if growth < 0:
            # Excludes that what its worker has begun to hold is taken away.
            clauses.append("#slice_free >= :taken")
            values[":taken"] = -growth
        if fence is not None:
            # Excludes an owner that lost its lease.
            clauses.append("(attribute_not_exists(#slice_hold) OR #slice_hold.#fence <= :fence)")
            values[":fence"] = fence
        transaction.update(
            budgets,
            key,
            set_="#slice_free = #slice_free + :growth, #slice_revision = #slice_revision + :one",
            condition=" AND ".join(clauses),
            values=values,
        )

    @property
    def _budgets(self) -> Table:
        return Table(self._client, self._names(BUDGETS))


def _resized(expected: Slice | None, limit_nano: int) -> Slice:
    if expected is None:
        return Slice(limit_nano=limit_nano)
    return replace(expected, limit_nano=limit_nano, revision=expected.revision + 1)


def _judge(item: Item | None, work_id: str, after: Slice, fence: int | None) -> bool:
    """Whether the slice is resized already; raises why it can't be."""
    if item is None:
        raise _no_slice(work_id)
    stored = _parse(item)
    if fence is not None and stored.hold is not None and stored.hold.fence > fence:
        raise _lost(work_id)
    if (stored.revision, stored.limit_nano) == (after.revision, after.limit_nano):
        return True
    raise ConflictError(f"the slice of {work_id} has changed: read it again")


def _check_room(item: Item | None, job_id: str, growth: int, *, bounded: bool) -> int:
    """The limit of the job as it is now; raises why there is no room."""
    if item is None or not bounded:
        raise no_account(job_id)
    account = parse_account(item, job_id)
    if account.committed_nano + growth > account.limit_nano:
        raise no_room(account.limit_nano)
    if not is_open(item):
        raise has_ended()
    return account.limit_nano


def _parse(item: Item) -> Slice:
    stored = item.get("slice_hold")
    hold = None if stored is None else parse_hold(stored)
    spent = int(item["slice_spent"])
    return Slice(
        limit_nano=spent + (hold.nano if hold else 0) + int(item[FREE]),
        spent_nano=spent,
        hold=hold,
        revision=int(item["slice_revision"]),
    )


def _no_slice(work_id: str) -> NotFoundError:
    return NotFoundError(f"{work_id} has no slice of a budget")


def _lost(work_id: str) -> LeaseLostError:
    return LeaseLostError(f"work {work_id} has another owner: its budget is not changed")

"""A job's budget account, kept on the job's own item (`accounts.py` has its attributes), and its
slices (`slices.py`).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from runtime.aws.accounts import (
    IS_OPEN,
    OPEN_VALUES,
    has_ended,
    hold_clauses,
    is_open,
    no_room,
    parse_account,
    room_clauses,
    stored_hold,
)
from runtime.aws.slices import Slices
from runtime.aws.table import Refused, Table, TableNames
from runtime.contract.tables import JOBS
from runtime.domain.errors import ConflictError, LeaseLostError, StorageBusyError
from runtime.domain.money.accounts import Account, Hold, Slice

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_TRIES: Final = 5
"""Refusals in a row that only a change of the limit, or a race just over, can explain."""


class DynamoBudgetStore:
    """Implements `ports.BudgetStore`."""

    def __init__(self, *, client: "DynamoDBClient", names: TableNames) -> None:
        self._table = Table(client, names(JOBS))
        self._slices = Slices(client=client, names=names)

    def open_account(self, job_id: str, limit_nano: int) -> Account:
        outcome = self._table.update(
            {"job_id": job_id},
            set_="#budget_account_limit = :limit,"
            " #budget_spent = if_not_exists(#budget_spent, :zero),"
            " #budget_committed = if_not_exists(#budget_committed, :zero),"
            " #budget_holds = if_not_exists(#budget_holds, :none)",
            # Excludes an account that outlives its job: the job was deleted a moment ago.
            condition="attribute_exists(#job_id)",
            values={":limit": limit_nano, ":zero": 0, ":none": {}},
        )
        return parse_account(None if isinstance(outcome, Refused) else outcome, job_id)

    def get_account(self, job_id: str) -> Account:
        return parse_account(self._table.get({"job_id": job_id}), job_id)

    def change_hold(
        self,
        job_id: str,
        work_id: str,
        *,
        expected: Hold | None,
        new: Hold,
        spent_nano: int,
        owed: bool = False,
    ) -> Account:
        growth = spent_nano + new.nano - (expected.nano if expected else 0)
        # DynamoDB compares but doesn't add: to know the room, the limit has to be read before.
        limit = self.get_account(job_id).limit_nano if growth > 0 else 0
        for _ in range(_TRIES):
            clauses, values = hold_clauses(
                "#budget_holds.#work", "#budget_holds", expected, new.fence
            )
            if growth > 0:
                room, compared = room_clauses(growth, limit)
                clauses += room
                values |= compared
            if growth > 0 and not owed:
                clauses.append(IS_OPEN)
                values |= OPEN_VALUES
            outcome = self._table.update(
                {"job_id": job_id},
                set_="#budget_holds.#work = :new, #budget_spent = #budget_spent + :spent,"
                " #budget_committed = #budget_committed + :growth",
                condition=" AND ".join(clauses),
                values={
                    ":new": stored_hold(new),
                    ":spent": spent_nano,
                    ":growth": growth,
                    **values,
                },
                names={"#work": work_id},
            )
            if not isinstance(outcome, Refused):
                return parse_account(outcome, job_id)
            account = parse_account(outcome.item, job_id)
            if account.holds.get(work_id) == new:
                return account  # our own write, whose reply was lost
            _judge(account, work_id, expected=expected, new=new, growth=growth)
            if growth > 0 and not owed and not is_open(outcome.item):
                raise has_ended()
            limit = account.limit_nano
        raise StorageBusyError(f"the budget of job {job_id} keeps changing: try again")

    def get_slices(self, job_id: str, shards: Iterable[int]) -> Mapping[str, Slice]:
        return self._slices.get(job_id, shards)

    def resize_slice(
        self,
        job_id: str,
        work_id: str,
        *,
        expected: Slice | None,
        limit_nano: int,
        fence: int | None = None,
        owed: bool = False,
    ) -> Slice:
        return self._slices.resize(
            job_id, work_id, expected=expected, limit_nano=limit_nano, fence=fence, owed=owed
        )

    def change_slice_hold(
        self, job_id: str, work_id: str, *, expected: Hold | None, new: Hold, spent_nano: int
    ) -> Slice:
        del job_id  # the slice has its own item
        return self._slices.change_hold(work_id, expected=expected, new=new, spent_nano=spent_nano)


def _judge(
    account: Account, work_id: str, *, expected: Hold | None, new: Hold, growth: int
) -> None:
    """Say why a change was refused; return if it may be allowed now."""
    stored = account.holds.get(work_id)
    if stored is not None and stored.fence > new.fence:
        raise LeaseLostError(f"work {work_id} has another owner: its budget is not changed")
    if stored != expected:
        raise ConflictError(f"the budget hold of work {work_id} has changed: read it again")
    if growth > 0 and account.committed_nano + growth > account.limit_nano:
        raise no_room(account.limit_nano)

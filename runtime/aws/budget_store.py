"""A job's budget account, kept on the job's own item.

Attributes, all integer nano-USD: budget_account_limit, budget_spent, budget_committed (spent and
held), and budget_holds, a map of work id to {fence, sequence, nano}.
"""

from typing import TYPE_CHECKING, Any, Final

from runtime.aws.table import Item, Refused, Table
from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    StorageBusyError,
)
from runtime.domain.jobs.job import ACTIVE, JobStatus
from runtime.domain.money.accounts import Account, Hold
from runtime.domain.money.amounts import usd

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_TRIES: Final = 5
"""Refusals in a row that only a change of the limit, or a race just over, can explain."""


# Excludes a worker that goes on after its job has ended: the rest was given back to the accounts of
# the month, and others may have it by now.
_IS_OPEN: Final = "(attribute_not_exists(#budget_month) OR #status IN (:queued, :run))"
_ACTIVE_VALUES: Final = {":queued": JobStatus.QUEUED, ":run": JobStatus.RUNNING}


class DynamoBudgetStore:
    """Implements `ports.BudgetStore`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

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
        return _parse(None if isinstance(outcome, Refused) else outcome, job_id)

    def get_account(self, job_id: str) -> Account:
        return _parse(self._table.get({"job_id": job_id}), job_id)

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
            condition, values = _condition(expected, new, growth=growth, limit=limit)
            if growth > 0 and not owed:
                condition += f" AND {_IS_OPEN}"
                values |= _ACTIVE_VALUES
            outcome = self._table.update(
                {"job_id": job_id},
                set_="#budget_holds.#work = :new, #budget_spent = #budget_spent + :spent,"
                " #budget_committed = #budget_committed + :growth",
                condition=condition,
                values={
                    ":new": {"fence": new.fence, "sequence": new.sequence, "nano": new.nano},
                    ":spent": spent_nano,
                    ":growth": growth,
                    **values,
                },
                names={"#work": work_id},
            )
            if not isinstance(outcome, Refused):
                return _parse(outcome, job_id)
            account = _parse(outcome.item, job_id)
            if account.holds.get(work_id) == new:
                return account  # our own write, whose reply was lost
            _judge(account, work_id, expected=expected, new=new, growth=growth)
            if growth > 0 and not owed and not _is_open(outcome.item):
                raise BudgetExceededError("the job has ended: nothing more is begun")
            limit = account.limit_nano
        raise StorageBusyError(f"the budget of job {job_id} keeps changing: try again")


def _is_open(item: Item | None) -> bool:
    return item is None or "budget_month" not in item or item["status"] in ACTIVE


def _condition(
    expected: Hold | None, new: Hold, *, growth: int, limit: int
) -> tuple[str, dict[str, Any]]:
    """What must still be true when the change is made, and the values that it names."""
    clauses: list[str] = []
    values: dict[str, Any] = {}
    if expected is None:
        # Excludes a predecessor's hold that appeared meanwhile: its money would be forgotten.
        clauses.append("attribute_exists(#budget_holds)")
        clauses.append("attribute_not_exists(#budget_holds.#work)")
    else:
        # Excludes the same change made twice, and a change by another owner of this work.
        clauses.append("#budget_holds.#work.#fence = :expected_fence")
        clauses.append("#budget_holds.#work.#sequence = :expected_sequence")
        clauses.append("#budget_holds.#work.#nano = :expected_nano")
        # Excludes an owner that lost its lease and read the account after its successor.
        clauses.append("#budget_holds.#work.#fence <= :fence")
        values |= {
            ":expected_fence": expected.fence,
            ":expected_sequence": expected.sequence,
            ":expected_nano": expected.nano,
            ":fence": new.fence,
        }
    if growth > 0:
        # Excludes two workers that both saw room for the last dollar: committed + growth <= limit.
        clauses.append("#budget_committed <= :room")
        # Excludes room computed from a limit that was lowered meanwhile.
        clauses.append("#budget_account_limit = :limit")
        values |= {":room": limit - growth, ":limit": limit}
    return " AND ".join(clauses), values


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
        raise BudgetExceededError(
            f"the budget of {usd(account.limit_nano)} leaves no room for another call:"
            " raise the budget to go on"
        )


def _parse(item: Item | None, job_id: str) -> Account:
    if item is None or "budget_holds" not in item:
        raise NotFoundError(f"job {job_id} has no budget account: start the job first")
    return Account(
        limit_nano=int(item["budget_account_limit"]),
        spent_nano=int(item["budget_spent"]),
        holds={
            work_id: Hold(
                fence=int(hold["fence"]), sequence=int(hold["sequence"]), nano=int(hold["nano"])
            )
            for work_id, hold in item["budget_holds"].items()
        },
    )

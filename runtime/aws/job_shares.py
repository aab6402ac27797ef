"""What a job has in the accounts of a month, changed in the transaction that changes its status.

    queued ──▶ job, stage and month, user and month, the user's active jobs
    ended  ──▶ the same, backwards: the rest returns, once

An item of the budgets table: account_id, and `committed` (nano-USD) with `previews` for an account
of a month, or `jobs` for how many a user has queued and running. The condition on the job excludes
that something is returned twice, or reckoned with a commitment that a worker has changed since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.job_changes import JobChange
from runtime.aws.job_exports import is_exported
from runtime.aws.job_items import SHARE_ATTRIBUTES, share_attributes, share_of
from runtime.aws.table import Item, Refused, Table, TableNames
from runtime.aws.transaction import Transaction
from runtime.contract.tables import BUDGETS, JOBS
from runtime.domain.errors import ConflictError, SeedwrightError, StorageBusyError
from runtime.domain.jobs.job import ACTIVE, ENDED, JobStatus
from runtime.domain.money.accounts import (
    Admission,
    Share,
    active_share,
    ended_share,
    growth_of,
    no_room,
    stage_account,
    too_many_jobs,
    user_account,
)
from runtime.domain.money.amounts import parse_budget

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_TRIES: Final = 5
"""Refusals in a row that only a change of the job's commitment, just over, can explain."""

_ONE: Final = {":one": 1}


class JobShares:
    """Writes that move a job into accounts and out of them."""

    def __init__(self, *, client: "DynamoDBClient", names: TableNames) -> None:
        self._client = client
        self._names = names
        self._jobs = Table(client, names(JOBS))

    @staticmethod
    def attributes(share: Share | None) -> Item:
        """Of a new job's item."""
        return {} if share is None else {**share_attributes(share), "counted_as_active": True}

    def admit(
        self,
        transaction: Transaction,
        user_id: str,
        admission: Admission,
        growth: int,
    ) -> "Entrance":
        """Add what a job costs its accounts and its user's counter; see `Entrance.refusal`."""
        first = transaction.size
        limits = admission.limits.of_accounts(user_id)
        grown = limits if growth else {}
        for account_id, limit in grown.items():
            grow(transaction, self._budgets, account_id, growth, limit=limit)
        transaction.update(
            self._budgets,
            {"account_id": _active_jobs(user_id)},
            set_="#jobs = if_not_exists(#jobs, :zero) + :one",
            # Excludes requests at the same moment that would all see room for one more.
            condition="attribute_not_exists(#jobs) OR #jobs < :most",
            values={**_ONE, ":zero": 0, ":most": admission.max_active_jobs},
        )
        return Entrance(first=first, grown=grown, growth=growth, most=admission.max_active_jobs)

    def end(self, job_id: str, change: JobChange) -> Refused | None:
        """Make a change after which the job is not active: what it has not committed returns to
        the accounts of its month. What stood in the way if it isn't allowed.
        """
        # A job of before, or of no month, is one write. What refuses it says whose job it is.
        outcome = self._jobs.update(
            {"job_id": job_id},
            set_=", ".join(change.set_),
            remove=", ".join(change.remove),
            condition=f"{change.condition} AND attribute_not_exists(#budget_month)",
            values=change.values,
        )
        if not isinstance(outcome, Refused):
            return None
        return self._close(job_id, outcome, change)

    def return_rest(self, job_id: str) -> None:
        """See `ports.JobStore.return_rest`."""
        item = self._jobs.get({"job_id": job_id})
        share = None if item is None else share_of(item)
        if item is None or share is None or item["status"] in ACTIVE:
            return
        if ended_share(share, committed_nano=_committed(item)) == share:
            return
        self._close(
            job_id,
            Refused(item=item),
            JobChange(
                set_=(),
                # Excludes a job that was queued again: it has its whole limit.
                condition="NOT (#status IN (:queued, :running))",
                values={":queued": JobStatus.QUEUED, ":running": JobStatus.RUNNING},
            ),
        )

    def queue_again(
        self, item: Item, change: JobChange, admission: Admission, *, budget_limit: str | None
    ) -> Refused | None:
        """Make a change after which an ended job is QUEUED, on account of the present month. What
        stood in the way if the item has changed. Raises `LimitError`, `MonthlyBudgetError`.
        """
        if item["status"] not in ENDED - {JobStatus.DELETING}:
            raise ConflictError(f"job {item['job_id']} is {item['status']}: it has not ended")
        if is_exported(item):
            raise ConflictError(f"rows of job {item['job_id']} are being exported")
        stored = item.get("budget_limit")
        limit, _ = parse_budget(stored if budget_limit is None else budget_limit)
        before = share_of(item)
        after = active_share(
            before,
            month=admission.limits.month,
            limit_nano=limit,
            committed_nano=_committed(item),
        )
        transaction = Transaction(self._client)
        # Excludes a budget that was changed since: another sum would have to be reserved.
        stands, values = _equal("budget_limit", stored)
        change = change.also(values=values, only=stands)
        self._update_job(transaction, item, change, after, counted=True)
        entrance = self.admit(transaction, item["user_id"], admission, growth_of(before, after))
        refusals = transaction.commit()
        if not refusals:
            return None
        if refusals[0] is not None:
            return refusals[0]
        raise entrance.refusal(refusals) or StorageBusyError("the accounts are busy: try again")

    def _close(self, job_id: str, refused: Refused, change: JobChange) -> Refused | None:
        """Change a job that has a share, as long as only its commitment has changed since it was
        read.
        """
        for _ in range(_TRIES):
            item = refused.item
            share = None if item is None else share_of(item)
            if item is None or share is None:
                return refused
            transaction = Transaction(self._client)
            after = ended_share(share, committed_nano=_committed(item))
            self._update_job(transaction, item, change, after, counted=False)
            if growth := growth_of(share, after):
                for account_id in (
                    stage_account(share.month),
                    user_account(item["user_id"], share.month),
                ):
                    grow(transaction, self._budgets, account_id, growth, limit=None)
            if "counted_as_active" in item:
                transaction.update(
                    self._budgets,
                    {"account_id": _active_jobs(item["user_id"])},
                    set_="#jobs = if_not_exists(#jobs, :one) - :one",
                    values=_ONE,
                )
            refusals = transaction.commit(patient=True)
            if not refusals or refusals[0] is None:
                return None
            refused = refusals[0]
            if refused.item is not None and _mark(refused.item) == _mark(item):
                return refused
        raise StorageBusyError(f"the budget of job {job_id} keeps changing: try again")

    def _update_job(
        self,
        transaction: Transaction,
        item: Item,
        change: JobChange,
        after: Share,
        *,
        counted: bool,
    ) -> None:
        """The change, with the new share, if the item is in this respect what it was."""
        sets = [*(f"#{name} = :new_{name}" for name in share_attributes(after))]
        values = {f":new_{name}": value for name, value in share_attributes(after).items()}
        if counted:
            sets.append("#counted_as_active = :counted")
            values[":counted"] = True
        stands: list[str] = []
        for name in _MARKS:
            clause, compared = _equal(name, item.get(name))
            stands.append(clause)
            values |= compared
        whole = change.also(
            set_=tuple(sets),
            remove=() if counted else ("#counted_as_active",),
            values=values,
            only=" AND ".join(stands),
        )
        transaction.update(
            self._jobs.name,
            {"job_id": item["job_id"]},
            condition=whole.condition,
            values=whole.values,
            set_=", ".join(whole.set_),
            remove=", ".join(whole.remove),
        )

    @property
    def _budgets(self) -> str:
        return self._names(BUDGETS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """The parts of a transaction that let a job in, from number `first` on."""

    first: int
    grown: Mapping[str, int | None]
    growth: int
    most: int

    def refusal(self, refusals: tuple[Refused | None, ...]) -> SeedwrightError | None:
        """What keeps the job out, if it is one of these parts."""
        *accounts, counter = refusals[self.first : self.first + len(self.grown) + 1]
        if counter is not None:
            return too_many_jobs(self.most)
        return account_refusal(self.grown, accounts, self.growth)


def grow(
    transaction: Transaction,
    table: str,
    account_id: str,
    growth: int,
    *,
    limit: int | None,
    previews: int = 0,
) -> None:
    """Change what an account of a month has committed, if that stays within `limit`."""
    condition, values = "", {":growth": growth, ":previews": previews, ":zero": 0}
    if limit is not None and growth > 0:
        # Excludes two children that both see room for the last dollar.
        condition, values = "#committed <= :room", {**values, ":room": limit - growth}
        if growth <= limit:
            condition += " OR attribute_not_exists(#committed)"
    transaction.update(
        table,
        {"account_id": account_id},
        set_="#committed = if_not_exists(#committed, :zero) + :growth,"
        " #previews = if_not_exists(#previews, :zero) + :previews",
        condition=condition,
        values=values,
    )


def account_refusal(
    limits: Mapping[str, int | None], refusals: list[Refused | None], growth: int
) -> SeedwrightError | None:
    """The error for the first account that has refused `growth`."""
    for (account_id, limit), refused in zip(limits.items(), refusals, strict=True):
        if refused is not None and limit is not None:
            committed = 0 if refused.item is None else int(refused.item.get("committed", 0))
            return no_room(
                account_id, committed_nano=committed, child_nano=growth, limit_nano=limit
            )
    return None


_MARKS: Final = (*SHARE_ATTRIBUTES, "budget_committed")
"""What a new share is reckoned with."""


def _mark(item: Item) -> tuple[object, ...]:
    return tuple(item.get(name) for name in _MARKS)


def _equal(name: str, value: object) -> tuple[str, dict[str, Any]]:
    """A clause that holds as long as the attribute is what it was when it was read."""
    if value is None:
        return f"attribute_not_exists(#{name})", {}
    return f"#{name} = :was_{name}", {f":was_{name}": value}


def _committed(item: Item) -> int:
    return int(item.get("budget_committed", 0))


def _active_jobs(user_id: str) -> str:
    return f"active#{user_id}"

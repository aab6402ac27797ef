"""Budget accounts in SQLite."""

import sqlite3

from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
)
from runtime.domain.jobs.job import ENDED
from runtime.domain.money.accounts import Account, Hold
from runtime.local.database import Database


class SqliteBudgetStore:
    """Implements `ports.BudgetStore`. The write lock makes each change one step."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def open_account(self, job_id: str, limit_nano: int) -> Account:
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO accounts (job_id, limit_nano, spent_nano) VALUES (?, ?, 0)"
                " ON CONFLICT (job_id) DO UPDATE SET limit_nano = excluded.limit_nano",
                (job_id, limit_nano),
            )
            return _read_account(connection, job_id)

    def get_account(self, job_id: str) -> Account:
        # Two statements, so a transaction: a hold may move to `spent` between them.
        with self._database.write() as connection:
            return _read_account(connection, job_id)

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
        with self._database.write() as connection:
            account = _read_account(connection, job_id)
            stored = account.holds.get(work_id)
            if stored == new and stored != expected:
                return account  # changed by an earlier call whose caller didn't learn of it
            if stored is not None and stored.fence > new.fence:
                raise LeaseLostError(f"another worker took {work_id}: stop spending")
            if stored != expected:
                raise ConflictError(f"the budget hold of {work_id} has changed: read it again")
            growth = new.nano + spent_nano - (stored.nano if stored else 0)
            if growth > max(0, account.limit_nano - account.committed_nano):
                raise BudgetExceededError(
                    f"the budget of job {job_id} has no room for more calls: raise it to go on"
                )
            if growth > 0 and not owed and _has_given_back(connection, job_id):
                raise BudgetExceededError(f"job {job_id} has ended: nothing more is begun")
            connection.execute(
                "INSERT OR REPLACE INTO holds (job_id, work_id, fence, sequence, nano)"
                " VALUES (?, ?, ?, ?, ?)",
                (job_id, work_id, new.fence, new.sequence, new.nano),
            )
            connection.execute(
                "UPDATE accounts SET spent_nano = spent_nano + ? WHERE job_id = ?",
                (spent_nano, job_id),
            )
            return _read_account(connection, job_id)


def _has_given_back(connection: sqlite3.Connection, job_id: str) -> bool:
    """Whether the job has ended and returned its rest: others may have it by now."""
    row = connection.execute(
        "SELECT status FROM jobs WHERE job_id = ? AND budget_month IS NOT NULL", (job_id,)
    ).fetchone()
    return row is not None and row["status"] in ENDED


def _read_account(connection: sqlite3.Connection, job_id: str) -> Account:
    row = connection.execute(
        "SELECT limit_nano, spent_nano FROM accounts WHERE job_id = ?", (job_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no budget account for job {job_id}")
    holds = connection.execute(
        "SELECT work_id, fence, sequence, nano FROM holds WHERE job_id = ?", (job_id,)
    )
    return Account(
        limit_nano=row["limit_nano"],
        spent_nano=row["spent_nano"],
        holds={
            hold["work_id"]: Hold(fence=hold["fence"], sequence=hold["sequence"], nano=hold["nano"])
            for hold in holds
        },
    )

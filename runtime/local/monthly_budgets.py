"""The accounts of a month in SQLite, and what a job has in them.

Everything that changes them runs inside the transaction of its caller, which holds the write lock:
what is read there stays so until it is written.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from runtime.domain.jobs.job import ACTIVE
from runtime.domain.money.accounts import (
    Admission,
    Limits,
    MonthUse,
    Share,
    ended_share,
    fits,
    growth_of,
    no_room,
    stage_account,
    too_many_jobs,
    user_account,
)
from runtime.local.database import Database

_COMMITTED: Final = """
    SELECT (SELECT spent_nano FROM accounts WHERE job_id = :job_id)
        + (SELECT coalesce(sum(nano), 0) FROM holds WHERE job_id = :job_id)
        + (SELECT coalesce(sum(limit_nano), 0) FROM slices WHERE job_id = :job_id)"""
_GROW: Final = """
    INSERT INTO budgets (account_id, committed, previews) VALUES (:account_id, :nano, :previews)
    ON CONFLICT (account_id) DO UPDATE SET
        committed = committed + excluded.committed,
        previews = previews + excluded.previews"""


class SqliteMonthlyBudgets:
    """Implements `accounts.MonthlyBudgets`."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def get_use(self, user_id: str, month: str) -> MonthUse:
        stage, user = stage_account(month), user_account(user_id, month)
        rows = self._database.rows(
            "SELECT * FROM budgets WHERE account_id IN (?, ?)", (stage, user)
        )
        committed = {row["account_id"]: row["committed"] for row in rows}
        previews = {row["account_id"]: row["previews"] for row in rows}
        return MonthUse(
            stage_nano=committed.get(stage, 0),
            user_nano=committed.get(user, 0),
            previews=previews.get(user, 0),
        )

    def reserve_preview(self, user_id: str, limits: Limits, nano: int, *, first: bool) -> None:
        with self._database.write() as connection:
            grow(connection, limits.of_accounts(user_id), nano, previews=int(first))

    def settle_preview(self, user_id: str, month: str, *, reserved_nano: int, nano: int) -> None:
        unlimited = Limits(month=month, stage_nano=None, user_nano=None)
        with self._database.write() as connection:
            grow(connection, unlimited.of_accounts(user_id), nano - reserved_nano)


def grow(
    connection: sqlite3.Connection,
    limits: Mapping[str, int | None],
    nano: int,
    *,
    previews: int = 0,
) -> None:
    """Change what accounts have committed. Raises `MonthlyBudgetError`: the caller rolls back."""
    for account_id, limit in limits.items():
        row = connection.execute(
            "SELECT committed FROM budgets WHERE account_id = ?", (account_id,)
        ).fetchone()
        committed = 0 if row is None else row["committed"]
        if limit is not None and not fits(committed, nano, limit):
            raise no_room(account_id, committed_nano=committed, child_nano=nano, limit_nano=limit)
        connection.execute(_GROW, {"account_id": account_id, "nano": nano, "previews": previews})


def admit(
    connection: sqlite3.Connection,
    job_id: str,
    user_id: str,
    admission: Admission,
    *,
    before: Share | None,
    after: Share,
) -> None:
    """Let a job in that is QUEUED already. Raises `LimitError` or `MonthlyBudgetError`."""
    (active,) = connection.execute(
        "SELECT count(*) FROM jobs WHERE user_id = ? AND status IN (?, ?)",
        (user_id, *sorted(ACTIVE)),
    ).fetchone()
    if active > admission.max_active_jobs:
        raise too_many_jobs(admission.max_active_jobs)
    grow(connection, admission.limits.of_accounts(user_id), growth_of(before, after))
    _set_share(connection, job_id, after)


def close_share(connection: sqlite3.Connection, job_id: str) -> None:
    """Give back what an ended job has not committed."""
    row = connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    share = None if row is None else share_of(row)
    if share is None:
        return
    after = ended_share(share, committed_nano=committed_of(connection, job_id))
    unlimited = Limits(month=share.month, stage_nano=None, user_nano=None)
    grow(connection, unlimited.of_accounts(row["user_id"]), growth_of(share, after))
    _set_share(connection, job_id, after)


def committed_of(connection: sqlite3.Connection, job_id: str) -> int:
    """What a job's own account has committed; 0 where there is none."""
    (committed,) = connection.execute(_COMMITTED, {"job_id": job_id}).fetchone()
    return committed or 0


def share_of(row: sqlite3.Row) -> Share | None:
    """What the job of a row has in the accounts of a month."""
    if row["budget_month"] is None:
        return None
    return Share(
        month=row["budget_month"],
        reserved_nano=row["budget_reserved"],
        base_nano=row["budget_base"],
    )


def _set_share(connection: sqlite3.Connection, job_id: str, share: Share) -> None:
    connection.execute(
        "UPDATE jobs SET budget_month = ?, budget_reserved = ?, budget_base = ? WHERE job_id = ?",
        (share.month, share.reserved_nano, share.base_nano, job_id),
    )

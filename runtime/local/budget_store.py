"""Budget accounts in SQLite, and the slices of sharded jobs."""

import sqlite3
from collections.abc import Iterable, Mapping

from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
)
from runtime.domain.jobs.job import ENDED, work_id_of
from runtime.domain.money.accounts import Account, Hold, Slice
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
            if not _check_hold(stored, work_id, expected=expected, new=new):
                return account
            growth = new.nano + spent_nano - (stored.nano if stored else 0)
            _check_room(account, job_id, growth)
            if growth > 0 and not owed:
                _check_open(connection, job_id)
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

    def get_slices(self, job_id: str, shards: Iterable[int]) -> Mapping[str, Slice]:
        wanted = [work_id_of(job_id, shard) for shard in shards]
        with self._database.write() as connection:
            found = ((work_id, _read_slice(connection, work_id)) for work_id in wanted)
            return {work_id: each for work_id, each in found if each is not None}

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
        with self._database.write() as connection:
            account, stored = _read_account(connection, job_id), _read_slice(connection, work_id)
            if stored is None and expected is not None:
                raise NotFoundError(f"{work_id} has no slice of a budget")
            if fence is not None and stored and stored.hold and stored.hold.fence > fence:
                raise LeaseLostError(f"another worker took {work_id}: stop spending")
            revision = 1 + (expected.revision if expected else 0)
            if stored is not None and (stored.revision, stored.limit_nano) == (
                revision,
                limit_nano,
            ):
                return stored  # resized by an earlier call whose caller didn't learn of it
            if (stored.revision if stored else 0) != revision - 1:
                raise ConflictError(f"the slice of {work_id} has changed: read it again")
            if stored is not None and limit_nano < min(stored.limit_nano, stored.committed_nano):
                raise ConflictError(f"the slice of {work_id} has less to give: read it again")
            growth = limit_nano - (stored.limit_nano if stored else 0)
            if growth > 0 and not owed:
                _check_room(account, job_id, growth)
                _check_open(connection, job_id)
            connection.execute(
                "INSERT INTO slices (work_id, job_id, limit_nano, spent_nano, revision)"
                " VALUES (?, ?, ?, 0, ?) ON CONFLICT (work_id) DO UPDATE SET"
                " limit_nano = excluded.limit_nano, revision = excluded.revision",
                (work_id, job_id, limit_nano, revision),
            )
            return _existing_slice(connection, work_id)

    def change_slice_hold(
        self, job_id: str, work_id: str, *, expected: Hold | None, new: Hold, spent_nano: int
    ) -> Slice:
        del job_id  # the slice has its own row
        with self._database.write() as connection:
            stored = _existing_slice(connection, work_id)
            if not _check_hold(stored.hold, work_id, expected=expected, new=new):
                return stored
            growth = new.nano + spent_nano - (stored.hold.nano if stored.hold else 0)
            if growth > max(0, stored.free_nano):
                raise BudgetExceededError(f"the slice of {work_id} has no room for more calls")
            connection.execute(
                "UPDATE slices SET spent_nano = spent_nano + ?, fence = ?, sequence = ?, nano = ?"
                " WHERE work_id = ?",
                (spent_nano, new.fence, new.sequence, new.nano, work_id),
            )
            return _existing_slice(connection, work_id)


def _check_hold(stored: Hold | None, work_id: str, *, expected: Hold | None, new: Hold) -> bool:
    """Whether a hold is to be changed; raises why it can't be. False: an earlier call, whose caller
    didn't learn of it, has changed it.
    """
    if stored == new and stored != expected:
        return False
    if stored is not None and stored.fence > new.fence:
        raise LeaseLostError(f"another worker took {work_id}: stop spending")
    if stored != expected:
        raise ConflictError(f"the budget hold of {work_id} has changed: read it again")
    return True


def _check_room(account: Account, job_id: str, growth: int) -> None:
    if growth > account.left_nano:
        raise BudgetExceededError(
            f"the budget of job {job_id} has no room for more calls: raise it to go on"
        )


def _check_open(connection: sqlite3.Connection, job_id: str) -> None:
    """Raises where the job has ended and returned its rest: others may have it by now."""
    row = connection.execute(
        "SELECT status FROM jobs WHERE job_id = ? AND budget_month IS NOT NULL", (job_id,)
    ).fetchone()
    if row is not None and row["status"] in ENDED:
        raise BudgetExceededError(f"job {job_id} has ended: nothing more is begun")


def _read_slice(connection: sqlite3.Connection, work_id: str) -> Slice | None:
    row = connection.execute("SELECT * FROM slices WHERE work_id = ?", (work_id,)).fetchone()
    if row is None:
        return None
    hold = None
    if row["fence"] is not None:
        hold = Hold(fence=row["fence"], sequence=row["sequence"], nano=row["nano"])
    return Slice(
        limit_nano=row["limit_nano"],
        spent_nano=row["spent_nano"],
        hold=hold,
        revision=row["revision"],
    )


def _existing_slice(connection: sqlite3.Connection, work_id: str) -> Slice:
    found = _read_slice(connection, work_id)
    if found is None:
        raise NotFoundError(f"{work_id} has no slice of a budget")
    return found


def _read_account(connection: sqlite3.Connection, job_id: str) -> Account:
    row = connection.execute(
        "SELECT limit_nano, spent_nano FROM accounts WHERE job_id = ?", (job_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no budget account for job {job_id}")
    holds = connection.execute(
        "SELECT work_id, fence, sequence, nano FROM holds WHERE job_id = ?", (job_id,)
    )
    (slices_nano,) = connection.execute(
        "SELECT coalesce(sum(limit_nano), 0) FROM slices WHERE job_id = ?", (job_id,)
    ).fetchone()
    return Account(
        limit_nano=row["limit_nano"],
        spent_nano=row["spent_nano"],
        slices_nano=slices_nano,
        holds={
            hold["work_id"]: Hold(fence=hold["fence"], sequence=hold["sequence"], nano=hold["nano"])
            for hold in holds
        },
    )

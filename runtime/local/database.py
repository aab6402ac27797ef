"""The SQLite file that holds a laptop's tables, and failures of its disk as errors of the tree.

One connection a process, guarded by a lock, because the heartbeat thread writes beside the thread
that owns the work. Other processes may open the same file: every change is a transaction that
takes the write lock first (BEGIN IMMEDIATE), so what it read can't change before it writes.
Commits are synced to the disk (synchronous=FULL): what was spent stays spent after a power cut.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from runtime.domain.errors import (
    ConfigurationError,
    StorageBusyError,
    StorageError,
    StorageFullError,
)

SCHEMA_VERSION: Final = 1
"""Stored as SQLite's `user_version`. Raise it with every change of `_SCHEMA`."""

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process before it is reported as unavailable."""

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SCHEMA: Final = (
    """CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        status TEXT NOT NULL,
        config TEXT NOT NULL,
        budget_limit TEXT,
        records_generated INTEGER NOT NULL,
        failed_records INTEGER NOT NULL,
        tokens_used INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        error_message TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        started_at TEXT,
        completed_at TEXT,
        fence INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE work (
        work_id TEXT PRIMARY KEY,
        job_id TEXT NOT NULL,
        shard INTEGER,
        status TEXT NOT NULL,
        position INTEGER NOT NULL,
        owner TEXT NOT NULL DEFAULT '',
        fence INTEGER NOT NULL DEFAULT 0,
        beat INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX work_by_status ON work (status, position)",
    """CREATE TABLE templates (
        template_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (template_id, version)
    ) STRICT""",
    """CREATE TABLE checkpoint_versions (
        work_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        records_generated INTEGER NOT NULL,
        fence INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE costs (
        job_id TEXT NOT NULL,
        entry_id TEXT NOT NULL,
        cost_nano INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (job_id, entry_id)
    ) STRICT""",
    """CREATE TABLE accounts (
        job_id TEXT PRIMARY KEY,
        limit_nano INTEGER NOT NULL,
        spent_nano INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE holds (
        job_id TEXT NOT NULL,
        work_id TEXT NOT NULL,
        fence INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        nano INTEGER NOT NULL,
        PRIMARY KEY (job_id, work_id)
    ) STRICT""",
)


class Database:
    """A connection to the file. Thread safe; open it only while no other process does.

    Raises `ConfigurationError` when a newer program wrote the file. Every method raises
    `StorageUnavailableError`, `StorageFullError` or `StorageError`.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._database_errors():
            self._connection = sqlite3.connect(
                path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Read in one statement: all rows as of one moment."""
        with self._lock, self._database_errors():
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. It commits at the end of the block and rolls back on any exception."""
        with self._lock, self._database_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, such as a full disk.
                if self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; a second call is harmless."""
        with self._lock, self._database_errors():
            self._connection.close()

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        with self._database_errors():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
        found = self._schema_version()
        if found > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{self._path} was written by a newer seedwright (schema {found}, this one knows "
                f"{SCHEMA_VERSION}): upgrade seedwright or choose another directory"
            )
        if found == 0:
            self._create_tables()

    def _create_tables(self) -> None:
        with self.write() as connection:
            if self._schema_version() == 0:  # nobody created them while we waited
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _schema_version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: sqlite3.Error) -> StorageError:
        # The low byte is the primary code; the rest says where it happened.
        code = (getattr(exc, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return StorageBusyError(f"{self._path} is locked by another process: try again")
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._no_space()):
            return StorageFullError(f"no space left for {self._path}: free some, then run again")
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return StorageError(f"{self._path} is damaged: restore a copy or move it away")
        name = getattr(exc, "sqlite_errorname", None) or type(exc).__name__
        return StorageError(f"{self._path} failed with {name}: check the disk and its permissions")

    def _no_space(self) -> bool:
        """Some writes, such as growing the shared memory, report a full disk as an I/O error."""
        try:
            return os.statvfs(self._path.parent).f_bavail == 0
        except OSError:
            return False


@contextmanager
def disk_errors(action: str) -> Iterator[None]:
    """Turn any `OSError` of the block into `StorageFullError` or `StorageError`.

    `action` completes "could not …"; it holds a path or a key, never content.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in _DISK_FULL:
            raise StorageFullError(
                f"could not {action}: no space left, free some and run again"
            ) from exc
        name = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
        raise StorageError(
            f"could not {action} ({name}): check the disk and its permissions"
        ) from exc

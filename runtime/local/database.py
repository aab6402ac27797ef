"""The SQLite file that holds a laptop's tables.

One connection a process, guarded by a lock, because the heartbeat thread writes beside the thread
that owns the work. Other processes may open the same file: every change is a transaction that
takes the write lock first (BEGIN IMMEDIATE), so what it read can't change before it writes.
Commits are synced to the disk (synchronous=FULL): what was spent stays spent after a power cut.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from runtime.domain.errors import (
    ConfigurationError,
    StorageBusyError,
    StorageError,
    StorageFullError,
)
from runtime.local.schema import SCHEMA_VERSION, upgrade

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process before it is reported as unavailable."""


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

    def rows(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[sqlite3.Row]:
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
        if found < SCHEMA_VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        with self.write() as connection:
            # Read again: somebody else may have done it while we waited for the lock.
            upgrade(connection, self._schema_version())

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


def parse_time(text: str | None) -> datetime | None:
    """A stored moment. As text they sort as in time: all are UTC, and ISO 8601 keeps the order."""
    return None if text is None else datetime.fromisoformat(text)

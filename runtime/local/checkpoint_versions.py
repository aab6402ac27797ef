"""Checkpoint versions in SQLite: the conditional half of a checkpoint."""

import sqlite3

from runtime.domain.errors import ConflictError, LeaseLostError
from runtime.domain.ports import CheckpointVersion
from runtime.local.database import Database

_SELECT = "SELECT version, records_generated, fence FROM checkpoint_versions WHERE work_id = ?"


class SqliteCheckpointVersions:
    """Implements `ports.CheckpointVersions`."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def get(self, work_id: str) -> CheckpointVersion | None:
        rows = self._database.rows(_SELECT, (work_id,))
        return _version_of(rows[0]) if rows else None

    def put(self, work_id: str, new: CheckpointVersion) -> None:
        with self._database.write() as connection:
            row = connection.execute(_SELECT, (work_id,)).fetchone()
            stored = None if row is None else _version_of(row)
            if stored == new:
                return  # stored by an earlier call whose caller didn't learn of it
            if stored is not None and stored.fence > new.fence:
                raise LeaseLostError(f"another worker took {work_id}: stop writing")
            version = 0 if stored is None else stored.version
            if version != new.version - 1:
                raise ConflictError(
                    f"the checkpoint of {work_id} is at version {version},"
                    f" so version {new.version} doesn't follow: reload it"
                )
            connection.execute(
                "INSERT OR REPLACE INTO checkpoint_versions"
                " (work_id, version, records_generated, fence) VALUES (?, ?, ?, ?)",
                (work_id, new.version, new.records_generated, new.fence),
            )


def _version_of(row: sqlite3.Row) -> CheckpointVersion:
    return CheckpointVersion(
        version=row["version"], records_generated=row["records_generated"], fence=row["fence"]
    )

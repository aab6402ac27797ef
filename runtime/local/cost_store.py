"""Cost entries in SQLite."""

from runtime.local.database import Database


class SqliteCostStore:
    """Implements `ports.CostStore`."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def add(self, job_id: str, *, entry_id: str, cost_nano: int, tokens: int) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO costs (job_id, entry_id, cost_nano, tokens)"
                " VALUES (?, ?, ?, ?)",
                (job_id, entry_id, cost_nano, tokens),
            )

    def total(self, job_id: str) -> int:
        rows = self._database.rows(
            "SELECT coalesce(sum(cost_nano), 0) FROM costs WHERE job_id = ?", (job_id,)
        )
        return int(rows[0][0])

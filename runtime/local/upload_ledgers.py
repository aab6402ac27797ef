"""The ledgers of uploads in SQLite."""

import json

from runtime.domain.errors import ConflictError
from runtime.domain.seeds.uploads import Reservation, UploadLedger
from runtime.local.database import Database, parse_time

_REPLACE = """
    INSERT INTO upload_ledgers (user_id, revision, reserved) VALUES (?, ?, ?)
    ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, reserved = excluded.reserved
    WHERE upload_ledgers.revision = excluded.revision - 1"""


class SqliteUploadLedgers:
    """Implements `uploads.UploadLedgers`."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def get(self, user_id: str) -> UploadLedger:
        rows = self._database.rows("SELECT * FROM upload_ledgers WHERE user_id = ?", (user_id,))
        if not rows:
            return UploadLedger()
        reserved = json.loads(rows[0]["reserved"])
        return UploadLedger(
            revision=rows[0]["revision"],
            reserved={name: _parse(*each) for name, each in reserved.items()},
        )

    def replace(self, user_id: str, ledger: UploadLedger) -> None:
        reserved = {
            name: (each.size, each.form_until.isoformat(), each.until.isoformat())
            for name, each in ledger.reserved.items()
        }
        row = (user_id, ledger.revision, json.dumps(reserved))
        with self._database.write() as connection:
            if connection.execute(_REPLACE, row).rowcount == 0:
                raise ConflictError("another upload was quicker: read the ledger again")


def _parse(size: int, form_until: str, until: str) -> Reservation:
    moments = parse_time(form_until), parse_time(until)
    assert moments[0] is not None  # noqa: S101 - both were written
    assert moments[1] is not None  # noqa: S101
    return Reservation(size=size, form_until=moments[0], until=moments[1])

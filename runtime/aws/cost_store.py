"""The cost tracking table: job_id, timestamp, cost_nano, tokens, recorded_at, expires_at.

The sort key is called `timestamp` and holds the entry id, because a key is what makes an entry
unique: the same entry sent again, even days later, finds itself. The time is in `recorded_at`.
DynamoDB deletes an entry some days after `expires_at` (seconds since 1970).
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from runtime.aws.table import Table, stamp
from runtime.contract.tables import COST_ENTRY_DAYS
from runtime.domain.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoCostStore:
    """Implements `ports.CostStore`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._table = Table(client, table_name)
        self._clock = clock

    def add(self, job_id: str, *, entry_id: str, cost_nano: int, tokens: int) -> None:
        now = self._clock.now()
        expires = now + timedelta(days=COST_ENTRY_DAYS)
        # A refusal is an entry that is there already: it stays as it is and counts once.
        self._table.put_new(
            {
                "job_id": job_id,
                "timestamp": entry_id,
                "cost_nano": cost_nano,
                "tokens": tokens,
                "recorded_at": stamp(now),
                "expires_at": int(expires.timestamp()),
            },
            absent="job_id",
        )

    def total(self, job_id: str) -> int:
        return sum(int(item["cost_nano"]) for item in self._table.query("job_id", job_id))

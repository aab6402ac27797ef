"""The checkpoint metadata table.

An item: job_id (the key, which holds the work id), version, records_generated, fence.
"""

from typing import TYPE_CHECKING

from runtime.aws.table import Item, Refused, Table
from runtime.domain.errors import ConflictError, LeaseLostError
from runtime.domain.ports import CheckpointVersion

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoCheckpointVersions:
    """Implements `ports.CheckpointVersions`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def get(self, work_id: str) -> CheckpointVersion | None:
        item = self._table.get({"job_id": work_id})
        return None if item is None else _parse(item)

    def put(self, work_id: str, new: CheckpointVersion) -> None:
        previous = new.version - 1
        # Excludes two writers that both saved on top of the same version.
        condition = "#version = :previous" if previous else "attribute_not_exists(#version)"
        values = {
            ":version": new.version,
            ":generated": new.records_generated,
            ":fence": new.fence,
            **({":previous": previous} if previous else {}),
        }
        outcome = self._table.update(
            {"job_id": work_id},
            set_="#version = :version, #records_generated = :generated, #fence = :fence",
            # The fence excludes an owner that lost its lease and still knows the right version.
            condition=f"({condition}) AND (attribute_not_exists(#fence) OR #fence <= :fence)",
            values=values,
        )
        if isinstance(outcome, Refused):
            _judge(outcome, work_id, new)


def _judge(refused: Refused, work_id: str, new: CheckpointVersion) -> None:
    stored = None if refused.item is None else _parse(refused.item)
    if stored == new:
        return  # our own write, whose reply was lost
    if stored is not None and stored.fence > new.fence:
        raise LeaseLostError(f"work {work_id} has another owner: its checkpoint is not replaced")
    found = 0 if stored is None else stored.version
    raise ConflictError(
        f"the checkpoint of {work_id} is at version {found}, not {new.version - 1}: load it again"
    )


def _parse(item: Item) -> CheckpointVersion:
    return CheckpointVersion(
        version=int(item["version"]),
        records_generated=int(item["records_generated"]),
        fence=int(item["fence"]),
    )

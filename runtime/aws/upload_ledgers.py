"""The ledgers of uploads in DynamoDB, one item a user: `seeds#{user_id}` of the budgets table, with
`revision` and `reserved`, a map of upload id to {size, form_until, until}.
"""

from typing import TYPE_CHECKING, Any

from runtime.aws.table import Item, Refused, Table, parse_stamp, stamp
from runtime.domain.errors import ConflictError
from runtime.domain.seeds.uploads import Reservation, UploadLedger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoUploadLedgers:
    """Implements `uploads.UploadLedgers`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def get(self, user_id: str) -> UploadLedger:
        item = self._table.get(_key(user_id))
        if item is None:
            return UploadLedger()
        return UploadLedger(
            revision=int(item["revision"]),
            reserved={name: _parse(each) for name, each in item["reserved"].items()},
        )

    def replace(self, user_id: str, ledger: UploadLedger) -> None:
        before = ledger.revision - 1
        outcome = self._table.update(
            _key(user_id),
            set_="#revision = :next, #reserved = :reserved",
            # Excludes two uploads that both saw room for the last bytes.
            condition="#revision = :before" if before else "attribute_not_exists(#revision)",
            values={
                ":next": ledger.revision,
                ":reserved": {name: _item(each) for name, each in ledger.reserved.items()},
                **({":before": before} if before else {}),
            },
        )
        if isinstance(outcome, Refused):
            raise ConflictError("another upload was quicker: read the ledger again")


def _key(user_id: str) -> Item:
    return {"account_id": f"seeds#{user_id}"}


def _item(each: Reservation) -> Item:
    return {
        "size": each.size,
        "form_until": stamp(each.form_until),
        "until": stamp(each.until),
    }


def _parse(item: Any) -> Reservation:
    return Reservation(
        size=int(item["size"]),
        form_until=parse_stamp(item["form_until"]),
        until=parse_stamp(item["until"]),
    )

"""Writes to several DynamoDB items of which all happen or none.

The SDK sends a token with a transaction, by which DynamoDB recognises it when it is sent again for
a lost reply. That holds for ten minutes; the `write_token` that every written item carries (see
`table.py`) holds as long as one of them stands as it was written.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.failures import (
    CONDITION_REASON,
    CONFLICT_REASON,
    SDK_ERRORS,
    cancellations,
    dynamodb_error,
)
from runtime.aws.table import (
    Item,
    Refused,
    aliases_in,
    from_attributes,
    random_token,
    to_attributes,
    update_request,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_CONFLICT_PAUSES: Final = (0.05, 0.1, 0.2)
"""Seconds before a transaction that collided with another write is tried again, more or less, so
that those which collided don't meet again: the SDK doesn't retry it."""


_PATIENT_PAUSES: Final = (*_CONFLICT_PAUSES, 0.4, 0.8, 1.6)
"""For writes that nobody would make again, on items that everybody writes."""


class Transaction:
    """Collects writes until `commit`. Each item may be named once."""

    def __init__(
        self,
        client: "DynamoDBClient",
        *,
        new_token: Callable[[], str] = random_token,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._token = new_token()
        self._sleep = sleep
        self._parts: list[Any] = []
        self._tables: list[str] = []

    def put_new(self, table: str, item: Item, *, absent: str) -> None:
        """Store an item where the key attribute `absent` is not there yet."""
        self._add(
            "Put",
            table,
            {
                "Item": to_attributes({**item, "write_token": self._token}),
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": absent},
            },
        )

    @property
    def size(self) -> int:
        """How many writes it has so far."""
        return len(self._parts)

    def update(
        self,
        table: str,
        key: Item,
        *,
        values: Item,
        set_: str,
        remove: str = "",
        condition: str = "",
    ) -> None:
        """Change one item if `condition` holds; without one, in any case."""
        request = update_request(
            key,
            condition=condition,
            values=values,
            set_=set_,
            remove=remove,
            names={},
            token=self._token,
        )
        self._add("Update", table, request)

    def delete(self, table: str, key: Item) -> None:
        """Remove one item; a missing one is fine."""
        self._add("Delete", table, {"Key": to_attributes(key)})

    def require(self, table: str, key: Item, *, condition: str, values: Item) -> None:
        """Go through only if this holds of an item that is not written to."""
        self._add(
            "ConditionCheck",
            table,
            {
                "Key": to_attributes(key),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": aliases_in(condition),
                "ExpressionAttributeValues": to_attributes(values),
            },
        )

    def commit(self, *, patient: bool = False) -> tuple[Refused | None, ...]:
        """Write. Empty if it is done; else what refused each part, in order, None where nothing
        did. `patient` goes on for some three seconds while other writes are in the way. Raises
        `StorageUnavailableError`, or `StorageError` for a fault that stays.
        """
        pauses = iter(_PATIENT_PAUSES if patient else _CONFLICT_PAUSES)
        while True:
            try:
                self._client.transact_write_items(TransactItems=self._parts)
            except SDK_ERRORS as exc:
                reasons = cancellations(exc)
                codes = {code for code, _ in reasons}
                if CONDITION_REASON in codes:
                    return self._refusals(reasons)
                pause = next(pauses, None)
                if pause is None or CONFLICT_REASON not in codes:
                    tables = ", ".join(dict.fromkeys(self._tables))
                    raise dynamodb_error(exc, table=tables) from exc
                self._sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - see above
            else:
                return ()

    def _refusals(
        self, reasons: list[tuple[str, dict[str, Any] | None]]
    ) -> tuple[Refused | None, ...]:
        refusals: list[Refused | None] = []
        for code, attributes in reasons:
            item = None if attributes is None else from_attributes(attributes)
            if item is not None and item.get("write_token") == self._token:
                return ()  # our own write, whose reply was lost
            refusals.append(Refused(item=item) if code == CONDITION_REASON else None)
        return tuple(refusals)

    def _add(self, action: str, table: str, request: Any) -> None:
        if "ConditionExpression" in request:
            request = {**request, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        self._parts.append({action: {"TableName": table, **request}})
        self._tables.append(table)

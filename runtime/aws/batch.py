"""Many DynamoDB items, read or removed some at a time."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.failures import SDK_ERRORS, dynamodb_error
from runtime.aws.table import Item, from_attributes, to_attributes
from runtime.domain.errors import StorageBusyError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_BATCH: Final = 25
"""Most items that one BatchWriteItem takes."""

_READ_BATCH: Final = 100
"""Most items that one BatchGetItem takes."""

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before what a throttled table left over is sent again: the SDK sees a success."""


def delete_items(
    client: "DynamoDBClient",
    table: str,
    keys: Iterable[Item],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove items by key; missing ones are fine. Raises `StorageUnavailableError` when the table
    stays throttled, or `StorageError` for a fault that stays.
    """
    remaining = iter(keys)
    while chunk := list(islice(remaining, _BATCH)):
        requests: Any = [{"DeleteRequest": {"Key": to_attributes(key)}} for key in chunk]
        pauses = iter(_PAUSES)
        while requests:
            try:
                reply = client.batch_write_item(RequestItems={table: requests})
            except SDK_ERRORS as exc:
                raise dynamodb_error(exc, table=table) from exc
            requests = reply.get("UnprocessedItems", {}).get(table, [])
            if requests:
                _pause(pauses, table, sleep)


def get_items(
    client: "DynamoDBClient",
    table: str,
    keys: Iterable[Item],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """Items by key, in any order; missing ones are left out. Each is read strongly consistent, but
    not all at one moment. Raises as `delete_items` does.
    """
    remaining = iter(keys)
    while chunk := list(islice(remaining, _READ_BATCH)):
        request: Any = {"Keys": list(map(to_attributes, chunk)), "ConsistentRead": True}
        pauses = iter(_PAUSES)
        while request:
            try:
                reply = client.batch_get_item(RequestItems={table: request})
            except SDK_ERRORS as exc:
                raise dynamodb_error(exc, table=table) from exc
            yield from map(from_attributes, reply["Responses"].get(table, []))
            request = reply.get("UnprocessedKeys", {}).get(table)
            if request:
                _pause(pauses, table, sleep)


def _pause(pauses: Iterator[float], table: str, sleep: Callable[[float], None]) -> None:
    pause = next(pauses, None)
    if pause is None:
        raise StorageBusyError(f"table {table} is throttled: try again")
    sleep(pause)

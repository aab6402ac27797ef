"""Items of a table as they were at a time: from a table that DynamoDB restores, back into its own.

DynamoDB restores into a new table only, within minutes to hours. What is missing in the table in
use is then put back, item by item; what differs there is left alone, or replaced if that is asked
for, under the condition that nobody has changed it since it was read.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.failures import CONDITION_FAILED, SDK_ERRORS, dynamodb_error, error_code
from runtime.aws.job_items import SHARE_ATTRIBUTES
from runtime.aws.slices import FREE
from runtime.domain.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

POLL_SECONDS: Final = 15.0
_ABSENT: Final = "ResourceNotFoundException"


class Outcome(StrEnum):
    """What became of an item, or would become of it."""

    SAME = "same"
    PUT_BACK = "put back"
    REPLACED = "replaced"
    DIFFERS = "differs and is left"
    CHANGED_MEANWHILE = "changed meanwhile and is left"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One item, by its key as text."""

    key: str
    outcome: Outcome


Report = Callable[[Result], None]


class TableRestore:
    """Restores items of one table by way of another. Raises `StorageError`."""

    def __init__(
        self,
        *,
        client: "DynamoDBClient",
        table: str,
        restored: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._restored = restored
        self._sleep = sleep

    def begin(self, at: datetime) -> None:
        """Have the table restored as it was at `at` under the other name, and wait until it can be
        read. Where there is a table of that name already, it is taken for this one.
        """
        if self._status() is None:
            try:
                self._client.restore_table_to_point_in_time(
                    SourceTableName=self._table,
                    TargetTableName=self._restored,
                    RestoreDateTime=at,
                    # An index that nobody reads costs as much time and money as the table.
                    GlobalSecondaryIndexOverride=[],
                    BillingModeOverride="PAY_PER_REQUEST",
                )
            except SDK_ERRORS as exc:
                raise dynamodb_error(exc, table=self._table) from exc
        while self._status() != "ACTIVE":
            self._sleep(POLL_SECONDS)

    def copy(self, key: str, *, replace: bool, apply: bool, report: Report) -> None:
        """Put back the items whose partition key is `key`, or `key` and a shard; all where it is
        empty. Without `apply` say what would be done. Raises `NotFoundError` where the restored
        table isn't there, and `ConflictError` while it can't be read.
        """
        status = self._status()
        if status is None:
            raise NotFoundError(f"no table {self._restored}: restore it first (begin)")
        if status != "ACTIVE":
            raise ConflictError(f"table {self._restored} is {status}: try again in some minutes")
        names = self._key_names()
        for item in self._items():
            key_of_item = {name: item[name] for name in names}
            partition = str(next(iter(item[names[0]].values())))
            if key and partition != key and not partition.startswith(f"{key}#"):
                continue
            outcome = self._put(key_of_item, item, replace=replace, apply=apply)
            shown = "/".join(str(next(iter(each.values()))) for each in key_of_item.values())
            report(Result(key=shown, outcome=outcome))

    def _status(self) -> str | None:
        """Of the restored table; None: there is none."""
        try:
            return self._client.describe_table(TableName=self._restored)["Table"]["TableStatus"]
        except SDK_ERRORS as exc:
            if error_code(exc) == _ABSENT:
                return None
            raise dynamodb_error(exc, table=self._restored) from exc

    def _key_names(self) -> list[str]:
        try:
            schema = self._client.describe_table(TableName=self._table)["Table"]["KeySchema"]
        except SDK_ERRORS as exc:
            raise dynamodb_error(exc, table=self._table) from exc
        return [each["AttributeName"] for each in schema]

    def _items(self) -> Iterator[Any]:
        try:
            for page in self._client.get_paginator("scan").paginate(TableName=self._restored):
                yield from page["Items"]
        except SDK_ERRORS as exc:
            raise dynamodb_error(exc, table=self._restored) from exc

    def _put(self, key: Any, item: Any, *, replace: bool, apply: bool) -> Outcome:
        try:
            found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
            now = found.get("Item")
            item = item if now == item else _nothing_free(_with_share_of(now, item))
            if now == item:
                return Outcome.SAME
            if now is not None and not replace:
                return Outcome.DIFFERS
            if apply:
                self._client.put_item(TableName=self._table, Item=item, **_unchanged(key, now))
        except SDK_ERRORS as exc:
            if error_code(exc) == CONDITION_FAILED:
                return Outcome.CHANGED_MEANWHILE
            raise dynamodb_error(exc, table=self._table) from exc
        return Outcome.PUT_BACK if now is None else Outcome.REPLACED


def _with_share_of(now: Any, then: Any) -> Any:
    """An item of then with what its job has now in the accounts of a month, which stay as they are:
    with the share of then they would get back a second time what they have got back since.
    """
    kept = {name: now[name] for name in SHARE_ATTRIBUTES if now is not None and name in now}
    return {name: each for name, each in then.items() if name not in SHARE_ATTRIBUTES} | kept


def _nothing_free(then: Any) -> Any:
    """A slice of then without what was free in it: that may have returned to the job's account
    since, and been spent by another shard.
    """
    return {**then, FREE: {"N": "0"}} if FREE in then else then


def _unchanged(key: Any, now: Any) -> Any:
    """The condition that an item still is what was read. Every write leaves a token of its own."""
    if now is None:
        return {
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": next(iter(key))},
        }
    if "write_token" not in now:
        return {
            "ConditionExpression": "attribute_exists(#key) AND attribute_not_exists(#token)",
            "ExpressionAttributeNames": {"#key": next(iter(key)), "#token": "write_token"},
        }
    return {
        "ConditionExpression": "#token = :token",
        "ExpressionAttributeNames": {"#token": "write_token"},
        "ExpressionAttributeValues": {":token": now["write_token"]},
    }

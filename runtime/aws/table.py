"""One DynamoDB table: plain Python values in and out, and conditional writes that can say no.

The SDK sends a write again when its reply is lost. The second try of a conditional write then
fails on what the first one wrote. So every write stores a token of its own (`write_token`), and a
refusal that shows this token is the success whose reply was lost.

In expressions `#name` stands for the attribute `name`, so that reserved words need no care.
`transaction.py` writes to several items at once.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from runtime.aws.failures import (
    CONDITION_FAILED,
    SDK_ERRORS,
    dynamodb_error,
    error_code,
    refused_item,
)
from runtime.contract import tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
"""Attributes by name: strings, integers or Decimals, booleans, None, lists and maps."""

TableNames = Callable[[tables.Table], str]
"""Physical names, for adapters that touch several tables: each is asked for when it is needed,
because a process that only reads one is not told the others."""

_NAME: Final = re.compile(r"#\w+")
_serializer: Final = TypeSerializer()
_deserializer: Final = TypeDeserializer()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A condition did not hold. `item` is what stood there; None: nothing."""

    item: Item | None


def random_token() -> str:
    """A mark of one write, stored with what it wrote."""
    return secrets.token_hex(8)


class Table:
    """All calls raise `StorageUnavailableError`, or `StorageError` for a fault that stays."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        *,
        new_token: Callable[[], str] = random_token,
    ) -> None:
        self._client = client
        self._name = name
        self._new_token = new_token

    @property
    def name(self) -> str:
        """The table's physical name."""
        return self._name

    def get(self, key: Item) -> Item | None:
        """Strongly consistent read."""
        try:
            reply = self._client.get_item(
                TableName=self._name, Key=to_attributes(key), ConsistentRead=True
            )
        except SDK_ERRORS as exc:
            raise dynamodb_error(exc, table=self._name) from exc
        found = reply.get("Item")
        return None if found is None else from_attributes(found)

    def put_new(self, item: Item, *, absent: str) -> Refused | None:
        """Store an item. The condition, that the key attribute `absent` is not there, excludes two
        writers that both believe the key to be free.
        """
        token = self._new_token()
        try:
            self._client.put_item(
                TableName=self._name,
                Item=to_attributes({**item, "write_token": token}),
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": absent},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except SDK_ERRORS as exc:
            outcome = self._refusal(exc, token)
            return outcome if isinstance(outcome, Refused) else None
        return None

    def update(
        self,
        key: Item,
        *,
        condition: str,
        values: Item,
        set_: str = "",
        remove: str = "",
        names: Mapping[str, str] | None = None,
    ) -> Item | Refused:
        """Change one item if `condition` holds; its new attributes. `names` adds aliases for
        attributes whose name is only known at run time.
        """
        token = self._new_token()
        request = update_request(
            key,
            condition=condition,
            values=values,
            set_=set_,
            remove=remove,
            names=names or {},
            token=token,
        )
        try:
            reply = self._client.update_item(
                TableName=self._name,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **request,
            )
        except SDK_ERRORS as exc:
            return self._refusal(exc, token)
        return from_attributes(reply["Attributes"])

    def delete(
        self, key: Item, *, condition: str | None = None, values: Item | None = None
    ) -> Refused | None:
        """Remove one item if `condition` holds. Without a condition a missing item is fine."""
        guard: dict[str, Any] = {}
        if condition:
            guard = {
                "ConditionExpression": condition,
                "ExpressionAttributeNames": aliases_in(condition),
                "ExpressionAttributeValues": to_attributes(values or {}),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        try:
            self._client.delete_item(TableName=self._name, Key=to_attributes(key), **guard)
        except SDK_ERRORS as exc:
            outcome = self._refusal(exc, "")
            return outcome if isinstance(outcome, Refused) else None
        return None

    def query(
        self,
        attribute: str,
        value: str,
        *,
        index: str | None = None,
        newest_first: bool = False,
        page_size: int | None = None,
        after: Item | None = None,
        attributes: tuple[str, ...] = (),
    ) -> Iterator[Item]:
        """Items whose partition key is `value`, in order of the sort key, page by page. Strongly
        consistent, except through an index, which may lag.

        `after` is the whole key, that of the index included, behind which to begin; nothing has to
        stand there. `attributes` are the only ones wanted; none: all.
        """
        request = _query_request(self._name, attribute, value, index=index)
        request["ScanIndexForward"] = not newest_first
        if page_size:
            request["Limit"] = page_size
        if after is not None:
            request["ExclusiveStartKey"] = to_attributes(after)
        if attributes:
            request["ProjectionExpression"] = ", ".join(f"#{name}" for name in attributes)
            request["ExpressionAttributeNames"] |= {f"#{name}": name for name in attributes}
        for page in self._pages(request):
            yield from map(from_attributes, page["Items"])

    def count(self, attribute: str, value: str, *, index: str, at_most: int) -> int:
        """How many items of an index have this partition key, counted up to `at_most`."""
        request = _query_request(self._name, attribute, value, index=index)
        found = 0
        for page in self._pages(request | {"Select": "COUNT", "Limit": at_most}):
            found += page["Count"]
            if found >= at_most:
                return at_most
        return found

    def _pages(self, request: dict[str, Any]) -> Iterator[Any]:
        while True:
            try:
                page = self._client.query(**request)
            except SDK_ERRORS as exc:
                raise dynamodb_error(exc, table=self._name) from exc
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request = {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _refusal(self, exc: Exception, token: str) -> Item | Refused:
        """Called with a failed write: its own state if it had succeeded before, or the refusal."""
        if not isinstance(exc, ClientError) or error_code(exc) != CONDITION_FAILED:
            raise dynamodb_error(exc, table=self._name) from exc
        stored = refused_item(exc)
        item = None if stored is None else from_attributes(stored)
        if item is not None and item.get("write_token") == token:
            return item
        return Refused(item=item)


def update_request(
    key: Item,
    *,
    condition: str,
    values: Item,
    set_: str,
    remove: str,
    names: Mapping[str, str],
    token: str,
) -> Any:
    """The part that UpdateItem and an update in a transaction have in common."""
    sets = ", ".join(filter(None, (set_, "#write_token = :write_token")))
    update = f"SET {sets}" + (f" REMOVE {remove}" if remove else "")
    return {
        "Key": to_attributes(key),
        "UpdateExpression": update,
        **({"ConditionExpression": condition} if condition else {}),
        "ExpressionAttributeNames": {**aliases_in(f"{update} {condition}"), **names},
        "ExpressionAttributeValues": to_attributes({**values, ":write_token": token}),
    }


def aliases_in(expression: str) -> dict[str, str]:
    """The attribute behind each `#name` of an expression."""
    return {name: name[1:] for name in _NAME.findall(expression)}


def _query_request(name: str, attribute: str, value: str, *, index: str | None) -> dict[str, Any]:
    return {
        "TableName": name,
        "KeyConditionExpression": f"#{attribute} = :key",
        "ExpressionAttributeNames": {f"#{attribute}": attribute},
        "ExpressionAttributeValues": to_attributes({":key": value}),
        **({"IndexName": index} if index else {"ConsistentRead": True}),
    }


def to_attributes(item: Item) -> dict[str, Any]:
    """In DynamoDB's own types, such as {"S": "text"}. Floats are refused by the SDK."""
    return {name: _serializer.serialize(value) for name, value in item.items()}


def from_attributes(attributes: Item) -> Item:
    """Inverse of `to_attributes`; every number is a Decimal."""
    return {name: _deserializer.deserialize(value) for name, value in attributes.items()}


def stamp(moment: datetime) -> str:
    """ISO-8601 in UTC with a fixed width, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_stamp(text: str) -> datetime:
    """Inverse of `stamp`."""
    return datetime.fromisoformat(text).astimezone(UTC)

"""One DynamoDB table: plain Python values in and out, and conditional writes that can say no.

The SDK sends a write again when its reply is lost. The second try of a conditional write then
fails on what the first one wrote. So every write stores a token of its own (`write_token`), and a
refusal that shows this token is the success whose reply was lost.

In expressions `#name` stands for the attribute `name`, so that reserved words need no care.
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

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
"""Attributes by name: strings, integers or Decimals, booleans, None, lists and maps."""

_NAME: Final = re.compile(r"#\w+")
_serializer: Final = TypeSerializer()
_deserializer: Final = TypeDeserializer()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A condition did not hold. `item` is what stood there; None: nothing."""

    item: Item | None


def _random_token() -> str:
    return secrets.token_hex(8)


class Table:
    """All calls raise `StorageUnavailableError`, or `StorageError` for a fault that stays."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        *,
        new_token: Callable[[], str] = _random_token,
    ) -> None:
        self._client = client
        self._name = name
        self._new_token = new_token

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
        set_: str,
        condition: str,
        values: Item,
        remove: str = "",
        names: Mapping[str, str] | None = None,
    ) -> Item | Refused:
        """Change one item if `condition` holds; its new attributes. `names` adds aliases for
        attributes whose name is only known at run time.
        """
        token = self._new_token()
        update = f"SET {set_}, #write_token = :write_token" + (
            f" REMOVE {remove}" if remove else ""
        )
        aliases = {name: name[1:] for name in _NAME.findall(f"{update} {condition}")}
        try:
            reply = self._client.update_item(
                TableName=self._name,
                Key=to_attributes(key),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={**aliases, **(names or {})},
                ExpressionAttributeValues=to_attributes({**values, ":write_token": token}),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except SDK_ERRORS as exc:
            return self._refusal(exc, token)
        return from_attributes(reply["Attributes"])

    def query(
        self,
        attribute: str,
        value: str,
        *,
        index: str | None = None,
        newest_first: bool = False,
        page_size: int | None = None,
    ) -> Iterator[Item]:
        """Items whose partition key is `value`, in order of the sort key, page by page. Strongly
        consistent, except through an index, which may lag.
        """
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": {"#key": attribute},
            "ExpressionAttributeValues": to_attributes({":key": value}),
            "ScanIndexForward": not newest_first,
            **({"IndexName": index} if index else {"ConsistentRead": True}),
            **({"Limit": page_size} if page_size else {}),
        }
        while True:
            try:
                page = self._client.query(**request)
            except SDK_ERRORS as exc:
                raise dynamodb_error(exc, table=self._name) from exc
            yield from map(from_attributes, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _refusal(self, exc: Exception, token: str) -> Item | Refused:
        """Called with a failed write: its own state if it had succeeded before, or the refusal."""
        if not isinstance(exc, ClientError) or error_code(exc) != CONDITION_FAILED:
            raise dynamodb_error(exc, table=self._name) from exc
        stored = refused_item(exc)
        item = None if stored is None else from_attributes(stored)
        if item is not None and item.get("write_token") == token:
            return item
        return Refused(item=item)


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

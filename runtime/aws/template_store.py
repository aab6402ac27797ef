"""The templates table: template_id, version, user_id, name, document, created_at.

`document` is JSON text: a DynamoDB map would turn its floats into Decimals and refuse deep schemas.
"""

import json
from typing import TYPE_CHECKING, Final

from runtime.aws.table import Table, stamp
from runtime.domain.errors import ConflictError, TemplateError, TemplateNotFoundError
from runtime.domain.job import TemplateRef
from runtime.domain.ports import Clock
from runtime.domain.template import Template
from runtime.domain.template_document import document_of, parse_template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

MAX_DOCUMENT_BYTES: Final = 380_000
"""A DynamoDB item takes 400 KB, with its keys and other attributes."""


class DynamoTemplateStore:
    """Implements `ports.TemplateStore`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._table = Table(client, table_name)
        self._clock = clock

    def load_template(self, ref: TemplateRef) -> Template:
        item = self._table.get({"template_id": ref.template_id, "version": ref.version})
        if item is None:
            raise TemplateNotFoundError(
                f"Template not found: {ref.template_id} version {ref.version}"
            )
        return parse_template(json.loads(item["document"]))

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        document = json.dumps(document_of(template), ensure_ascii=False, separators=(",", ":"))
        size = len(document.encode())
        if size > MAX_DOCUMENT_BYTES:
            raise TemplateError(
                f"the template has {size} bytes with its fragments;"
                f" at most {MAX_DOCUMENT_BYTES} can be stored"
            )
        newest = self._table.query("template_id", template_id, newest_first=True, page_size=1)
        latest = next(newest, None)
        if latest is not None and latest["user_id"] != user_id:
            raise ConflictError(f"template {template_id} is taken: choose another id")
        version = 1 if latest is None else int(latest["version"]) + 1
        refused = self._table.put_new(
            {
                "template_id": template_id,
                "version": version,
                "user_id": user_id,
                "name": template.name,
                "document": document,
                "created_at": stamp(self._clock.now()),
            },
            absent="template_id",
        )
        if refused:
            raise ConflictError(
                f"version {version} of template {template_id} was saved by somebody else: try again"
            )
        return TemplateRef(template_id=template_id, version=version)

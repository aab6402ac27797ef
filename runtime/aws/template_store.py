"""Templates as the engine reads and saves them; see `template_catalog.py` for the items."""

from typing import TYPE_CHECKING

from runtime.aws.table import Table
from runtime.aws.template_catalog import FIRST_VERSION, DynamoTemplateCatalog
from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.ports import Clock
from runtime.domain.templates.storage import parse_stored
from runtime.domain.templates.template import Template, TemplateRef

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoTemplateStore:
    """Implements `ports.TemplateStore`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._table = Table(client, table_name)
        self._catalog = DynamoTemplateCatalog(client=client, table_name=table_name, clock=clock)

    def load_template(self, ref: TemplateRef) -> Template:
        item = None
        if ref.version >= FIRST_VERSION:
            item = self._table.get({"template_id": ref.template_id, "version": ref.version})
        if item is None:
            raise TemplateNotFoundError(
                f"Template not found: {ref.template_id} version {ref.version}"
            )
        return parse_stored(item["document"])

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        try:
            head = self._catalog.get_head(template_id)
        except TemplateNotFoundError:
            return self._catalog.create(user_id, template_id, template, public=False).latest
        if head.user_id != user_id:
            raise ConflictError(f"template {template_id} is taken: choose another id")
        try:
            return self._catalog.update(head, template, public=head.public).latest
        except TemplateNotFoundError as exc:
            raise ConflictError(f"template {template_id} was deleted meanwhile") from exc

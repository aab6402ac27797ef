"""The templates table: a head and immutable versions.

    version 0, the head    template_id, version, user_id, latest_version, name, description,
                           created_at, updated_at; listed_by (the user's id) and, for a public
                           template, public ("yes"): by these two the indexes list it
    version 1, 2, …        template_id, version, user_id, name, document, created_at; published
                           (true) if it was the latest one while the template was public;
                           expires_at once the template is deleted (seconds since 1970)

Versions were stored without `published` once. The latest one of a public template is published in
any case, and is marked as such when the next one is written.

`document` is JSON text: a DynamoDB map would turn its floats into Decimals and refuse deep schemas.
A version and the head that names it as the latest are written in one transaction.
"""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.listing import NewestFirst, unknown_position
from runtime.aws.table import Item, Table, parse_stamp, stamp
from runtime.aws.transaction import Transaction
from runtime.contract.tables import DELETED_TEMPLATE_DAYS, TEMPLATES_BY_USER, TEMPLATES_PUBLIC
from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.pages import Page
from runtime.domain.ports import Clock
from runtime.domain.template_ports import TemplateHead, TemplateVersion
from runtime.domain.templates.storage import stored_text
from runtime.domain.templates.template import Template, TemplateRef

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

HEAD: Final = 0
FIRST_VERSION: Final = 1

_PUBLIC: Final = "yes"
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")


class DynamoTemplateCatalog:
    """Implements `service_ports.TemplateCatalog`."""

    def __init__(self, *, client: "DynamoDBClient", table_name: str, clock: Clock) -> None:
        self._client = client
        self._table = Table(client, table_name)
        self._clock = clock
        self._own = self._index(TEMPLATES_BY_USER, "listed_by")
        self._public = self._index(TEMPLATES_PUBLIC, "public")

    def get_head(self, template_id: str) -> TemplateHead:
        item = self._table.get(_key(template_id, HEAD))
        if item is None:
            raise _no_template(template_id)
        return _parse_head(item)

    def list_own(self, user_id: str, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        return self._own.page(user_id, limit=limit, after=after, parse=_parse_head)

    def list_public(self, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        return self._public.page(_PUBLIC, limit=limit, after=after, parse=_parse_head)

    def list_versions(
        self, template_id: str, *, limit: int, after: str | None = None
    ) -> Page[TemplateVersion]:
        items = self._table.query(
            "template_id",
            template_id,
            newest_first=True,
            page_size=limit + 1,
            after=None if after is None else _key(template_id, _parse_version(after)),
            attributes=("version", "name", "created_at", "published"),
        )
        found: list[TemplateVersion] = []
        for item in items:
            if item["version"] == HEAD:
                break
            if len(found) == limit:
                return Page(items=tuple(found), next=str(found[-1].version))
            found.append(
                TemplateVersion(
                    version=int(item["version"]),
                    name=item["name"],
                    created_at=parse_stamp(item["created_at"]),
                    published=item.get("published") is True,
                )
            )
        return Page(items=tuple(found))

    def is_published(self, ref: TemplateRef) -> bool:
        item = None
        if ref.version >= FIRST_VERSION:
            item = self._table.get(_key(ref.template_id, ref.version))
        if item is None:
            raise _no_template(ref.template_id)
        return item.get("published") is True

    def create(
        self, user_id: str, template_id: str, template: Template, *, public: bool
    ) -> TemplateHead:
        now = self._clock.now()
        head = TemplateHead(
            template_id=template_id,
            user_id=user_id,
            latest_version=FIRST_VERSION,
            public=public,
            name=template.name,
            description=template.description,
            created_at=now,
            updated_at=now,
        )
        transaction = Transaction(self._client)
        # The conditions exclude two creators, and a new template under the id of a deleted one,
        # whose versions running jobs still read.
        transaction.put_new(self._table.name, self._version_item(head, template), absent="version")
        transaction.put_new(self._table.name, _head_item(head), absent="version")
        if transaction.commit():
            raise ConflictError(f"template {template_id} is taken: choose another id")
        return head

    def update(self, head: TemplateHead, template: Template, *, public: bool) -> TemplateHead:
        new = TemplateHead(
            template_id=head.template_id,
            user_id=head.user_id,
            latest_version=head.latest_version + 1,
            public=public,
            name=template.name,
            description=template.description,
            created_at=head.created_at,
            updated_at=self._clock.now(),
        )
        transaction = Transaction(self._client)
        transaction.put_new(self._table.name, self._version_item(new, template), absent="version")
        transaction.update(
            self._table.name,
            _key(head.template_id, HEAD),
            set_="#latest_version = :new, #name = :name, #description = :description,"
            " #updated_at = :now" + (", #public = :public" if public else ""),
            remove="" if public else "#public",
            # Excludes two writers that both saw the same latest version, and one that would bring
            # back half of a deleted template.
            condition="#latest_version = :seen",
            values={
                ":new": new.latest_version,
                ":seen": head.latest_version,
                ":name": new.name,
                ":description": new.description,
                ":now": stamp(new.updated_at),
                **({":public": _PUBLIC} if public else {}),
            },
        )
        if head.public:
            transaction.update(
                self._table.name,
                _key(head.template_id, head.latest_version),
                set_="#published = :yes",
                # A version never goes while its template is there.
                condition="attribute_exists(#document)",
                values={":yes": True},
            )
        if transaction.commit():
            self.get_head(head.template_id)
            raise ConflictError(
                f"version {new.latest_version} of template {head.template_id} was saved by somebody"
                " else: read it, and try again"
            )
        return new

    def delete(self, template_id: str) -> None:
        # The head first: without it nobody pins a version that is about to go.
        self._table.delete(_key(template_id, HEAD))
        expires = self._clock.now() + timedelta(days=DELETED_TEMPLATE_DAYS)
        for item in self._table.query(
            "template_id", template_id, attributes=("version", "expires_at")
        ):
            if "expires_at" not in item:
                self._table.update(
                    _key(template_id, int(item["version"])),
                    set_="#expires_at = :expires",
                    # Excludes a version that has gone meanwhile: the update would bring back half.
                    condition="attribute_exists(#document)",
                    values={":expires": int(expires.timestamp())},
                )

    def _index(self, name: str, partition: str) -> NewestFirst:
        return NewestFirst(
            table=self._table,
            index=name,
            partition=partition,
            identity="template_id",
            fixed={"version": HEAD},
        )

    def _version_item(self, head: TemplateHead, template: Template) -> Item:
        """The head's latest version. Raises `TemplateError`."""
        return {
            **_key(head.template_id, head.latest_version),
            "user_id": head.user_id,
            "name": head.name,
            "document": stored_text(template),
            "created_at": stamp(head.updated_at),
            **({"published": True} if head.public else {}),
        }


def _key(template_id: str, version: int) -> dict[str, Any]:
    return {"template_id": template_id, "version": version}


def _no_template(template_id: str) -> TemplateNotFoundError:
    return TemplateNotFoundError(f"Template not found: {template_id}")


def _parse_version(after: str) -> int:
    """A position in the list of versions. Raises `InputError`."""
    if not _VERSION.fullmatch(after):
        raise unknown_position()
    return int(after)


def _head_item(head: TemplateHead) -> Item:
    return {
        **_key(head.template_id, HEAD),
        "user_id": head.user_id,
        "listed_by": head.user_id,
        "latest_version": head.latest_version,
        "name": head.name,
        "description": head.description,
        "created_at": stamp(head.created_at),
        "updated_at": stamp(head.updated_at),
        **({"public": _PUBLIC} if head.public else {}),
    }


def _parse_head(item: Item) -> TemplateHead:
    return TemplateHead(
        template_id=item["template_id"],
        user_id=item["user_id"],
        latest_version=int(item["latest_version"]),
        public=item.get("public") == _PUBLIC,
        name=item["name"],
        description=item["description"],
        created_at=parse_stamp(item["created_at"]),
        updated_at=parse_stamp(item["updated_at"]),
    )

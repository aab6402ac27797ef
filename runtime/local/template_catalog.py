"""Templates as their users see them, in SQLite."""

import sqlite3
from datetime import datetime, timedelta
from typing import Final

from runtime.contract.tables import DELETED_TEMPLATE_DAYS
from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.pages import Page
from runtime.domain.ports import Clock
from runtime.domain.template_ports import TemplateHead, TemplateVersion
from runtime.domain.templates.storage import stored_text
from runtime.domain.templates.template import Template, TemplateRef
from runtime.local.database import Database
from runtime.local.paging import page_of, parse_number, parse_place, place_of
from runtime.local.template_store import put_version

_LIST: Final = """
    SELECT * FROM template_heads
    WHERE {column} = :value AND (created_at, template_id) < (:moment, :template_id)
    ORDER BY created_at DESC, template_id DESC LIMIT :limit"""
_LIST_OWN: Final = _LIST.format(column="user_id")
_LIST_PUBLIC: Final = _LIST.format(column="public")
_LIST_VERSIONS: Final = """
    SELECT version, name, created_at, published FROM templates
    WHERE template_id = :template_id AND version < coalesce(:before, version + 1)
        AND expires_at IS NULL
    ORDER BY version DESC LIMIT :limit"""


class SqliteTemplateCatalog:
    """Implements `service_ports.TemplateCatalog`. Versions of deleted templates go when their
    time has come and something is deleted.
    """

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get_head(self, template_id: str) -> TemplateHead:
        rows = self._database.rows(
            "SELECT * FROM template_heads WHERE template_id = ?", (template_id,)
        )
        return _head_of(rows[0] if rows else None, template_id)

    def list_own(self, user_id: str, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        return self._list(_LIST_OWN, user_id, limit, after)

    def list_public(self, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        return self._list(_LIST_PUBLIC, 1, limit, after)

    def _list(
        self, select: str, value: str | int, limit: int, after: str | None
    ) -> Page[TemplateHead]:
        moment, template_id = parse_place(after)
        rows = self._database.rows(
            select,
            {"value": value, "moment": moment, "template_id": template_id, "limit": limit + 1},
        )
        return page_of(
            rows,
            limit,
            item=lambda row: _head_of(row, row["template_id"]),
            place=lambda row: place_of(row["created_at"], row["template_id"]),
        )

    def list_versions(
        self, template_id: str, *, limit: int, after: str | None = None
    ) -> Page[TemplateVersion]:
        before = parse_number(after)
        rows = self._database.rows(
            _LIST_VERSIONS, {"template_id": template_id, "before": before, "limit": limit + 1}
        )
        return page_of(rows, limit, item=_version_of, place=lambda row: str(row["version"]))

    def is_published(self, ref: TemplateRef) -> bool:
        rows = self._database.rows(
            "SELECT published FROM templates WHERE template_id = ? AND version = ?",
            (ref.template_id, ref.version),
        )
        if not rows:
            raise TemplateNotFoundError(f"Template not found: {ref.template_id}")
        return bool(rows[0]["published"])

    def create(
        self, user_id: str, template_id: str, template: Template, *, public: bool
    ) -> TemplateHead:
        document = stored_text(template)
        ref = TemplateRef(template_id=template_id, version=1)
        with self._database.write() as connection:
            taken = connection.execute(
                "SELECT 1 FROM templates WHERE template_id = ?", (template_id,)
            )
            if taken.fetchone():
                raise ConflictError(f"template {template_id} is taken: choose another id")
            put_version(
                connection,
                ref,
                template,
                user_id=user_id,
                document=document,
                public=public,
                now=self._now().isoformat(),
            )
            return _stored_head(connection, template_id)

    def update(self, head: TemplateHead, template: Template, *, public: bool) -> TemplateHead:
        document = stored_text(template)
        with self._database.write() as connection:
            stored = _stored_head(connection, head.template_id)
            if stored.latest_version != head.latest_version:
                raise ConflictError(
                    f"template {head.template_id} has version {stored.latest_version} by now:"
                    " read it again"
                )
            put_version(
                connection,
                TemplateRef(template_id=head.template_id, version=head.latest_version + 1),
                template,
                user_id=stored.user_id,
                document=document,
                public=public,
                now=self._now().isoformat(),
            )
            return _stored_head(connection, head.template_id)

    def delete(self, template_id: str) -> None:
        now = self._now()
        with self._database.write() as connection:
            connection.execute("DELETE FROM templates WHERE expires_at <= ?", (now.isoformat(),))
            deleted = connection.execute(
                "DELETE FROM template_heads WHERE template_id = ?", (template_id,)
            )
            if deleted.rowcount:
                connection.execute(
                    "UPDATE templates SET expires_at = ? WHERE template_id = ?",
                    ((now + timedelta(days=DELETED_TEMPLATE_DAYS)).isoformat(), template_id),
                )

    def _now(self) -> datetime:
        return self._clock.now()


def _stored_head(connection: sqlite3.Connection, template_id: str) -> TemplateHead:
    row = connection.execute(
        "SELECT * FROM template_heads WHERE template_id = ?", (template_id,)
    ).fetchone()
    return _head_of(row, template_id)


def _head_of(row: sqlite3.Row | None, template_id: str) -> TemplateHead:
    if row is None:
        raise TemplateNotFoundError(f"Template not found: {template_id}")
    return TemplateHead(
        template_id=row["template_id"],
        user_id=row["user_id"],
        latest_version=row["latest_version"],
        public=bool(row["public"]),
        name=row["name"],
        description=row["description"],
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
    )


def _version_of(row: sqlite3.Row) -> TemplateVersion:
    return TemplateVersion(
        version=row["version"],
        name=row["name"],
        created_at=datetime.fromisoformat(row["created_at"]),
        published=bool(row["published"]),
    )

"""Template versions in SQLite."""

import sqlite3
from typing import Final

from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.ports import Clock
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import Template, TemplateRef
from runtime.local.database import Database

_PUT_HEAD: Final = """
    INSERT INTO template_heads (
        template_id, user_id, latest_version, public, name, description, created_at, updated_at
    ) VALUES (:template_id, :user_id, :version, :public, :name, :description, :now, :now)
    ON CONFLICT (template_id) DO UPDATE SET
        latest_version = excluded.latest_version,
        public = excluded.public,
        name = excluded.name,
        description = excluded.description,
        updated_at = excluded.updated_at"""


class SqliteTemplateStore:
    """Implements `ports.TemplateStore`. Writers wait for each other, so none loses a version;
    `ConflictError` only says that the id belongs to another user or to a deleted template.
    """

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def load_template(self, ref: TemplateRef) -> Template:
        rows = self._database.rows(
            "SELECT document FROM templates WHERE template_id = ? AND version = ?",
            (ref.template_id, ref.version),
        )
        if not rows:
            raise TemplateNotFoundError(
                f"Template not found: {ref.template_id} version {ref.version}"
            )
        return parse_stored(rows[0]["document"])

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        document = stored_text(template)
        with self._database.write() as connection:
            latest = connection.execute(
                "SELECT templates.user_id, version, public, expires_at FROM templates"
                " LEFT JOIN template_heads USING (template_id)"
                " WHERE template_id = ? ORDER BY version DESC LIMIT 1",
                (template_id,),
            ).fetchone()
            if latest is not None and (latest["user_id"] != user_id or latest["expires_at"]):
                raise ConflictError(f"template {template_id} is taken: choose another id")
            ref = TemplateRef(
                template_id=template_id, version=1 if latest is None else latest["version"] + 1
            )
            put_version(
                connection,
                ref,
                template,
                user_id=user_id,
                document=document,
                public=latest is not None and bool(latest["public"]),
                now=self._clock.now().isoformat(),
            )
        return ref


def put_version(
    connection: sqlite3.Connection,
    ref: TemplateRef,
    template: Template,
    *,
    user_id: str,
    document: str,
    public: bool,
    now: str,
) -> None:
    """Add a version, which the caller's transaction has seen to be free, and make it the latest.
    The one before is published if its template is public, also where an older program wrote it.
    """
    values = {
        "template_id": ref.template_id,
        "version": ref.version,
        "user_id": user_id,
        "name": template.name,
        "description": template.description,
        "public": public,
        "document": document,
        "now": now,
    }
    connection.execute(
        "UPDATE templates SET published = 1 WHERE (template_id, version) IN ("
        " SELECT template_id, latest_version FROM template_heads"
        " WHERE template_id = :template_id AND public = 1)",
        values,
    )
    connection.execute(
        "INSERT INTO templates"
        " (template_id, version, user_id, name, document, created_at, published)"
        " VALUES (:template_id, :version, :user_id, :name, :document, :now, :public)",
        values,
    )
    connection.execute(_PUT_HEAD, values)

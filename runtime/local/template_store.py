"""Template versions in SQLite."""

import json
import sqlite3
from typing import Final

from runtime.domain.errors import ConflictError, TemplateError, TemplateNotFoundError
from runtime.domain.job import TemplateRef
from runtime.domain.ports import Clock
from runtime.domain.template import Template
from runtime.domain.template_document import document_of, parse_template
from runtime.local.database import Database

MAX_DOCUMENT_BYTES: Final = 380_000
"""As on AWS, so that a template that a laptop stores can move there."""

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
        return parse_template(json.loads(rows[0]["document"]))

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        document = stored_document(template)
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


def stored_document(template: Template) -> str:
    """The template as it is stored. Raises `TemplateError` when it is too large."""
    document = json.dumps(document_of(template), ensure_ascii=False, separators=(",", ":"))
    size = len(document.encode())
    if size > MAX_DOCUMENT_BYTES:
        raise TemplateError(
            f"the template has {size} bytes with its fragments;"
            f" at most {MAX_DOCUMENT_BYTES} can be stored"
        )
    return document


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
    """Add a version, which the caller's transaction has seen to be free, and make it the latest."""
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
        "INSERT INTO templates (template_id, version, user_id, name, document, created_at)"
        " VALUES (:template_id, :version, :user_id, :name, :document, :now)",
        values,
    )
    connection.execute(_PUT_HEAD, values)

"""Template versions in SQLite."""

import json

from runtime.domain.errors import ConflictError, TemplateNotFoundError
from runtime.domain.job import TemplateRef
from runtime.domain.template import Template
from runtime.local.database import Database


class SqliteTemplateStore:
    """Implements `ports.TemplateStore`. Writers wait for each other, so none loses a version;
    `ConflictError` only says that the id belongs to another user.
    The checks of templates are imported on first use: they load Jinja2, which takes longer than
    to open everything that a laptop stores, and most commands read no template.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    def load_template(self, ref: TemplateRef) -> Template:
        rows = self._database.rows(
            "SELECT document FROM templates WHERE template_id = ? AND version = ?",
            (ref.template_id, ref.version),
        )
        if not rows:
            raise TemplateNotFoundError(
                f"Template not found: {ref.template_id} version {ref.version}"
            )
        from runtime.domain.template_document import parse_template  # noqa: PLC0415 see above

        return parse_template(json.loads(rows[0]["document"]))

    def save_template(self, user_id: str, template_id: str, template: Template) -> TemplateRef:
        from runtime.domain.template_document import document_of  # noqa: PLC0415 see above

        document = json.dumps(document_of(template), ensure_ascii=False)
        with self._database.write() as connection:
            latest = connection.execute(
                "SELECT version, user_id FROM templates WHERE template_id = ?"
                " ORDER BY version DESC LIMIT 1",
                (template_id,),
            ).fetchone()
            if latest is not None and latest["user_id"] != user_id:
                raise ConflictError(f"template {template_id} is taken: choose another id")
            version = 1 if latest is None else latest["version"] + 1
            connection.execute(
                "INSERT INTO templates (template_id, version, user_id, document)"
                " VALUES (?, ?, ?, ?)",
                (template_id, version, user_id, document),
            )
        return TemplateRef(template_id=template_id, version=version)

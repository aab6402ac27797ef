"""Templates as the API needs them; what a worker reads is `ports.TemplateStore`. The rules of
`service_ports` hold.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runtime.domain.errors import TemplateNotFoundError
from runtime.domain.pages import Page
from runtime.domain.templates.template import Template, TemplateRef


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateHead:
    """What all versions of a template share, and which is the latest."""

    template_id: str
    user_id: str
    latest_version: int
    public: bool
    name: str
    description: str
    created_at: datetime
    updated_at: datetime

    @property
    def latest(self) -> TemplateRef:
        """The latest version."""
        return TemplateRef(template_id=self.template_id, version=self.latest_version)

    def at(self, version: int | None) -> TemplateRef:
        """That version, the latest for None. Raises `TemplateNotFoundError` for a later one."""
        if version is not None and version > self.latest_version:
            raise TemplateNotFoundError(
                f"template {self.template_id} has no version {version}: the latest is"
                f" {self.latest_version}"
            )
        return TemplateRef(
            template_id=self.template_id,
            version=self.latest_version if version is None else version,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateVersion:
    """One immutable version, without its document."""

    version: int
    name: str
    created_at: datetime
    published: bool
    """Whether it was the latest version of its template while that was public."""


class TemplateCatalog(Protocol):
    """Templates as their users see them. Reads are strongly consistent, lists may lag a moment."""

    def get_head(self, template_id: str) -> TemplateHead:
        """Raises `TemplateNotFoundError`, also for a deleted template."""
        ...

    def list_own(self, user_id: str, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        """Newest first. Raises `InputError` for an `after` it did not give."""
        ...

    def list_public(self, *, limit: int, after: str | None = None) -> Page[TemplateHead]:
        """Newest first. Raises `InputError` for an `after` it did not give."""
        ...

    def list_versions(
        self, template_id: str, *, limit: int, after: str | None = None
    ) -> Page[TemplateVersion]:
        """Newest first. Raises `InputError` for an `after` it did not give."""
        ...

    def is_published(self, ref: TemplateRef) -> bool:
        """Whether a version was the latest of its template while that was public. Nothing is said
        of whether it is public now. Raises `TemplateNotFoundError`.
        """
        ...

    def create(
        self, user_id: str, template_id: str, template: Template, *, public: bool
    ) -> TemplateHead:
        """Version 1. Raises `ConflictError` when the id is taken, `TemplateError` when the
        document is too large to be stored.
        """
        ...

    def update(self, head: TemplateHead, template: Template, *, public: bool) -> TemplateHead:
        """The version after `head.latest_version`. Raises `ConflictError` when there is one
        already, `TemplateNotFoundError` when the template is gone, `TemplateError` as above.
        """
        ...

    def delete(self, template_id: str) -> None:
        """Remove the head, so that nobody finds the template again. Its versions stay for
        `tables.DELETED_TEMPLATE_DAYS`, for jobs that have pinned them. Safe to repeat.
        """
        ...

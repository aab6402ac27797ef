"""What makes one dataset another: the digest of its template, and the id of its job.

The id is stored in the folder when it is made and never computed again, so the rules below may
change without a folder losing its records.
"""

import dataclasses
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson

from runtime.domain.templates.document import complete_document
from runtime.domain.templates.template import Step, Template

_NAMESPACE: Final = uuid.UUID("6a1f1c0e-6d0f-4a43-9f0b-6a3c5f8a7c11")
_ALWAYS: Final[Mapping[type, frozenset[str]]] = {
    Template: frozenset({"name", "description", "schema_requirements", "steps", "keep_prompts"}),
    Step: frozenset({"id", "prompt", "max_tokens"}),
}
"""Fields that have been in every digest. Others are there where they differ from their default:
what a template can say one day changes no digest of those that don't say it.
"""
_OF_ROWS: Final = ("output", "split")
"""What says how rows are made of records: it may change while the records stay."""
_DRAWN_BEFORE: Final = ("template", "seeds", "--seed-strategy", "--random-seed")


def template_digest(template: Template) -> str:
    """SHA-256 of everything that decides what a template sends and keeps: all but its description,
    which is for people.
    """
    document = _document(template)
    del document["description"]
    return _digest(document)


def template_digest_of_before(template: Template) -> str:
    """The digest in folders that have no `job_id`: the description counted, too."""
    return _digest(_document(template))


def job_id_of(identity: Mapping[str, object]) -> str:
    """The id of a new dataset's job: another one for any other choice that identifies it, its model
    included, so that records of two datasets have different ids.
    """
    return _id(orjson.dumps(dict(identity), option=orjson.OPT_SORT_KEYS))


def stored_job_id(stored: Mapping[str, object]) -> str:
    """The id of a folder's job, from what the folder says of itself. Those of before don't name it:
    it followed from what decides the prompts.
    """
    named = stored.get("job_id")
    if isinstance(named, str):
        return named
    return _id(orjson.dumps([stored.get(name) for name in _DRAWN_BEFORE]))


def _document(template: Template) -> dict[str, Any]:
    document = _told(Template, complete_document(template))
    for name in _OF_ROWS:
        document.pop(name, None)
    return {**document, "steps": [_told(Step, step) for step in document["steps"]]}


def _told(kind: type[Template] | type[Step], document: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {field.name: _default(field) for field in dataclasses.fields(kind)}
    return {
        name: value
        for name, value in document.items()
        if name in _ALWAYS[kind] or value != defaults.get(name)
    }


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _digest(document: Mapping[str, Any]) -> str:
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _id(name: bytes) -> str:
    return str(uuid.uuid5(_NAMESPACE, name.decode()))

"""From a template's document to a template of the API: created, changed or taken as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.client.http import ApiClient, segment, understood
from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import complete_document, document_of, parse_template
from runtime.domain.templates.template import Template
from runtime.inputs.templates import read_for_api

TemplateSource = Path | Template | Mapping[str, Any]
"""A file, a template that was read, or a document in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateInApi:
    """A version of a template that a job can use. `change` says what was done to it, if anything
    was.
    """

    template_id: str
    version: int
    name: str
    change: str | None = None


def template_path(template_id: str) -> str:
    """The path of a template."""
    return f"/templates/{segment(template_id)}"


def read_source(source: TemplateSource) -> Template:
    """The template of a source; of a file with what it includes from files beside it. Raises
    `TemplateError`.
    """
    match source:
        case Path():
            return read_for_api(source)
        case Template():
            return source
        case _:
            return parse_template(source)


def ensure_template(api: ApiClient, template: Template) -> TemplateInApi:
    """The caller's template of a template's name with just its document.

    It is created if there is none, and given a new version if its document has changed. Of several
    with the name it is the newest one. Raises what the API refuses.
    """
    document = document_of(template)
    templates = api.items("/templates", "templates")
    found = next((each for each in templates if each["name"] == document["name"]), None)
    if found is None:
        return _of(api.post("/templates", document), change="created")
    stored = api.get(template_path(found["template_id"]))
    if _normal(stored["document"]) == complete_document(template):
        return _of(stored)
    based_on = {"based_on_version": stored["version"]}
    changed = api.call("PUT", template_path(found["template_id"]), body={**document, **based_on})
    return _of(changed.body, change=f"changed, now version {changed.body['version']}")


def template_names(api: ApiClient) -> dict[str, str]:
    """The names of the caller's own templates, by their ids."""
    with understood("a list of templates"):
        return {
            str(each["template_id"]): str(each["name"])
            for each in api.items("/templates", "templates")
        }


def latest_template(api: ApiClient, template_id: str) -> TemplateInApi:
    """The template of an id at its latest version. Raises `NotFoundError`."""
    return _of(api.get(template_path(template_id)))


def _of(view: Any, *, change: str | None = None) -> TemplateInApi:
    with understood("a template"):
        return TemplateInApi(
            template_id=str(view["template_id"]),
            version=view["version"],
            name=str(view["name"]),
            change=change,
        )


def _normal(document: Any) -> Any:
    """A document with every default written out, as `complete_document` does. None: an older
    program's, which this one would not write.
    """
    given = {name: value for name, value in document.items() if value is not None}
    given["steps"] = [
        {name: value for name, value in step.items() if value is not None}
        for step in document["steps"]
    ]
    try:
        return complete_document(parse_template(given))
    except TemplateError:
        return None

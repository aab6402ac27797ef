"""From a template file to a template of the API: made, changed or taken as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.cli.remote.job_views import list_all, segment
from runtime.client.http import ApiClient
from runtime.datasets.inputs import read_for_api
from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import complete_document, document_of, parse_template


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateInApi:
    """A version of a template that a job can use. `change` says what was done to it, if anything
    was.
    """

    template_id: str
    version: int
    name: str
    change: str | None = None


def ensure_template(api: ApiClient, given: str, file: Path | None) -> TemplateInApi:
    """The template of an id at its latest version, or that of a file.

    A file is the template of yours that has its name: made if there is none, given a new version
    if its document has changed. Of several with the name it is the newest one. Raises
    `TemplateError`, and what the API refuses.
    """
    if file is None:
        return _of(api.get(template_path(given)))
    template = read_for_api(file)
    document = document_of(template)
    templates = list_all(api, "/templates", "templates")
    found = next((each for each in templates if each["name"] == document["name"]), None)
    if found is None:
        return _of(api.post("/templates", document), change="made")
    stored = api.get(template_path(found["template_id"]))
    if _normal(stored["document"]) == complete_document(template):
        return _of(stored)
    based_on = {"based_on_version": stored["version"]}
    changed = api.call("PUT", template_path(found["template_id"]), body={**document, **based_on})
    return _of(changed.body, change=f"changed, now version {changed.body['version']}")


def template_path(template_id: str) -> str:
    """The path of a template."""
    return f"/templates/{segment(template_id)}"


def _of(view: Any, *, change: str | None = None) -> TemplateInApi:
    return TemplateInApi(
        template_id=view["template_id"], version=view["version"], name=view["name"], change=change
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

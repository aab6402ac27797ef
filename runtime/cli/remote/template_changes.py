"""What `templates create`, `update`, `delete`, `import` and `fork` do."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from runtime.cli.remote.output import confirm, plain, print_json
from runtime.cli.remote.template_files import template_path
from runtime.client.connection import connect
from runtime.contract.exit_codes import EXIT_FAILED
from runtime.domain.errors import NotFoundError
from runtime.domain.templates.document import document_of
from runtime.inputs.templates import read_for_api, read_text


def create(file: Path, profile: str | None, *, public: bool, json: bool) -> None:
    """`templates create`."""
    body = {**document_of(read_for_api(file)), "public": public}
    _report(connect(profile).api.post("/templates", body), "is made", json=json)


def update(
    template_id: str,
    file: Path,
    profile: str | None,
    *,
    public: bool | None,
    based_on: int | None,
    json: bool,
) -> None:
    """`templates update`."""
    more = {"public": public, "based_on_version": based_on}
    body = {
        **document_of(read_for_api(file)),
        **{name: value for name, value in more.items() if value is not None},
    }
    reply = connect(profile).api.call("PUT", template_path(template_id), body=body)
    _report(reply.body, f"has version {reply.body['version']} now", json=json)


def delete(template_id: str, profile: str | None, *, yes: bool, json: bool) -> int:
    """`templates delete`. The exit code."""
    api = connect(profile).api
    found = api.get(template_path(template_id))
    question = f"Delete template {plain(found['name'])!r} with all versions?"
    if not confirm(question, yes=yes):
        return EXIT_FAILED
    with suppress(NotFoundError):  # the answer was lost and it is gone, as was asked
        api.call("DELETE", template_path(template_id))
    if json:
        print_json({"template_id": found["template_id"], "deleted": True})
    else:
        print(f"{found['template_id']} is deleted.")
    return 0


def import_file(file: Path, profile: str | None, *, public: bool, json: bool) -> None:
    """`templates import`."""
    body = {"text": read_text(file), "public": public}
    _report(connect(profile).api.post("/templates/import", body), "is made", json=json)


def fork(
    template_id: str, profile: str | None, *, name: str | None, version: int | None, json: bool
) -> None:
    """`templates fork`."""
    asked = {"name": name, "version": version}
    body = {key: value for key, value in asked.items() if value is not None}
    made = connect(profile).api.post(f"{template_path(template_id)}/fork", body)
    _report(made, "is made", json=json)


def _report(view: Any, what: str, *, json: bool) -> None:
    if json:
        print_json(view)
        return
    print(f"{view['template_id']}  {plain(view['name'])} {what}")
    print(f"next: seedwright submit {view['template_id']} --seeds FILE -n 10")

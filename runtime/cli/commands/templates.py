"""`seedwright templates …`: list, show, create, update, delete, versions, export, import, fork,
preview.
"""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from runtime.cli.group import group_app
from runtime.cli.job_text import local_time
from runtime.cli.options import (
    JsonOption,
    LimitOption,
    ProfileOption,
    TemplateArgument,
    TemplateIdArgument,
    YesOption,
)
from runtime.cli.output import (
    confirm,
    plain,
    print_exactly,
    print_json,
    print_line,
    print_table,
    print_text,
    print_titled,
)
from runtime.cli.terminal import connect
from runtime.client.templates import read_source, template_path
from runtime.contract.exit_codes import EXIT_FAILED
from runtime.disk import replacing
from runtime.domain.errors import NotFoundError, SeedError
from runtime.domain.money.amounts import from_usd, usd
from runtime.domain.templates.document import document_of
from runtime.inputs.files import check_folder
from runtime.inputs.templates import read_text

app = group_app(
    "Templates at the API: create, change, look at, share.",
    example="templates create template.yaml",
)

_ID: Final = "3f2b8a52-7d9e-4a3e-8f0a-6f1d2c9b7e10"

VersionOption = Annotated[int | None, typer.Option(min=1, help="Which version. [the latest]")]
PublicOption = Annotated[
    bool, typer.Option("--public", help="Everybody may read, use, include and fork it.")
]


# ── looking ────────────────────────────────────────────────────────────────────────────────────


@app.command("list", epilog="Example: seedwright templates list --public")
def list_templates(
    *,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody's public ones, not your own.")
    ] = False,
    limit: LimitOption = 100,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your templates, newest first."""
    asked = {"public": "true"} if public else {}
    found = list(connect(profile).api.items("/templates", "templates", limit=limit, **asked))
    if json:
        print_json({"templates": found})
        return
    if not found:
        print_line("no templates")
        return
    rows = [
        {
            "template": each["template_id"],
            "version": each["latest_version"],
            "name": each["name"],
            "seen by": "all" if each["public"] else "you",
            "changed": local_time(each["updated_at"]),
        }
        for each in found
    ]
    print_table(rows, ("template", "version", "name", "seen by", "changed"))


@app.command(epilog=f"Example: seedwright templates show {_ID}")
def show(
    template: TemplateIdArgument,
    *,
    version: VersionOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show a template and its document."""
    api = connect(profile).api
    view = api.get(template_path(template), version=version)
    if json:
        print_json(view)
        return
    print_line(f"# {view['template_id']}  version {view['version']} of {view['latest_version']}")
    print_line(
        f"# {'public' if view['public'] else 'private'}, changed {local_time(view['updated_at'])}"
    )
    print_text(api.get(f"{template_path(template)}/export", version=view["version"], format="yaml"))


# ── changing ───────────────────────────────────────────────────────────────────────────────────


@app.command(epilog="Example: seedwright templates create template.yaml --public")
def create(
    file: TemplateArgument,
    *,
    public: PublicOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a template from a file, with what it includes from files beside it."""
    body = {**document_of(read_source(file)), "public": public}
    _report(connect(profile).api.post("/templates", body), "is created", json=json)


@app.command(epilog=f"Example: seedwright templates update {_ID} template.yaml")
def update(
    template: TemplateIdArgument,
    file: TemplateArgument,
    *,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Who may see it. [as before]")
    ] = None,
    based_on: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse if this is no longer the latest version."),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Store a new version. Jobs keep the version that they began with."""
    body = {**document_of(read_source(file)), **_given(public=public, based_on_version=based_on)}
    view = connect(profile).api.call("PUT", template_path(template), body=body).body
    _report(view, f"has version {view['version']} now", json=json)


@app.command(epilog=f"Example: seedwright templates delete {_ID} --yes")
def delete(
    template: TemplateIdArgument,
    *,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Delete a template with all versions. Jobs that have begun keep theirs."""
    api = connect(profile).api
    found = api.get(template_path(template))
    question = f"Delete template {plain(found['name'])!r} with all versions?"
    if not confirm(question, yes=yes):
        return EXIT_FAILED
    with suppress(NotFoundError):  # the answer was lost and it is gone, as was asked
        api.call("DELETE", template_path(template))
    if json:
        print_json({"template_id": found["template_id"], "deleted": True})
    else:
        print_line(f"{found['template_id']} is deleted.")
    return 0


@app.command(epilog=f"Example: seedwright templates versions {_ID}")
def versions(
    template: TemplateIdArgument,
    *,
    limit: LimitOption = 100,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions of a template, newest first."""
    path = f"{template_path(template)}/versions"
    found = list(connect(profile).api.items(path, "versions", limit=limit))
    if json:
        print_json({"versions": found})
        return
    rows = [
        {
            "version": each["version"],
            "name": each["name"],
            "created": local_time(each["created_at"]),
        }
        for each in found
    ]
    print_table(rows, ("version", "created", "name"))


# ── files, copies, previews ────────────────────────────────────────────────────────────────────


@app.command(epilog=f"Example: seedwright templates export {_ID} --out template.yaml")
def export(
    template: TemplateIdArgument,
    *,
    version: VersionOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write. [standard output]")] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Write a template as YAML, or with --json as JSON."""
    path = f"{template_path(template)}/export"
    kind = "json" if json else "yaml"
    found = connect(profile).api.get(path, version=version, format=kind)
    text = found if isinstance(found, str) else orjson.dumps(found).decode()
    if out is None:
        print_exactly(text.rstrip("\n"))
        return
    with replacing(check_folder(out, "--out")) as file:
        file.write(f"{text.rstrip()}\n".encode())
    print_line(out)


@app.command("import", epilog="Example: seedwright templates import template.yaml")
def import_file(
    file: TemplateArgument,
    *,
    public: PublicOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a template from an exported file. The API reads the text as it is."""
    body = {"text": read_text(file), "public": public}
    _report(connect(profile).api.post("/templates/import", body), "is created", json=json)


@app.command(epilog=f"Example: seedwright templates fork {_ID} --name mine")
def fork(
    template: TemplateIdArgument,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the copy. [the same]")] = None,
    version: VersionOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a template of yours or a public one to a new one of yours."""
    body = _given(name=name, version=version)
    view = connect(profile).api.post(f"{template_path(template)}/fork", body)
    _report(view, "is created", json=json)


@app.command(epilog=f"Example: seedwright templates preview {_ID} --seed seed.json")
def preview(
    template: TemplateIdArgument,
    *,
    seed: Annotated[
        Path | None, typer.Option(help="JSON file with one seed. [sample values]")
    ] = None,
    version: VersionOption = None,
    run_model: Annotated[
        bool, typer.Option("--run-model", help="Call the models too, which costs 1 USD at most.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a template asks the model, for one seed. Calls a model only with --run-model."""
    data = None if seed is None else _read_seed(seed)
    body = {**_given(data=data, version=version), "run_model": run_model}
    # Sent again it would call the models again.
    found = connect(profile).api.post(
        f"{template_path(template)}/preview", body, repeatable=not run_model
    )
    if json:
        print_json(found)
        return
    print_line(f"seed: {orjson.dumps(found['data']).decode()}")
    for step in found["steps"]:
        _show_step(step)
    if found["stopped"]:
        print_line("")
        print_line(f"stopped: {found['stopped']}")
    if run_model:
        print_line("")
        print_line(f"cost: {usd(from_usd(found['cost_usd']))}")


def _show_step(step: Any) -> None:
    name = step["step_id"]
    if step.get("skipped"):  # an older API says nothing of it
        print_line("")
        print_line(f"{name}: skipped with this seed, by its when")
        return
    if step["system"]:
        print_titled(f"{name}: system", step["system"])
    for turn in step.get("messages", ()):
        print_titled(f"{name}: {turn['role']}, before the prompt", turn["content"])
    print_titled(f"{name}: prompt for {step['model']}", step["prompt"])
    if step["reply"]:
        print_titled(f"{name}: reply", step["reply"]["text"])


def _read_seed(path: Path) -> Any:
    try:
        seed = orjson.loads(read_text(path))
    except orjson.JSONDecodeError as exc:
        raise SeedError(
            f"{path}, line {exc.lineno}, column {exc.colno}: not valid JSON: {exc.msg}"
        ) from exc
    if not isinstance(seed, dict):
        raise SeedError(f"{path}: expected one JSON object")
    return seed


def _given(**options: object) -> dict[str, object]:
    """The fields of a request that the user gave."""
    return {name: value for name, value in options.items() if value is not None}


def _report(view: Any, what: str, *, json: bool) -> None:
    if json:
        print_json(view)
        return
    print_line(f"{view['template_id']}  {view['name']} {what}")
    print_line(f"next: seedwright submit {view['template_id']} --seeds FILE -n 10")

"""What `templates list`, `show`, `versions`, `export` and `preview` print."""

from pathlib import Path
from typing import Any

import orjson

from runtime.cli.remote.job_views import list_all, when
from runtime.cli.remote.output import plain, print_json, print_table, printable
from runtime.cli.remote.template_files import template_path
from runtime.client.connection import connect
from runtime.datasets.inputs import read_text
from runtime.disk import replacing
from runtime.domain.errors import SeedError
from runtime.domain.money.amounts import from_usd, usd


def show_list(profile: str | None, *, public: bool, limit: int, json: bool) -> None:
    """`templates list`."""
    asked = {"public": "true"} if public else {}
    found = list(list_all(connect(profile).api, "/templates", "templates", limit=limit, **asked))
    if json:
        print_json({"templates": found})
        return
    if not found:
        print("no templates")
        return
    rows = [
        {
            "template": each["template_id"],
            "version": each["latest_version"],
            "name": each["name"],
            "seen by": "all" if each["public"] else "you",
            "changed": when(each["updated_at"]),
        }
        for each in found
    ]
    print_table(rows, ("template", "version", "name", "seen by", "changed"))


def show(template_id: str, profile: str | None, *, version: int | None, json: bool) -> None:
    """`templates show`."""
    api = connect(profile).api
    view = api.get(template_path(template_id), version=version)
    if json:
        print_json(view)
        return
    print(f"# {view['template_id']}  version {view['version']} of {view['latest_version']}")
    print(f"# {'public' if view['public'] else 'private'}, changed {when(view['updated_at'])}")
    print(api.get(f"{template_path(template_id)}/export", version=view["version"], format="yaml"))


def show_versions(template_id: str, profile: str | None, *, limit: int, json: bool) -> None:
    """`templates versions`."""
    path = f"{template_path(template_id)}/versions"
    found = list(list_all(connect(profile).api, path, "versions", limit=limit))
    if json:
        print_json({"versions": found})
        return
    rows = [
        {"version": each["version"], "name": each["name"], "created": when(each["created_at"])}
        for each in found
    ]
    print_table(rows, ("version", "created", "name"))


def export(
    template_id: str, profile: str | None, *, version: int | None, out: Path | None, json: bool
) -> None:
    """`templates export`."""
    path = f"{template_path(template_id)}/export"
    kind = "json" if json else "yaml"
    found = connect(profile).api.get(path, version=version, format=kind)
    text = found if isinstance(found, str) else orjson.dumps(found).decode()
    if out is None:
        print(text.rstrip("\n"))
        return
    with replacing(out) as file:
        file.write(f"{text.rstrip()}\n".encode())
    print(out)


def preview(
    template_id: str,
    profile: str | None,
    *,
    seed: Path | None,
    version: int | None,
    run_model: bool,
    json: bool,
) -> None:
    """`templates preview`."""
    asked = {"data": _read_seed(seed), "version": version}
    body = {name: value for name, value in asked.items() if value is not None}
    path = f"{template_path(template_id)}/preview"
    # Sent again it would call the models again.
    found = connect(profile).api.post(
        path, {**body, "run_model": run_model}, repeatable=not run_model
    )
    if json:
        print_json(found)
        return
    print(f"seed: {orjson.dumps(found['data']).decode()}")
    for step in found["steps"]:
        _show_step(step)
    if found["stopped"]:
        print(f"\nstopped: {plain(found['stopped'])}")
    if run_model:
        print(f"\ncost: {usd(from_usd(found['cost_usd']))}")


def _show_step(step: Any) -> None:
    name = step["step_id"]
    if step["system"]:
        print(f"\n── {name}: system ──\n{printable(step['system'])}")
    print(f"\n── {name}: prompt for {step['model']} ──\n{printable(step['prompt'])}")
    if step["reply"]:
        print(f"\n── {name}: reply ──\n{printable(step['reply']['text'])}")


def _read_seed(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        seed = orjson.loads(read_text(path))
    except orjson.JSONDecodeError as exc:
        raise SeedError(
            f"{path}, line {exc.lineno}, column {exc.colno}: not valid JSON: {exc.msg}"
        ) from exc
    if not isinstance(seed, dict):
        raise SeedError(f"{path}: expected one JSON object")
    return seed

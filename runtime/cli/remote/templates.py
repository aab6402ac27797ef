"""`seedwright templates …`: list, show, create, update, delete, versions, export, import, fork,
preview.
"""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import JsonOption, ProfileOption, YesOption
from runtime.cli.remote.groups import make_group

_ID = "3f2b8a52-7d9e-4a3e-8f0a-6f1d2c9b7e10"

IdArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Id of the template.")]
FileArgument = Annotated[Path, typer.Argument(help="Template file, YAML or JSON.")]
VersionOption = Annotated[int | None, typer.Option(min=1, help="Which version. [the latest]")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="Show at most that many.")]


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    group = make_group(
        "Templates at the API: make, change, look at, share.",
        example="templates create template.yaml",
    )
    for name, command, example in (
        ("list", list_command, "list --public"),
        ("show", show_command, f"show {_ID}"),
        ("create", create_command, "create template.yaml --public"),
        ("update", update_command, f"update {_ID} template.yaml"),
        ("delete", delete_command, f"delete {_ID} --yes"),
        ("versions", versions_command, f"versions {_ID}"),
        ("export", export_command, f"export {_ID} --out template.yaml"),
        ("import", import_command, "import template.yaml"),
        ("fork", fork_command, f"fork {_ID} --name mine"),
        ("preview", preview_command, f"preview {_ID} --seed seed.json"),
    ):
        group.command(name, epilog=f"Example: seedwright templates {example}")(command)
    app.add_typer(group, name="templates")


def list_command(
    public: Annotated[
        bool, typer.Option("--public", help="Everybody's public ones, not your own.")
    ] = False,
    limit: LimitOption = 100,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your templates, newest first."""
    from runtime.cli.remote.template_views import show_list  # noqa: PLC0415

    show_list(profile, public=public, limit=limit, json=json)


def show_command(
    template: IdArgument,
    version: VersionOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show a template and its document."""
    from runtime.cli.remote.template_views import show  # noqa: PLC0415

    show(template, profile, version=version, json=json)


def create_command(
    file: FileArgument,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may read, use, include and fork it.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a template of a file, with what it includes from files beside it."""
    from runtime.cli.remote.template_changes import create  # noqa: PLC0415

    create(file, profile, public=public, json=json)


def update_command(
    template: IdArgument,
    file: FileArgument,
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
    from runtime.cli.remote.template_changes import update  # noqa: PLC0415

    update(template, file, profile, public=public, based_on=based_on, json=json)


def delete_command(
    template: IdArgument,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Delete a template with all versions. Jobs that have begun keep theirs."""
    from runtime.cli.remote.template_changes import delete  # noqa: PLC0415

    return delete(template, profile, yes=yes, json=json)


def versions_command(
    template: IdArgument,
    limit: LimitOption = 100,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions of a template, newest first."""
    from runtime.cli.remote.template_views import show_versions  # noqa: PLC0415

    show_versions(template, profile, limit=limit, json=json)


def export_command(
    template: IdArgument,
    version: VersionOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write. [standard output]")] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Write a template as YAML, or with --json as JSON."""
    from runtime.cli.remote.template_views import export  # noqa: PLC0415

    export(template, profile, version=version, out=out, json=json)


def import_command(
    file: FileArgument,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may read, use, include and fork it.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make a template of an exported file. The API reads the text as it is."""
    from runtime.cli.remote.template_changes import import_file  # noqa: PLC0415

    import_file(file, profile, public=public, json=json)


def fork_command(
    template: IdArgument,
    name: Annotated[str | None, typer.Option(help="Name of the copy. [the same]")] = None,
    version: VersionOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a template of yours or a public one to a new one of yours."""
    from runtime.cli.remote.template_changes import fork  # noqa: PLC0415

    fork(template, profile, name=name, version=version, json=json)


def preview_command(
    template: IdArgument,
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
    from runtime.cli.remote.template_views import preview  # noqa: PLC0415

    preview(template, profile, seed=seed, version=version, run_model=run_model, json=json)

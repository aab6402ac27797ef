"""`seedwright seeds …`: upload, list, validate."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import JsonOption, ProfileOption
from runtime.cli.remote.groups import make_group

TemplateIdOption = Annotated[
    str | None,
    typer.Option("--template", help="Id of a template: check that each seed has what it needs."),
]


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    group = make_group(
        "Seed files at the API: upload, list, validate.", example="seeds upload seeds.csv"
    )
    group.command("upload", epilog="Example: seedwright seeds upload seeds.csv")(upload_command)
    group.command("list", epilog="Example: seedwright seeds list")(list_command)
    group.command("validate", epilog="Example: seedwright seeds validate seeds.csv")(
        validate_command
    )
    app.add_typer(group, name="seeds")


def upload_command(
    file: Annotated[Path, typer.Argument(help="Seed data: .json, .jsonl, .csv or .parquet.")],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Upload a seed file. Its key can be given to `submit --seeds`."""
    from runtime.cli.remote.seed_changes import upload  # noqa: PLC0415

    upload(file, profile, json=json)


def list_command(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most that many.")] = 100,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your uploaded seed files."""
    from runtime.cli.remote.seed_changes import show_list  # noqa: PLC0415

    show_list(profile, limit=limit, json=json)


def validate_command(
    seeds: Annotated[str, typer.Argument(help="Seed file, which is uploaded, or a key.")],
    template: TemplateIdOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Let the API read seeds and name what is wrong with them."""
    from runtime.cli.remote.seed_changes import validate  # noqa: PLC0415

    return validate(seeds, profile, template_id=template, json=json)

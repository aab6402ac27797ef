"""`seedwright seeds …`: upload, list, validate."""

from typing import Annotated

import typer

from runtime.cli.group import group_app
from runtime.cli.job_options import takes
from runtime.cli.options import JsonOption, LimitOption, ProfileOption
from runtime.cli.output import print_json, print_line, print_table
from runtime.cli.seed_sources import seed_sources
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.seeds import (
    file_source,
    problem_lines,
    seed_source,
    size_of,
    upload_seeds,
    validate_seeds,
)
from runtime.client.transfer import size_text
from runtime.contract.exit_codes import EXIT_BAD_INPUT
from runtime.domain.seeds.report import null_lines
from runtime.domain.wording import counted
from runtime.inputs.seed_reading import SeedReading

app = group_app("Seed files at the API: upload, list, validate.", example="seeds upload seeds.csv")


@app.command(epilog="Example: seedwright seeds upload seeds.csv")
@takes(SeedReading)
def upload(
    file: Annotated[list[str], typer.Argument(help="What `generate --seeds` takes.")],
    reading: SeedReading,
    *,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Upload seeds as one file. Its key can be given to `submit --seeds`."""
    source = file_source(seed_sources(file), reading)
    observer = TerminalObserver(json=json)
    key = upload_seeds(connect(profile), source, observer)
    if json:
        print_json({"s3_key": key, "size": size_of(source)})
        return
    print_line(key)


@app.command("list", epilog="Example: seedwright seeds list")
def list_files(
    *, limit: LimitOption = 100, profile: ProfileOption = None, json: JsonOption = False
) -> None:
    """List your uploaded seed files."""
    found = list(connect(profile).api.items("/seed-data", "files", limit=limit))
    if json:
        print_json({"files": found})
        return
    if not found:
        print_line("no seed files")
        return
    rows = [{"key": each["s3_key"], "size": size_text(each["size"])} for each in found]
    print_table(rows, ("key", "size"))


@app.command(epilog="Example: seedwright seeds validate seeds.csv")
@takes(SeedReading)
def validate(
    seeds: Annotated[list[str], typer.Argument(help="Seeds, which are uploaded, or a key.")],
    reading: SeedReading,
    *,
    template: Annotated[
        str | None,
        typer.Option(
            "--template", help="Id of a template: check that each seed has what it needs."
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Let the API read seeds and name what is wrong with them."""
    source = seed_source(seed_sources(seeds), reading)
    connection = connect(profile)
    key = (
        source
        if isinstance(source, str)
        else upload_seeds(connection, source, TerminalObserver(json=json))
    )
    found = validate_seeds(connection.api, key, template_id=template)
    if json:
        print_json(found)
    else:
        state = "valid" if found["valid"] else counted(found["total_problems"], "problem")
        print_line(f"{key}: {counted(found['records'], 'seed')}, {state}")
        print_line(f"a template can read: {', '.join(found['paths'])}")
        for line in null_lines(found.get("nulls", {}), seeds=found["records"]):
            print_line(f"warning: {line}")
        for line in problem_lines(found):
            print_line(line)
        if found["truncated"]:
            print_line("… and more")
    return 0 if found["valid"] else EXIT_BAD_INPUT

"""`seedwright seeds …`: upload, list, validate, delete."""

from typing import Annotated, Any, Final

import typer

from runtime.cli.group import group_app
from runtime.cli.job_options import takes
from runtime.cli.job_text import local_time
from runtime.cli.options import JsonOption, LimitOption, ProfileOption, YesOption
from runtime.cli.output import confirm, print_json, print_line, print_table
from runtime.cli.seed_sources import seed_sources
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.seeds import (
    delete_seeds,
    file_source,
    list_seeds,
    problem_lines,
    seed_source,
    size_of,
    upload_seeds,
    validate_seeds,
)
from runtime.client.transfer import size_text
from runtime.contract.exit_codes import EXIT_BAD_INPUT, EXIT_FAILED
from runtime.domain.seeds.report import null_lines
from runtime.domain.wording import counted
from runtime.inputs.seed_reading import SeedReading

EXAMPLE_KEY: Final = "seed-data/9d53a4f6/7b0c0f6e-3c1f-4f0e-9d53-0a4f6c1f2b11/seeds.csv"

app = group_app(
    "Seed files at the API: upload, list, validate, delete.", example="seeds upload seeds.csv"
)


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
    """List your uploaded seed files with their sizes and dates."""
    api = connect(profile).api
    if json:
        print_json({"files": list(api.items("/seed-data", "files", limit=limit))})
        return
    found = list(list_seeds(api, limit=limit))
    if not found:
        print_line("no seed files")
        return
    rows = [
        {
            "key": each.key,
            "size": size_text(each.size),
            "uploaded": "" if each.uploaded_at is None else local_time(each.uploaded_at),
        }
        for each in found
    ]
    print_table(rows, ("key", "size", "uploaded"))
    total = size_text(sum(each.size for each in found))
    print_line(f"{counted(len(found), 'file')}, {total}")


@app.command(epilog=f"Example: seedwright seeds delete {EXAMPLE_KEY}")
def delete(
    key: Annotated[str, typer.Argument(help="Key of an uploaded file, as in the list.")],
    *,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Delete an uploaded seed file, which makes room for others. Jobs that used it can't go on."""
    api = connect(profile).api
    question = f"Delete {key}? Jobs that used it keep their datasets and can't go on."
    if not confirm(question, yes=yes):
        return EXIT_FAILED
    delete_seeds(api, key)
    if json:
        print_json({"s3_key": key, "deleted": True})
    else:
        print_line(f"{key} is deleted.")
    return 0


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
        if not found.get("complete", True):
            print_line("the file is large: the job's worker checks the rest before its first call")
        types = found.get("types", {})
        readable = (
            f"{path} ({', '.join(types[path])})" if path in types else path
            for path in found["paths"]
        )
        print_line(f"a template can read: {', '.join(readable)}")
        for line in null_lines(found.get("nulls", {}), seeds=found["records"]):
            print_line(f"warning: {line}")
        for line in found.get("warnings", ()):
            print_line(f"warning: {line}")
        for line in problem_lines(found):
            print_line(line)
        if found["truncated"]:
            print_line("… and more")
        _print_prompts(found.get("first_prompts", ()))
    return 0 if found["valid"] else EXIT_BAD_INPUT


def _print_prompts(prompts: Any) -> None:
    for each in prompts:
        for name in ("system", "prompt"):
            if each.get(name):
                print_line(f"{each['step_id']}, {name} for the first seed:")
                for line in str(each[name]).splitlines():
                    print_line(f"  {line}")

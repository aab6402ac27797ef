"""What `seeds upload`, `list` and `validate` do."""

from pathlib import Path

from runtime.cli.remote.job_views import list_all
from runtime.cli.remote.output import plain, print_json, print_table
from runtime.cli.remote.seed_files import problem_lines, upload_seeds, validate_seeds
from runtime.cli.remote.transfer_display import size_text
from runtime.client.connection import connect
from runtime.contract.exit_codes import EXIT_BAD_INPUT


def upload(path: Path, profile: str | None, *, json: bool) -> None:
    """`seeds upload`."""
    key = upload_seeds(connect(profile), path, json=json)
    if json:
        print_json({"s3_key": key, "size": path.stat().st_size})
        return
    print(key)


def show_list(profile: str | None, *, limit: int, json: bool) -> None:
    """`seeds list`."""
    found = list(list_all(connect(profile).api, "/seed-data", "files", limit=limit))
    if json:
        print_json({"files": found})
        return
    if not found:
        print("no seed files")
        return
    rows = [{"key": each["s3_key"], "size": size_text(each["size"])} for each in found]
    print_table(rows, ("key", "size"))


def validate(seeds: str, profile: str | None, *, template_id: str | None, json: bool) -> int:
    """`seeds validate`. The exit code."""
    connection = connect(profile)
    key = upload_seeds(connection, Path(seeds), json=json) if Path(seeds).is_file() else seeds
    found = validate_seeds(connection.api, key, template_id=template_id)
    if json:
        print_json(found)
    else:
        state = "in order" if found["valid"] else f"{found['total_problems']} problems"
        print(f"{key}: {found['records']} seeds, {state}")
        print(f"a template can read: {', '.join(found['paths'])}")
        for line in problem_lines(found):
            print(plain(line))
        if found["truncated"]:
            print("… and more")
    return 0 if found["valid"] else EXIT_BAD_INPUT

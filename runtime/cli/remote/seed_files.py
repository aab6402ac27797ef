"""Seed files on their way to the API, and what is wrong with them."""

from pathlib import Path
from typing import Any, Final

from runtime.cli.remote.output import say
from runtime.cli.remote.transfer_display import size_text, transfer_display
from runtime.client.connection import Connection
from runtime.client.http import ApiClient
from runtime.domain.errors import InputError, SeedError, TooLargeError
from runtime.domain.seeds.seeds import check_suffix

MAX_SHOWN: Final = 3
"""Problems in one line of error; `seeds validate` shows more."""


def upload_seeds(connection: Connection, path: Path, *, json: bool) -> str:
    """Stream a file into the caller's own folder of the API; its key.

    Raises `InputError` before anything is sent for a file that is not taken.
    """
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise InputError(f"{path}: can't be read: {exc.strerror}") from exc
    if not path.is_file():
        raise InputError(f"{path}: is no file")
    check_suffix(path.name)
    if size == 0:
        raise SeedError(f"{path}: there are no seeds in it")
    form = connection.api.post("/seed-data/upload-url", {"filename": path.name}, repeatable=True)
    if size > form["max_bytes"]:
        raise TooLargeError(
            f"{path}: {size_text(size)}; the limit is {size_text(form['max_bytes'])}"
        )
    with transfer_display(json=json) as display, display.file(path.name, size) as on_bytes:
        connection.transfer().upload(form["url"], form["fields"], path, on_bytes)
    if not json:
        say(f"uploaded {path.name} ({size_text(size)})")
    return str(form["s3_key"])


def check_seeds(api: ApiClient, key: str, *, template_id: str | None) -> Any:
    """What the API finds in uploaded seeds. Raises `SeedError` with the first problems."""
    found = validate_seeds(api, key, template_id=template_id)
    if not found["valid"]:
        shown = problem_lines(found)[:MAX_SHOWN]
        more = found["total_problems"] - len(shown)
        raise SeedError("; ".join([*shown, f"{more} more like this"] if more else shown))
    return found


def validate_seeds(api: ApiClient, key: str, *, template_id: str | None) -> Any:
    """The API's report on uploaded seeds."""
    body = {"s3_key": key, **({} if template_id is None else {"template_id": template_id})}
    return api.post("/seed-data/validate", body, repeatable=True)


def problem_lines(found: Any) -> list[str]:
    """The problems of a report, each with its place."""
    return [
        f"record {each['row']}"
        + (f" (line {each['line']})" if each["line"] else "")
        + f": {each['message']}"
        for each in found["problems"]
    ]

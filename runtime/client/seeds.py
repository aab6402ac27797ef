"""Seeds on their way to the API, and what is wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from runtime.client.connection import Connection
from runtime.client.http import ApiClient, understood
from runtime.client.observer import Observer
from runtime.client.transfer import MemoryFile, Source, size_text
from runtime.domain.errors import InputError, SeedError, TooLargeError
from runtime.domain.identifiers import is_uuid
from runtime.domain.seeds.seeds import MAX_SEED_BYTES, check_suffix
from runtime.hub.repository import is_hub
from runtime.inputs.files import is_url, no_such_file
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import (
    IN_MEMORY,
    SeedFile,
    SeedSource,
    lines_of,
    named_sources,
    plain_file,
    read_seeds,
)
from runtime.inputs.sources import is_pattern

SEED_PREFIX: Final = "seed-data/"
"""What the keys of uploaded seeds begin with."""

_KEY_PARTS: Final = 4
"""seed-data, user, upload, file."""

MAX_SHOWN: Final = 3
"""Problems in one line of error; `seeds validate` shows more."""

Seeds = SeedSource
"""A file, the key of an uploaded one, a file as read, or seeds in memory."""


def seed_source(seeds: Any, reading: SeedReading | None = None) -> Source | str:
    """What is uploaded, or the key of what is (a text). One plain file goes as it is; all else is
    read here, and goes as JSON lines.

    Raises `InputError` for what names no seeds, and for a text that is not a key either;
    `SeedError` for seeds that can't be read, or have no JSON.
    """
    how = (reading or SeedReading()).checked()
    if isinstance(seeds, SeedFile):
        return seeds
    named = named_sources(seeds)
    if named is None and how.keeps_bytes:
        return MemoryFile(name=IN_MEMORY, body=lines_of(seeds))
    if isinstance(seeds, str) and not _is_there(seeds):
        if seeds.startswith(SEED_PREFIX):
            return seeds
        raise InputError(
            no_such_file(seeds)
            if is_url(seeds)
            else f"{seeds}: no such file, and not a key of uploaded seeds"
        )
    if isinstance(seeds, Path) and not _is_there(str(seeds)):
        size_of(seeds)
    return plain_file(seeds, how) or read_seeds(seeds, (), how)


def file_source(seeds: Any, reading: SeedReading | None = None) -> Source:
    """What is uploaded, as `seed_source` reads it. Raises `InputError` for a key, too."""
    found = seed_source(seeds, reading)
    if isinstance(found, str):
        raise InputError(f"{found}: is the key of uploaded seeds: name what is to be uploaded")
    return found


def _is_there(name: str) -> bool:
    """Whether a text names something on this machine or on the Hub, or could."""
    return Path(name).exists() or is_pattern(name) or is_hub(name)


def upload_seeds(connection: Connection, source: Source, observer: Observer) -> str:
    """Stream seeds into the caller's own folder of the API; their key.

    Raises `InputError` before anything is sent for a file that is not taken.
    """
    size = size_of(source)
    check_suffix(source.name)
    if size == 0:
        raise SeedError(f"{source}: there are no seeds in it")
    form = _form(connection.api, source.name, size)
    with understood("a place for an upload"):
        key, url, most = str(form["s3_key"]), str(form["url"]), int(form["max_bytes"])
        fields = {str(name): str(value) for name, value in form["fields"].items()}
    if size > most:
        raise TooLargeError(f"{source}: {size_text(size)}; the limit is {size_text(most)}")
    with observer.transfer(source.name, size) as on_bytes:
        connection.transfer().upload(url, fields, source, on_bytes)
    observer.notice(f"uploaded {source.name} ({size_text(size)})")
    return key


def _form(api: ApiClient, name: str, size: int) -> Any:
    """Where to send a file. An API of before knows no sizes."""
    path = "/seed-data/upload-url"
    try:
        return api.post(path, {"filename": name, "size": size}, repeatable=True)
    except InputError as error:
        if size > MAX_SEED_BYTES or all(place != "size" for place, _ in error.problems):
            raise
    return api.post(path, {"filename": name}, repeatable=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedSeeds:
    """A seed file at the API. `size` is bytes. What an API of before doesn't say is None."""

    key: str
    filename: str
    size: int
    seed_id: str | None
    uploaded_at: datetime | None


def list_seeds(api: ApiClient, *, limit: int | None = None) -> Iterator[UploadedSeeds]:
    """Your uploaded seed files, in the order of their keys."""
    for found in api.items("/seed-data", "files", limit=limit):
        with understood("a seed file"):
            at = found.get("uploaded_at")
            yield UploadedSeeds(
                key=str(found["s3_key"]),
                filename=str(found["filename"]),
                size=int(found["size"]),
                seed_id=found.get("seed_id"),
                uploaded_at=None if at is None else datetime.fromisoformat(at),
            )


def delete_seeds(api: ApiClient, key: str) -> None:
    """Delete an uploaded seed file, by its key or id. Raises `NotFoundError`, `ConflictError` while
    a job that is queued or running draws from it, `InputError` for what is neither.
    """
    parts = key.split("/")
    seed_id = parts[2] if key.startswith(SEED_PREFIX) and len(parts) == _KEY_PARTS else key
    if not is_uuid(seed_id):
        raise InputError(
            f"{key} is not the key of uploaded seeds (seed-data/…): `seedwright seeds list` has it"
        )
    api.call("DELETE", f"/seed-data/{seed_id}")


def size_of(source: Source) -> int:
    """Its bytes. Raises `InputError` for what is not a file."""
    if isinstance(source, MemoryFile):
        return len(source.body)
    if isinstance(source, SeedFile):
        return source.size
    if is_url(source) and not source.exists():
        raise InputError(no_such_file(source))
    try:
        size = source.stat().st_size
    except OSError as exc:
        raise InputError(f"{source}: can't be read: {exc.strerror}") from exc
    if not source.is_file():
        raise InputError(f"{source}: is not a file")
    return size


def check_seeds(api: ApiClient, key: str, *, template_id: str | None) -> None:
    """Let the API read uploaded seeds. Raises `SeedError` with the first problems."""
    found = validate_seeds(api, key, template_id=template_id)
    with understood("a report on seeds"):
        if found["valid"]:
            return
        shown = problem_lines(found)[:MAX_SHOWN]
        more = found["total_problems"] - len(shown)
    raise SeedError("; ".join([*shown, f"{more} more like this"] if more else shown))


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

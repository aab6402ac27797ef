"""Downloading a job: the files of a dataset or, while there is none, one file of the records so
far and one of the failures.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

from runtime.client.connection import Connection
from runtime.client.jobs import job_path
from runtime.client.observer import Observer
from runtime.client.transfer import OnBytes, Transfer
from runtime.disk import replacing
from runtime.domain.errors import ConfigurationError, ForbiddenError, InputError, StorageError
from runtime.domain.jobs.job import MAX_RECORDS
from runtime.domain.jobs.record import index_of

PARTIAL: Final = "dataset.partial.jsonl"
PARTIAL_FAILURES: Final = "failures.partial.jsonl"
_DATASET: Final = "dataset"
_BATCH: Final = "batch"
_EXPORTS: Final = "exports"


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A file of the API. `renew` gives a new URL when the first one is no longer valid."""

    kind: str
    path: PurePosixPath
    size: int
    url: str
    renew: Callable[[], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedFile:
    """A file that is here now, of `size` bytes."""

    path: Path
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloaded:
    """What was downloaded of a job, and how the job was then."""

    job_id: str
    status: str
    complete: bool
    """Whether it is the whole dataset."""
    records: int
    files: tuple[SavedFile, ...]


def download_job(
    connection: Connection, job_id: str, out: Path | None, observer: Observer
) -> Downloaded:
    """Put a job's files into `out`, by default `datasets/<job id>`.

    Raises `InputError` when there are no records yet, `NotFoundError`, `StorageError`.
    """
    first = connection.api.get(f"{job_path(job_id)}/download")
    if not first["files"]:
        raise InputError(f"job {first['job_id']} is {first['status']} and has no records yet")
    folder = out or Path("datasets") / first["job_id"]
    whole = first["files"][0]["kind"] == _DATASET
    save = _save_dataset if whole else _save_parts
    saved, records = save(connection, first, folder, observer)
    return Downloaded(
        job_id=first["job_id"],
        status=first["status"],
        complete=first["complete"],
        records=first["records_generated"] if records is None else records,
        files=tuple(saved),
    )


def _save_dataset(
    connection: Connection, first: Mapping[str, Any], folder: Path, observer: Observer
) -> tuple[list[SavedFile], None]:
    """Every exported file by its own name."""
    transfer, saved = connection.transfer(), []
    for file in _files(connection, first):
        target = folder / _place(file.path)
        with observer.transfer(target.name, file.size) as on_bytes:
            size = fetch(transfer, file, target, on_bytes)
        saved.append(SavedFile(path=target, size=size))
    # What was downloaded before the dataset was whole is a part of it.
    for name in (PARTIAL, PARTIAL_FAILURES):
        (folder / name).unlink(missing_ok=True)
    return saved, None


def _save_parts(
    connection: Connection, first: Mapping[str, Any], folder: Path, observer: Observer
) -> tuple[list[SavedFile], int]:
    """The records so far in one file, the failures in another, and how many records there are."""
    transfer, saved, records = connection.transfer(), [], 0
    for kind, parts in groupby(_files(connection, first), key=lambda file: file.kind):
        target = folder / (PARTIAL if kind == _BATCH else PARTIAL_FAILURES)
        with observer.transfer(target.name, None) as on_bytes:
            merged, count = _merge(transfer, parts, target, on_bytes)
        saved.append(merged)
        records += count if kind == _BATCH else 0
    return saved, records


def fetch(transfer: Transfer, file: RemoteFile, target: Path, on_bytes: OnBytes) -> int:
    """Download a file, with a new URL if the first one has become too old."""
    try:
        return transfer.download(file.url, target, on_bytes)
    except ForbiddenError:
        return transfer.download(file.renew(), target, on_bytes)


def _merge(
    transfer: Transfer, files: Iterator[RemoteFile], target: Path, on_bytes: OnBytes
) -> tuple[SavedFile, int]:
    """All parts in one file, each record once: a batch may repeat what another one holds."""
    seen = bytearray(MAX_RECORDS // 8 + 1)
    records = 0
    with replacing(target) as merged:
        with TemporaryDirectory(prefix=".batches-", dir=target.parent) as folder:
            part = Path(folder) / "batch.jsonl"
            for file in files:
                fetch(transfer, file, part, on_bytes)
                records += _append_new(part, merged, seen)
        size = merged.tell()
    return SavedFile(path=target, size=size), records


def _append_new(part: Path, merged: BinaryIO, seen: bytearray) -> int:
    added = 0
    with part.open("rb") as lines:
        for line in lines:
            byte, bit = divmod(_index(line), 8)
            if not seen[byte] & 1 << bit:
                seen[byte] |= 1 << bit
                merged.write(line if line.endswith(b"\n") else line + b"\n")
                added += 1
    return added


def _index(line: bytes) -> int:
    try:
        index = index_of(line)
    except ValueError as exc:
        raise StorageError("a batch of this job is damaged: a line of it is not a record") from exc
    if index >= MAX_RECORDS:
        raise StorageError(f"a batch of this job is damaged: it has a record {index}")
    return index


def _files(connection: Connection, first: Mapping[str, Any]) -> Iterator[RemoteFile]:
    """All files, page by page: the URLs of a page are as fresh as can be."""
    path = f"{job_path(first['job_id'])}/download"
    page, cursor = first, None
    while True:
        for document in page["files"]:
            yield RemoteFile(
                kind=document["kind"],
                path=PurePosixPath(document["name"]),
                size=document["size"],
                url=document["url"],
                renew=partial(_renew, connection, path, cursor, document["name"]),
            )
        cursor = page["next_cursor"]
        if cursor is None:
            return
        page = connection.api.get(path, cursor=cursor)


def _renew(connection: Connection, path: str, cursor: str | None, name: str) -> str:
    page = connection.api.get(path, cursor=cursor)
    for document in page["files"]:
        if document["name"] == name:
            return str(document["url"])
    raise ConfigurationError(f"{name} is no longer a file of the job: download it again")


def _place(path: PurePosixPath) -> Path:
    """Where a file goes below the folder. Raises `ConfigurationError` for a path that leaves it."""
    parts = path.parts[1:] if path.parts[:1] == (_EXPORTS,) else path.parts
    if not parts or path.is_absolute() or any(part in {"..", "."} for part in parts):
        raise ConfigurationError(f"the API gave {str(path)!r} as a file, which is refused")
    return Path(*parts)

"""Downloading a job: the files of a dataset or, while there is none, one file of the records so
far and one of the failures.

Folders are named by what the user typed. Of what a server answers nothing leaves the folder: names
are those that an export has, and a file is no longer than was announced.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

from runtime.client.connection import Connection
from runtime.client.http import understood
from runtime.client.jobs import find_job_id, job_path
from runtime.client.observer import Observer
from runtime.client.transfer import OnBytes, Transfer
from runtime.contract.keys import ROWS_FOLDER, row_folders, split_of_rows
from runtime.disk import disk_errors, replacing
from runtime.domain.checks.acceptance import MAX_CANDIDATES
from runtime.domain.errors import ConfigurationError, ForbiddenError, InputError, StorageError
from runtime.domain.identifiers import is_uuid
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.record import index_of
from runtime.export.card import is_unchanged
from runtime.export.configurations import FOLDERS
from runtime.inputs.files import check_folder

PARTIAL: Final = "dataset.partial.jsonl"
PARTIAL_FAILURES: Final = "failures.partial.jsonl"
PARTIAL_REJECTED: Final = "rejected.partial.jsonl"
_DOCUMENTS: Final = {"report": "report.html", "card": "README.md"}
"""What stands beside a dataset, by its name in the answer."""
_BATCH: Final = "batch"
_WHOLE: Final = frozenset({"dataset", "rows"})
"""Kinds of files of an exported dataset."""
_REJECTED: Final = "rejected"
_PARTIALS: Final = {_BATCH: PARTIAL, "failures": PARTIAL_FAILURES, _REJECTED: PARTIAL_REJECTED}
"""Where the parts of each kind go, while nothing is exported."""
_KINDS: Final = frozenset({*_WHOLE, *_PARTIALS})
_EXPORTS: Final = "exports/"
_DATASET_FILE: Final = re.compile(
    r"(?:[a-z][a-z0-9_]{0,31}=[A-Za-z0-9_-]{1,64}/)?[a-z][a-z0-9-]{0,63}\.(?:jsonl|parquet|csv)"
)
"""A dataset, or its part of a day, in one of the formats."""
_FOLDER_OF: Final = {each: folder for folder in FOLDERS for each in row_folders(folder)}
"""The shape's folder of each folder that rows or copies of them may be in."""
_OTHER_FILE: Final = re.compile(
    r"(?:failures|rejected)\.jsonl"
    r"|(?:outputs|failures|rejected)/(?:shard-[0-9]{4,9}/)?(?:batch|part)-[0-9]{4,9}\.jsonl"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A file of the API: where it goes below the folder, and its bytes. `renew` gives a new URL
    when the first one is no longer valid.
    """

    kind: str
    path: Path
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

    Raises `InputError` when there are no records yet, `NotFoundError`, `StorageError`,
    `ConfigurationError` for files that no job has.
    """
    folder = None if out is None else check_folder(out, "--out")
    job_id = find_job_id(connection.api, job_id)
    path = f"{job_path(job_id)}/download"
    first = connection.api.get(path)
    with understood("a list of files"):
        status = JobStatus(first["status"])
        complete = bool(first["complete"])
        records = int(first.get("accepted", first["records_generated"]))
        whole = [each["kind"] in _WHOLE for each in first["files"]]
    if not whole:
        raise InputError(f"job {job_id} is {status} and has no records yet")
    folder = folder or Path("datasets") / _folder_name(job_id)
    files = _files(connection, path, first)
    if whole[0]:
        saved = _save_dataset(connection, files, folder, observer)
        for document in _DOCUMENTS:
            saved += _save_document(connection, path, first, document, folder, observer)
    else:
        saved, records = _save_parts(connection, files, folder, observer)
    return Downloaded(
        job_id=job_id, status=status, complete=complete, records=records, files=tuple(saved)
    )


def _folder_name(job_id: str) -> str:
    """An id that a server takes and that is none must not be a path."""
    if not is_uuid(job_id):
        raise InputError(f"{job_id!r} is not the id of a job: say where to with --out")
    return job_id


def _save_dataset(
    connection: Connection, files: Iterator[RemoteFile], folder: Path, observer: Observer
) -> list[SavedFile]:
    """Every exported file by its own name, and no row of an earlier export beside them."""
    transfer, saved = connection.transfer(), []
    for file in files:
        target = folder / file.path
        with observer.transfer(target.name, file.size) as on_bytes:
            size = fetch(transfer, file, target, on_bytes)
        saved.append(SavedFile(path=target, size=size))
    # What was downloaded before the dataset was whole is a part of it.
    _remove(folder, *_PARTIALS.values())
    _remove_older_rows(folder, {each.path for each in saved}, observer)
    return saved


def _remove_older_rows(folder: Path, new: set[Path], observer: Observer) -> None:
    """Loaders would read the parts of an earlier export, too: there were others when the dataset
    was smaller. They are ours where the card is; else they stay, and that is said. Shapes that this
    download doesn't bring stay, too.
    """
    places = {str(path.relative_to(folder).parent) for path in new}
    brought = {_FOLDER_OF[each] for each in places & _FOLDER_OF.keys()}
    older = [
        path
        for folder_of in sorted({ROWS_FOLDER, *brought})
        for each in row_folders(folder_of)
        for path in sorted((folder / each).glob("*"))
        if path not in new and _is_of_rows(f"{each}/{path.name}")
    ]
    if not older:
        return
    card = folder / _DOCUMENTS["card"]
    if not card.exists() or _is_somebodys(card):
        observer.warning(
            f"{older[0]} is not of this dataset and stays, since {card.name} is not ours: move it"
            " away, or loaders read it too"
        )
        return
    _remove(folder, *(str(path.relative_to(folder)) for path in older))


def _save_document(
    connection: Connection,
    path: str,
    first: Mapping[str, Any],
    document: str,
    folder: Path,
    observer: Observer,
) -> list[SavedFile]:
    """The report or the card beside the dataset, where there is one: an API of before has none."""
    target = folder / _DOCUMENTS[document]
    if first.get(document) is None or (document == "card" and _is_somebodys(target)):
        return []
    with understood("a list of files"):
        file = RemoteFile(
            kind=document,
            path=Path(target.name),
            size=int(first[document]["size"]),
            url=str(first[document]["url"]),
            renew=partial(_renew_document, connection, path, document),
        )
    with observer.transfer(target.name, file.size) as on_bytes:
        size = fetch(connection.transfer(), file, target, on_bytes)
    return [SavedFile(path=target, size=size)]


def _is_somebodys(card: Path) -> bool:
    """Whether there is a card already that somebody wrote or changed: it stays."""
    with disk_errors(f"read {card}"):
        return card.exists() and not is_unchanged(card.read_bytes())


def _renew_document(connection: Connection, path: str, document: str) -> str:
    page = connection.api.get(path)
    with understood("a list of files"):
        return str(page[document]["url"])


def _save_parts(
    connection: Connection, files: Iterator[RemoteFile], folder: Path, observer: Observer
) -> tuple[list[SavedFile], int]:
    """The records so far in one file, failures and rejected tries in others, and how many records
    there are.
    """
    transfer, saved, records = connection.transfer(), [], 0
    absent = {*_PARTIALS.values()}
    for kind, parts in groupby(files, key=lambda file: file.kind):
        target = folder / _PARTIALS[kind]
        absent.discard(target.name)
        with observer.transfer(target.name, None) as on_bytes:
            merged, count = _merge(transfer, parts, target, on_bytes, kind=kind)
        saved.append(merged)
        records += count if kind == _BATCH else 0
    # What an earlier download left is of a time when there were failures: they were tried again.
    _remove(folder, *absent)
    return saved, records


def _remove(folder: Path, *names: str) -> None:
    for name in names:
        with disk_errors(f"remove {folder / name}"):
            (folder / name).unlink(missing_ok=True)


def fetch(transfer: Transfer, file: RemoteFile, target: Path, on_bytes: OnBytes) -> int:
    """Download a file, with a new URL if the first one has become too old."""
    try:
        return transfer.download(file.url, target, on_bytes, size=file.size)
    except ForbiddenError:
        return transfer.download(file.renew(), target, on_bytes, size=file.size)


def _merge(
    transfer: Transfer,
    files: Iterator[RemoteFile],
    target: Path,
    on_bytes: OnBytes,
    *,
    kind: str,
) -> tuple[SavedFile, int]:
    """All parts in one file, each record once: a batch may repeat what another one holds. Of one
    index several tries may have been rejected: these are told apart by all that they say.
    """
    new = _NewTries() if kind == _REJECTED else _NewRecords()
    records = 0
    with replacing(target) as merged:
        with TemporaryDirectory(prefix=".batches-", dir=target.parent) as folder:
            part = Path(folder) / "batch.jsonl"
            for file in files:
                fetch(transfer, file, part, on_bytes)
                records += _append_new(part, merged, new)
        size = merged.tell()
    return SavedFile(path=target, size=size), records


def _append_new(part: Path, merged: BinaryIO, new: "_NewRecords | _NewTries") -> int:
    added = 0
    with part.open("rb") as lines:
        for line in lines:
            if new.takes(line):
                merged.write(line if line.endswith(b"\n") else line + b"\n")
                added += 1
    return added


class _NewRecords:
    """Tells whether the index of a line is a new one. A bit each, and no more of them than tries
    that a job may take.
    """

    def __init__(self) -> None:
        self._seen = bytearray(MAX_CANDIDATES // 8 + 1)

    def takes(self, line: bytes) -> bool:
        byte, bit = divmod(_index(line), 8)
        if self._seen[byte] & 1 << bit:
            return False
        self._seen[byte] |= 1 << bit
        return True


class _NewTries:
    """Tells whether a line is a new one, by 8 bytes of its hash."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def takes(self, line: bytes) -> bool:
        _index(line)
        mark = hashlib.blake2b(line, digest_size=8).digest()
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True


def _index(line: bytes) -> int:
    try:
        index = index_of(line)
    except ValueError as exc:
        raise StorageError("a batch of this job is damaged: a line of it is not a record") from exc
    if index >= MAX_CANDIDATES:
        raise StorageError(f"a batch of this job is damaged: it has a record {index}")
    return index


def _files(connection: Connection, path: str, first: Mapping[str, Any]) -> Iterator[RemoteFile]:
    """All files, page by page: the URLs of a page are as fresh as can be."""
    page, cursor = first, None
    while True:
        for document in page["files"]:
            with understood("a list of files"):
                file = RemoteFile(
                    kind=str(document["kind"]),
                    path=_place(document["kind"], str(document["name"])),
                    size=int(document["size"]),
                    url=str(document["url"]),
                    renew=partial(_renew, connection, path, cursor, document["name"]),
                )
            yield file
        with understood("a list of files"):
            cursor = page["next_cursor"]
            if cursor is None:
                return
            page = connection.api.get(path, cursor=cursor)
            iter(page["files"])


def _renew(connection: Connection, path: str, cursor: str | None, name: str) -> str:
    page = connection.api.get(path, cursor=cursor)
    with understood("a list of files"):
        for document in page["files"]:
            if document["name"] == name:
                return str(document["url"])
    raise ConfigurationError(f"{name} is no longer a file of the job: download it again")


def _is_of_rows(path: str) -> bool:
    return path.partition("/")[0] in _FOLDER_OF and bool(split_of_rows(path))


def _place(kind: str, name: str) -> Path:
    """Where a file goes below the folder. Raises `ConfigurationError` for one that no job has:
    nothing that a server calls a file is a path, a hidden file, or a part's name for people.
    """
    path = name.removeprefix(_EXPORTS)
    if name.startswith(_EXPORTS):
        known = bool(_DATASET_FILE.fullmatch(path)) or _is_of_rows(path)
    else:
        known = bool(_OTHER_FILE.fullmatch(path))
    if kind not in _KINDS or not known:
        raise ConfigurationError(f"the API gave {name!r} as a file, which is refused")
    return Path(path)

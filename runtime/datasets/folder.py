"""The folder of one dataset: what the user sees, and the state that makes it resumable.

    DIR/dataset.jsonl …          published when they are complete
    DIR/dataset.partial.jsonl    the records so far, while it is not complete
    DIR/failures.jsonl           if there are any
    DIR/rejected.jsonl           what checks have kept out, if there is anything
    DIR/report.html              what the dataset looks like
    DIR/.seedwright/job.json     which dataset this is, and the id of its job
    DIR/.seedwright/seeds.json   what its seeds were made of
    DIR/.seedwright/server.json    where its models are, if the user said so
    DIR/.seedwright/published.json   how complete is what is published
    DIR/.seedwright/lock         held by the process that generates
    DIR/.seedwright/state…       storage of the engine, see runtime.local.storage
    DIR/.seedwright/log.jsonl    what the engine logged

The job's id is stored when the folder is made. It follows from what makes one dataset another, so
the same command gives the same records and ids on any machine.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import orjson

from runtime.bootstrap import LocalEngine
from runtime.contract.keys import export_key, failures_key, rejected_key, report_key
from runtime.datasets.identity import stored_job_id
from runtime.datasets.request import DatasetRequest
from runtime.datasets.rows import PublishedRows
from runtime.disk import disk_errors, locked, open_lock, replace_by_link, replacing, try_lock
from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError, InputError, NotFoundError, StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Job
from runtime.export.batches import Batches
from runtime.export.report.writing import REPORT_MARK
from runtime.inputs.dataset_folders import PUBLISHED, STATE
from runtime.local.storage import open_objects

_SEEDS: Final = "seeds.json"
_SERVER: Final = "server.json"
FAILURES: Final = "failures.jsonl"
REJECTED: Final = "rejected.jsonl"
PARTIAL: Final = "dataset.partial.jsonl"
REPORT: Final = "report.html"
_REPORT_HEAD: Final = 1024
"""Bytes of a report in which its mark stands."""


class DatasetFolder:
    """One `--out` folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / STATE
        self.log = self.state / "log.jsonl"
        self._identity = self.state / "job.json"
        self.rows = PublishedRows(path, self.state)

    @property
    def is_begun(self) -> bool:
        """Whether a job has begun here."""
        return self._identity.exists()

    def check(self, request: DatasetRequest) -> DatasetRequest:
        """The request as this folder goes on with it. Refuses a folder that holds another dataset,
        or files of somebody else.

        Raises `InputError`, or `ConfigurationError` for a damaged folder.
        """
        stored = self._stored_identity()
        if stored is None:
            self._check_foreign()
            return request
        if request.begun_as is not None and request.begun_as == stored_job_id(stored):
            return request  # it was read from this folder, or has been checked before
        request = request.going_on(stored)
        if changed := request.differs_from(stored):
            kept = f"; `seedwright resume {self.path}` goes on with its own seeds"
            raise InputError(
                f"{self.path} holds another dataset (different {', '.join(changed)}): choose "
                f"another --out, or delete it{kept if changed == ['seeds'] else ''}"
            )
        return request

    def begun(self) -> tuple[str, str]:
        """The id of the folder's job, and its backend. Raises `InputError` for a folder without a
        dataset, `ConfigurationError` for a damaged one.
        """
        stored = self._stored_identity()
        if stored is None or "--backend" not in stored:
            raise InputError(
                f"{self.path} holds no dataset: name the folder that `seedwright generate --out` "
                "was given"
            )
        return stored_job_id(stored), str(stored["--backend"])

    def _check_foreign(self) -> None:
        if (rows := self.rows.foreign()) is not None:
            raise InputError(f"{rows} exists and was not generated here: choose another --out")
        for name in (*map(_file_name, OutputFormat), PARTIAL, FAILURES, REJECTED, REPORT):
            if (self.path / name).exists():
                raise InputError(
                    f"{self.path / name} exists and was not generated here: choose another --out"
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and be the only process that generates into it.

        The kernel gives the lock back when the process ends, however it ends. Raises
        `ConfigurationError` at once when another process holds it.
        """
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self.check_links()
            descriptor = open_lock(self.state / "lock")
        except OSError as exc:
            with disk_errors(f"create {self.state}"):
                if exc.errno == errno.ENOSPC:
                    raise
            with out_errors(self.path):
                raise
        taken = ConfigurationError(
            f"another process is generating into {self.path}: wait for it or stop it"
        )
        with locked(descriptor, self.state, taken=taken):
            yield

    @contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """Keep others from generating into a folder that is there for the block, unless somebody
        does already; whether nobody does. Raises `StorageError`.
        """
        with disk_errors(f"lock {self.state}"):
            descriptor = open_lock(self.state / "lock")
        try:
            with disk_errors(f"lock {self.state}"):
                free = try_lock(descriptor)
            yield free
        finally:
            os.close(descriptor)

    def check_links(self) -> None:
        """The state is written into, so none of it may lead elsewhere: a folder that came from
        somebody else could name any file of this user. Raises `ConfigurationError` or `OSError`.
        """
        for each in (self.state, *self.state.iterdir()):
            if each.is_symlink():
                raise ConfigurationError(
                    f"{each} is a symbolic link: delete it, or choose another --out"
                )

    def _stored_identity(self) -> Mapping[str, object] | None:
        try:
            document = orjson.loads(self._identity.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as exc:
            raise ConfigurationError(f"{self._identity} is damaged: choose another --out") from exc
        return document if isinstance(document, dict) else {}

    def note(self, request: DatasetRequest) -> None:
        """Write down which dataset this is, and the id of its job, before there is anything of it.
        A folder of before gets the id that it has, and keeps what it says of itself.
        """
        stored = self._stored_identity() or {}
        if "job_id" in stored:
            return
        seeds = request.seeds
        if seeds is not None:
            with replacing(self.state / _SEEDS) as file:
                note = json.dumps({"sha256": seeds.sha256, **seeds.made_of}, ensure_ascii=False)
                file.write(note.encode("utf-8", "replace"))  # names of files may be any bytes
        identity = request.identity()
        document = {**identity, **stored, "template": identity["template"]}
        with replacing(self._identity) as file:
            file.write(orjson.dumps({"job_id": request.job_id(), **document}))

    def note_server(self, base_url: str | None) -> None:
        """Write down where the dataset's models are, if the user said so. Raises `StorageError`."""
        if base_url is not None:
            with replacing(self.state / _SERVER) as file:
                file.write(orjson.dumps({"base_url": base_url}))

    def server(self) -> str | None:
        """Where the dataset's models were, None if nobody said so.

        Raises `InputError` for a server elsewhere: a folder may come from somebody else, and what
        it names would be sent prompts and a key. Then the user has to name it again.
        """
        try:
            document = orjson.loads((self.state / _SERVER).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as exc:
            raise ConfigurationError(f"{self.state / _SERVER} is damaged: delete it") from exc
        url = document.get("base_url") if isinstance(document, dict) else None
        if not isinstance(url, str):
            return None
        if not is_loopback(url):
            raise InputError(f"the models of {self.path} were at {url}: give it as --base-url")
        return url

    def note_end(self, job: Job) -> None:
        """Write down how complete is what is published, for whoever takes it as seeds. Raises
        `StorageError`; then nothing is said of it.
        """
        document = {
            "status": str(job.status),
            "records": job.accepted,
            "requested": job.config.num_records,
        }
        target = self.state / PUBLISHED
        with disk_errors(f"write {target}"):
            target.unlink(missing_ok=True)
            with replacing(target) as file:
                file.write(orjson.dumps(document))

    def published(self) -> tuple[OutputFormat, ...]:
        """The formats that the user finds in the folder now."""
        return tuple(each for each in OutputFormat if (self.path / _file_name(each)).exists())

    def publish(
        self, engine: LocalEngine, job: Job, formats: tuple[OutputFormat, ...]
    ) -> list[Path]:
        """Put the exports where the user looks for them; their paths."""
        wanted = [(export_key(job.job_id, each.lower()), _file_name(each)) for each in formats]
        paths = self._link(engine, [*wanted, *_lists(job)])
        with disk_errors(f"delete {self.path / PARTIAL}"):
            (self.path / PARTIAL).unlink(missing_ok=True)
        return paths

    def publish_partial(self, engine: LocalEngine, job: Job, lines: Iterator[bytes]) -> list[Path]:
        """Put the records that are saved so far, given as their `lines`, and the exported lists of
        failures and of what was rejected where the user looks for them; their paths. What was
        published of fewer records stays.
        """
        paths: list[Path] = []
        target = self.path / PARTIAL
        if (first := next(lines, None)) is not None:
            with disk_errors(f"write {target}"), replacing(target) as file:
                for line in chain((first,), lines):
                    file.write(line + b"\n")
            paths.append(target)
        return [*paths, *self._link(engine, _lists(job))]

    def publish_report(self, engine: LocalEngine, job: Job, *, written: bool) -> Path | None:
        """Put the report of the exported dataset beside it; None if it could not be `written`: then
        an older one does not stay.
        """
        target = self.path / REPORT
        if not written:
            with disk_errors(f"delete {target}"):
                target.unlink(missing_ok=True)
            return None
        return next(iter(self._link(engine, [(report_key(job.job_id), REPORT)])), None)

    def owns_report(self) -> bool:
        """Whether `report.html` is ours to replace: a folder of before may hold another one. Raises
        `StorageError`.
        """
        path = self.path / REPORT
        with disk_errors(f"read {path}"):
            if not path.exists():
                return True
            with path.open("rb") as file:
                return REPORT_MARK in file.read(_REPORT_HEAD)

    def _link(self, engine: LocalEngine, wanted: Sequence[tuple[str, str]]) -> list[Path]:
        paths: list[Path] = []
        for key, name in wanted:
            source, target = engine.path_of(key), self.path / name
            with disk_errors(f"write {target}"):
                if source.exists():
                    replace_by_link(source, target)
                    paths.append(target)
                else:
                    target.unlink(missing_ok=True)
        return paths

    def lines_of(self, path: Path) -> Iterator[bytes]:
        """The lines of a published file, one after the other. Raises `StorageError`."""
        try:
            with disk_errors(f"read {path}"), path.open("rb") as file:
                yield from file
        except StorageError as exc:
            if path.exists():
                raise
            raise NotFoundError(f"{path} is gone: generate the dataset again") from exc

    def check_state(self) -> None:
        """Raises `NotFoundError` where there is none."""
        if not self.state.is_dir():
            raise NotFoundError(f"{self.state} is gone: generate the dataset again")

    def saved_lines(self, job_id: str, *, only: IndexSet | None = None) -> Iterator[bytes]:
        """The records that are saved in the state, published or not; `only` those that are in the
        dataset, where not all are. Raises `StorageError`.
        """
        self.check_state()
        seen: set[int] = set()
        with closing(open_objects(self.state)) as objects:
            batches = Batches(objects).load_all_batches(job_id)
            if batches.error is not None:
                raise batches.error
            for batch in batches:
                for index, line in zip(batch.indices, batch.lines, strict=True):
                    if index in seen or (only is not None and not only.has(index)):
                        continue
                    seen.add(index)
                    yield line


def _lists(job: Job) -> tuple[tuple[str, str], ...]:
    """What is listed beside the records, and where."""
    return (failures_key(job.job_id), FAILURES), (rejected_key(job.job_id), REJECTED)


def _file_name(output_format: OutputFormat) -> str:
    return f"dataset.{output_format.lower()}"


def folder_name(name: str) -> str:
    """A template's name as a folder name that every file system takes."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name.lower())
    return kept[:60].strip("-.") or "dataset"


@contextmanager
def out_errors(folder: Path) -> Iterator[None]:
    """Turn every reason why `folder` can't be used into `ConfigurationError`."""
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(
            f"--out {folder}: can't be used ({exc.strerror}): choose another folder"
        ) from exc


def check_writable(folder: Path) -> None:
    """Whether `folder` is, or could become, a folder to write into; creates nothing.

    Raises `ConfigurationError`.
    """
    with out_errors(folder):
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise ConfigurationError(
                f"--out {folder}: {existing} is not a folder: choose another folder"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"--out {folder}: no permission to write in {existing}: choose another folder"
            )

"""The folder of one dataset: what the user sees, and the state that makes it resumable.

    DIR/dataset.jsonl …          published when they are complete
    DIR/failures.jsonl           if there are any
    DIR/.seedwright/job.json     which dataset this is
    DIR/.seedwright/lock         held by the process that generates
    DIR/.seedwright/state…       storage of the engine, see runtime.local.storage
    DIR/.seedwright/log.jsonl    what the engine logged

The job's id follows from template, seeds, strategy and random seed, so the same command gives the
same records on any machine.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from runtime.bootstrap import LocalEngine
from runtime.contract.keys import export_key, failures_key, seed_prefix
from runtime.datasets.inputs import SeedFile, out_errors
from runtime.domain.errors import ConfigurationError, InputError, NotFoundError
from runtime.domain.jobs.config import JobConfig
from runtime.domain.jobs.delivery import Delivery, OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.templates.document import document_of
from runtime.domain.templates.template import Template
from runtime.local.database import disk_errors
from runtime.service.requeue import queue_again

LOCAL_USER: Final = "local"
_STATE: Final = ".seedwright"
_FAILURES: Final = "failures.jsonl"
_NAMESPACE: Final = uuid.UUID("6a1f1c0e-6d0f-4a43-9f0b-6a3c5f8a7c11")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """What is asked for. The first part is its identity and can't change in a folder."""

    template: Template
    seeds: SeedFile
    num_records: int
    seed_strategy: SeedStrategy
    random_seed: int
    model: str | None
    backend: str
    budget_nano: int
    formats: tuple[OutputFormat, ...]

    def identity(self) -> dict[str, object]:
        """The choices that make one dataset another, by the words users know them by."""
        document = orjson.dumps(document_of(self.template), option=orjson.OPT_SORT_KEYS)
        return {
            "template": hashlib.sha256(document).hexdigest(),
            "seeds": self.seeds.sha256,
            "-n": self.num_records,
            "--seed-strategy": str(self.seed_strategy),
            "--random-seed": self.random_seed,
            "--model": self.model,
            "--backend": self.backend,
        }

    @property
    def draws(self) -> Draws:
        """Which seed a record gets."""
        return Draws(seed_strategy=self.seed_strategy, random_seed=self.random_seed)

    def job_id(self) -> str:
        """Depends on what decides the prompts, and not on how many or by which model."""
        identity = self.identity()
        drawn = ("template", "seeds", "--seed-strategy", "--random-seed")
        return str(uuid.uuid5(_NAMESPACE, orjson.dumps([identity[key] for key in drawn]).decode()))


class DatasetFolder:
    """One `--out` folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / _STATE
        self.log = self.state / "log.jsonl"
        self._identity = self.state / "job.json"

    def check(self, dataset: Dataset) -> None:
        """Refuse a folder that holds another dataset, or files of somebody else.

        Raises `InputError`, or `ConfigurationError` for a damaged folder.
        """
        stored = self._stored_identity()
        if stored is None:
            self._check_foreign()
            return
        wanted = dataset.identity()
        changed = [name for name in wanted if stored.get(name) != wanted[name]]
        if changed:
            raise InputError(
                f"{self.path} holds another dataset (different {', '.join(changed)}): choose "
                "another --out, or delete it"
            )

    def _check_foreign(self) -> None:
        for name in (*map(_file_name, OutputFormat), _FAILURES):
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
            descriptor = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            with disk_errors(f"create {self.state}"):
                if exc.errno == errno.ENOSPC:
                    raise
            with out_errors(self.path):
                raise
        try:
            with disk_errors(f"lock {self.state}"):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise ConfigurationError(
                        f"another process is generating into {self.path}: wait for it or stop it"
                    ) from exc
            yield
        finally:
            os.close(descriptor)

    def _stored_identity(self) -> Mapping[str, object] | None:
        try:
            document = orjson.loads(self._identity.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as exc:
            raise ConfigurationError(f"{self._identity} is damaged: choose another --out") from exc
        return document if isinstance(document, dict) else {}

    def prepare(self, engine: LocalEngine, dataset: Dataset) -> Job:
        """The job of this folder, made or made ready to go on. Safe to repeat after a crash at
        any point: the identity is written first and everything after it can be done again.
        """
        if self._stored_identity() is None:
            temporary = self._identity.with_suffix(".tmp")
            with disk_errors(f"write {self._identity}"):
                temporary.write_bytes(orjson.dumps(dataset.identity()))
                temporary.replace(self._identity)
        job_id = dataset.job_id()
        ports = engine.ports
        try:
            ports.jobs.get_job(job_id)
        except NotFoundError:
            self._create(engine, dataset, job_id)
            return ports.jobs.get_job(job_id)
        ports.jobs.set_budget(job_id, usd_decimal(dataset.budget_nano))
        queue_again(ports.jobs, ports.queue, job_id)
        return ports.jobs.get_job(job_id)

    def _create(self, engine: LocalEngine, dataset: Dataset, job_id: str) -> None:
        ports = engine.ports
        key = f"{seed_prefix(LOCAL_USER)}{job_id}/{dataset.seeds.name}"
        with ports.objects.open_writer(key, content_type="application/octet-stream") as writer:
            dataset.seeds.write_to(writer)
        now = ports.clock.now()
        ports.jobs.create_job(
            Job(
                job_id=job_id,
                user_id=LOCAL_USER,
                status=JobStatus.QUEUED,
                config=JobConfig(
                    template=ports.templates.save_template(LOCAL_USER, job_id, dataset.template),
                    seed_data_path=key,
                    seed_version=ports.objects.stat(key).version,
                    num_records=dataset.num_records,
                    delivery=Delivery(output_formats=dataset.formats),
                    draws=dataset.draws,
                    models=ModelChoice(model=dataset.model),
                    price_table_version=ports.prices.version,
                ),
                budget_limit=usd_decimal(dataset.budget_nano),
                created_at=now,
                updated_at=now,
            )
        )

    def published(self) -> tuple[OutputFormat, ...]:
        """The formats that the user finds in the folder now."""
        return tuple(each for each in OutputFormat if (self.path / _file_name(each)).exists())

    def publish(
        self, engine: LocalEngine, job: Job, formats: tuple[OutputFormat, ...]
    ) -> list[Path]:
        """Put the exports where the user looks for them; their paths."""
        paths: list[Path] = []
        wanted = [(export_key(job.job_id, each.lower()), _file_name(each)) for each in formats]
        for key, name in [*wanted, (failures_key(job.job_id), _FAILURES)]:
            source, target = engine.path_of(key), self.path / name
            with disk_errors(f"write {target}"):
                if source.exists():
                    _replace(source, target)
                    paths.append(target)
                else:
                    target.unlink(missing_ok=True)
        return paths


def _file_name(output_format: OutputFormat) -> str:
    return f"dataset.{output_format.lower()}"


def _replace(source: Path, target: Path) -> None:
    """`target` becomes `source`, all at once and where it can be without a copy."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without links
        shutil.copyfile(source, temporary)
    temporary.replace(target)

"""What `submit` does, in an order in which nothing is paid for twice.

    seeds up ─▶ seeds checked ─▶ template made or reused ─▶ estimate ─▶ remember ─▶ POST /jobs
                                                                           │            │
                             the same command again finds it ◀── no answer ┴────────────┘

The request is stored with its Idempotency-Key before it is sent, and forgotten when there is an
answer. While it is there, the same command sends the same request, and gets the same job.
"""

import hashlib
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.cli.remote.job_views import describe, nano, print_next
from runtime.cli.remote.output import print_json, say
from runtime.cli.remote.seed_files import check_seeds, upload_seeds
from runtime.cli.remote.template_files import ensure_template
from runtime.cli.remote.watching import follow
from runtime.client.connection import Connection, connect, state_folder
from runtime.client.profiles import write_private
from runtime.datasets.inputs import check_count, parse_formats, read_for_api
from runtime.domain.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    StorageUnavailableError,
)
from runtime.domain.jobs.delivery import PartitionStrategy
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.money.amounts import parse_usd, usd, usd_decimal
from runtime.domain.templates.document import complete_document
from runtime.local.database import disk_errors

SEED_PREFIX: Final = "seed-data/"
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What is asked for. `template` is a file or an id, `seeds` a file or a key."""

    template: str
    seeds: str
    num_records: int
    budget_limit: str
    output_format: tuple[str, ...]
    model: str | None
    seed_strategy: SeedStrategy
    partition_strategy: PartitionStrategy
    allow_partial: bool
    allow_on_demand: bool

    @classmethod
    def from_options(
        cls,
        *,
        template: str,
        seeds: str,
        num_records: int,
        budget: str,
        formats: list[str],
        model: str | None,
        seed_strategy: SeedStrategy,
        partition: PartitionStrategy,
        allow_partial: bool,
        allow_on_demand: bool,
    ) -> "Submission":
        """What the command line says, checked. Raises `InputError`."""
        submission = cls(
            template=template,
            seeds=seeds,
            num_records=check_count(num_records),
            budget_limit=usd_decimal(parse_usd(budget)),
            output_format=tuple(str(each) for each in parse_formats(formats)),
            model=model,
            seed_strategy=seed_strategy,
            partition_strategy=partition,
            allow_partial=allow_partial,
            allow_on_demand=allow_on_demand,
        )
        if not submission.seed_file and not seeds.startswith(SEED_PREFIX):
            raise InputError(f"{seeds}: no such file, and no key of uploaded seeds")
        return submission

    @property
    def template_file(self) -> Path | None:
        """The template's file, None for an id."""
        with suppress(ValueError):
            uuid.UUID(self.template)
            if not Path(self.template).is_file():
                return None
        return Path(self.template)

    @property
    def seed_file(self) -> Path | None:
        """The seeds' file, None for a key."""
        return Path(self.seeds) if Path(self.seeds).is_file() else None

    def fingerprint(self, connection: Connection) -> str:
        """The same for the same request of the same user: contents count, not where files are."""
        profile = connection.profile
        parts: dict[str, object] = asdict(self)
        parts.update(api=profile.api_url, user=profile.username)
        if self.template_file is not None:
            parts["template"] = complete_document(read_for_api(self.template_file))
        if self.seed_file is not None:
            parts["seeds"] = [self.seed_file.name, _digest(self.seed_file)]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def submit(submission: Submission, profile: str | None, *, watch: bool, json: bool) -> int:
    """Submit a job; with `watch` stay until it has ended. The exit code."""
    connection = connect(profile)
    pending = Pending(state_folder() / "submissions" / submission.fingerprint(connection))
    request = pending.load()
    if request is None:
        request = _prepare(connection, submission, json=json)
        pending.store(request)
    elif not json:
        say("An earlier submission of this has had no answer: asking for it again.")
    job = _send(connection, request, pending)
    if watch:
        if not json:
            say(f"job {job['job_id']}")
        return follow(connection.api, job, json=json)
    if json:
        print_json(job)
        return 0
    for line in describe(job):
        print(line)
    print_next(job)
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """A request for a job, and the key by which the API knows it again."""

    key: str
    body: Mapping[str, Any]


class Pending:
    """The request of a submission that has had no answer yet, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_suffix(".json")

    def load(self) -> JobRequest | None:
        """The request, if there is one. What can't be read is none."""
        with suppress(OSError, ValueError, TypeError):
            return JobRequest(**orjson.loads(self._path.read_bytes()))
        return None

    def store(self, request: JobRequest) -> None:
        """Remember it before it is sent. Raises `StorageError`."""
        with disk_errors(f"create {self._path.parent}"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._path, orjson.dumps(asdict(request)))

    def forget(self) -> None:
        """It has had its answer."""
        with suppress(OSError):
            self._path.unlink()


def _prepare(connection: Connection, submission: Submission, *, json: bool) -> JobRequest:
    """Everything up to the job itself; what it makes is found again by the same command."""
    api = connection.api
    template = ensure_template(api, submission.template, submission.template_file)
    if template.change and not json:
        say(f"template {template.name!r}: {template.change} ({template.template_id})")
    seeds = submission.seeds
    if submission.seed_file is not None:
        seeds = upload_seeds(connection, submission.seed_file, json=json)
        check_seeds(api, seeds, template_id=template.template_id)
    body = {
        "template_id": template.template_id,
        "template_version": template.version,
        "seed_data_path": seeds,
        "num_records": submission.num_records,
        "budget_limit": submission.budget_limit,
        "output_format": list(submission.output_format),
        "partition_strategy": str(submission.partition_strategy),
        "seed_strategy": str(submission.seed_strategy),
        "model": submission.model,
        "allow_partial": submission.allow_partial,
        "allow_on_demand": submission.allow_on_demand,
    }
    if not json:
        _show_estimate(connection, body)
    return JobRequest(key=str(uuid.uuid4()), body=body)


def _show_estimate(connection: Connection, body: Mapping[str, Any]) -> None:
    asked = (
        "template_id",
        "template_version",
        "seed_data_path",
        "num_records",
        "seed_strategy",
        "model",
    )
    found = connection.api.post(
        "/jobs/estimate", {name: body[name] for name in asked}, repeatable=True
    )
    likely, highest = nano(found["likely_usd"]), nano(found["highest_usd"])
    budget = parse_usd(body["budget_limit"])
    say(
        f"estimate: likely {usd(likely)}, at most {usd(highest)} with {', '.join(found['models'])};"
        f" the budget is {usd(budget)}"
    )
    if budget < likely and body["allow_partial"]:
        say("The budget may end this job early: what it pays for is kept, and `resume` goes on.")


def _send(connection: Connection, request: JobRequest, pending: Pending) -> Mapping[str, Any]:
    try:
        reply = connection.api.call(
            "POST",
            "/jobs",
            body=request.body,
            headers={"idempotency-key": request.key},
            repeatable=True,
        )
    except StorageUnavailableError as exc:
        raise StorageUnavailableError(
            f"{exc}. Run the same command again: it makes no second job"
        ) from exc
    except (InputError, ForbiddenError, NotFoundError, ConflictError, LimitError):
        pending.forget()  # nothing was made, and the next attempt may be another one
        raise
    pending.forget()
    job: Mapping[str, Any] = reply.body
    return job


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with disk_errors(f"read {path}"), path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

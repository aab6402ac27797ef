"""What submitting a job does, in an order in which nothing is paid for twice.

    template created or reused ─▶ seeds up ─▶ seeds checked ─▶ estimate ─▶ remember ─▶ POST /jobs
                                                                              │            │
                                the same submission again finds it ◀── no answer ┴─────────┘

The request is stored with its Idempotency-Key before it is sent, and forgotten when there is an
answer. While it is there, the same submission sends the same request, and gets the same job.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

from runtime.client.connection import Connection, state_folder
from runtime.client.http import understood
from runtime.client.jobs import Job
from runtime.client.observer import Observer
from runtime.client.pending import JobRequest, Pending
from runtime.client.seeds import Seeds, check_seeds, seed_source, upload_seeds
from runtime.client.templates import (
    TemplateSource,
    ensure_template,
    latest_template,
    read_source,
)
from runtime.client.transfer import Source, open_source
from runtime.disk import disk_errors
from runtime.domain.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    StorageUnavailableError,
)
from runtime.domain.jobs.config import OPTIONS
from runtime.domain.jobs.sampling import OF_BEFORE, Draws, SeedStrategy
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import from_usd, parse_usd, usd_decimal
from runtime.domain.money.estimate import Acceptance, Estimate, StepEstimate
from runtime.domain.money.estimate_text import estimate_notices
from runtime.domain.options import asked_document, options_document
from runtime.domain.templates.document import complete_document
from runtime.domain.templates.template import Template
from runtime.domain.wording import sentence
from runtime.inputs.needs import check_needs_none
from runtime.inputs.options import check_count
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import SeedFile

SUBMITTED: Final[tuple[type, ...]] = (*OPTIONS.values(), Acceptance)
"""The options of a submission."""

_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What is asked for. `template` is the id of one in the API, or what becomes one; `seeds` are
    the key of uploaded ones, or what is uploaded; None where the template reads none.
    """

    template: str | TemplateSource
    seeds: str | Source | None
    num_records: int
    budget_limit: str
    options: tuple[object, ...]
    """One of each of `SUBMITTED`."""
    strategy_chosen: bool
    """Whether the caller named the seed strategy."""

    @classmethod
    def of(
        cls,
        *,
        template: str | TemplateSource,
        seeds: Seeds | None,
        num_records: int,
        budget: object,
        options: tuple[object, ...],
        strategy_chosen: bool,
        reading: SeedReading | None = None,
    ) -> Self:
        """What a caller says, checked. `budget` is USD. Raises `InputError`."""
        return cls(
            template=_template_source(template),
            num_records=check_count(num_records),
            budget_limit=usd_decimal(parse_usd(budget)),
            seeds=None if seeds is None else seed_source(seeds, reading),
            options=options,
            strategy_chosen=strategy_chosen,
        )

    def read_template(self) -> Template | None:
        """The template; None for an id. Raises `TemplateError`."""
        return None if isinstance(self.template, str) else read_source(self.template)

    def fingerprints(self, connection: Connection, template: Template | None) -> Iterator[str]:
        """The same for the same request of the same user: contents count, not where files are.
        After that the one that a version of before the scheme of draws gave it, if it could.
        """
        profile = connection.profile
        parts: dict[str, object] = {
            "template": self.template,
            "seeds": self.seeds,
            "num_records": self.num_records,
            "budget_limit": self.budget_limit,
            "api": profile.api_url,
            "user": profile.username,
        }
        if template is not None:
            parts["template"] = complete_document(template)
        if self.seeds is not None and not isinstance(self.seeds, str):
            parts["seeds"] = [self.seeds.name, _digest(self.seeds)]
        for options in filter(None, (self.options, self._options_of_before())):
            whole = orjson.dumps(parts | options_document(*options), option=orjson.OPT_SORT_KEYS)
            yield hashlib.sha256(whole).hexdigest()

    def _options_of_before(self) -> tuple[object, ...] | None:
        """What the earlier version made of the same words: its default drew at random."""
        now = next(each for each in self.options if isinstance(each, Draws))
        strategy = now.seed_strategy if self.strategy_chosen else SeedStrategy.RANDOM
        if now.random_seed != Draws().random_seed or strategy not in OF_BEFORE:
            return None
        before = Draws(seed_strategy=strategy, random_seed=None, scheme=1)
        return tuple(before if each is now else each for each in self.options)


def _template_source(template: str | TemplateSource) -> str | TemplateSource:
    """A text is the id of a template if it looks like one and there is no such file."""
    if not isinstance(template, str):
        return template
    with suppress(ValueError):
        uuid.UUID(template)
        if not Path(template).is_file():
            return template
    return Path(template)


def submit_job(
    connection: Connection, submission: Submission, observer: Observer, *, estimate: bool
) -> Job:
    """Submit a job, or get the one of the same submission whose answer was lost. With `estimate`
    the observer hears what it is likely to cost before it is created.

    Raises `InputError` and what the API refuses; `StorageUnavailableError` when there is no answer.
    """
    template = submission.read_template()
    folder = state_folder() / "submissions"
    known = [Pending(folder / each) for each in submission.fingerprints(connection, template)]
    pending, request = next(
        ((each, found) for each in known if (found := each.load()) is not None), (known[0], None)
    )
    if request is None:
        body = _prepare(connection, submission, template, observer)
        if estimate:
            _report_estimate(connection, submission, body, observer)
        request = JobRequest(key=str(uuid.uuid4()), body=body)
        pending.store(request)
    else:
        observer.notice("An earlier submission of this has had no answer: asking for it again.")
    return _send(connection, request, pending)


def _prepare(
    connection: Connection,
    submission: Submission,
    given: Template | None,
    observer: Observer,
) -> dict[str, Any]:
    """Everything up to the job itself; what it creates is found again by the same submission."""
    api = connection.api
    if submission.seeds is None and given is not None:
        check_needs_none(given)  # before it becomes a template of the API
    template = (
        latest_template(api, str(submission.template))
        if given is None
        else ensure_template(api, given)
    )
    if template.change:
        observer.notice(f"template {template.name!r}: {template.change} ({template.template_id})")
    seeds = submission.seeds
    if isinstance(seeds, SeedFile):
        for warning in seeds.warnings:
            observer.notice(f"warning: {warning}")
    if seeds is not None and not isinstance(seeds, str):
        seeds = upload_seeds(connection, seeds, observer)
        check_seeds(api, seeds, template_id=template.template_id)
    return {
        "template_id": template.template_id,
        "template_version": template.version,
        **({} if seeds is None else {"seed_data_path": seeds}),
        "num_records": submission.num_records,
        "budget_limit": submission.budget_limit,
        **asked_document(*submission.options),
    }


def _report_estimate(
    connection: Connection, submission: Submission, body: Mapping[str, Any], observer: Observer
) -> None:
    asked = ("template_id", "template_version", "seed_data_path", "num_records")
    decisive = [each for each in submission.options if isinstance(each, Draws | ModelChoice)]
    found = connection.api.post(
        "/jobs/estimate",
        {**{name: body[name] for name in asked if name in body}, **asked_document(*decisive)},
        repeatable=True,
    )
    with understood("an estimate"):
        estimated = _estimate_of(found, body["num_records"])
        models = [str(model) for model in found["models"]]
    budget = parse_usd(body["budget_limit"])
    for line in estimate_notices(estimated, models=models, budget_nano=budget):
        observer.notice(line)
    if budget < estimated.likely_nano and body["allow_partial"]:
        observer.notice(
            "The budget may end this job early: what it pays for is kept, and `resume` goes on."
        )


def _estimate_of(document: Mapping[str, Any], records: int) -> Estimate:
    """From an answer; an older API has no figures of steps."""
    return Estimate(
        records=records,
        lowest_nano=from_usd(document["lowest_usd"]),
        likely_nano=from_usd(document["likely_usd"]),
        highest_nano=from_usd(document["highest_usd"]),
        likely_tokens=document.get("likely_tokens", 0),
        tries=document.get("tries"),
        checks_assume=document.get("checks_assume"),
        steps=tuple(
            StepEstimate(
                step=step,
                model=each["model"],
                tokens_in=each["tokens_in"],
                tokens_out=each["tokens_out"],
                lowest_nano=from_usd(each["lowest_usd"]),
                likely_nano=from_usd(each["likely_usd"]),
                highest_nano=from_usd(each["highest_usd"]),
                too_long=each.get("too_long", 0),
            )
            for step, each in document.get("steps", {}).items()
        ),
        warnings=tuple(str(each) for each in document.get("warnings", ())),
    )


def _send(connection: Connection, request: JobRequest, pending: Pending) -> Job:
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
            f"{sentence(exc)} Run the same command again: it creates no second job"
        ) from exc
    except (InputError, ForbiddenError, NotFoundError, ConflictError, LimitError):
        pending.forget()  # nothing was created, and the next attempt may be another one
        raise
    pending.forget()
    return Job.of(reply.body)


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    with disk_errors(f"read {source}"), open_source(source) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

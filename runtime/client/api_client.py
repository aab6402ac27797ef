"""`Client`: the API for Python programs, over the same functions that the commands call."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Unpack

from runtime.client.connection import Connection, connect, connect_to
from runtime.client.downloads import download_job
from runtime.client.exports import export_job
from runtime.client.jobs import Job, cancel_job, delete_job, get_job, list_jobs, resume_job
from runtime.client.month import Month, get_month
from runtime.client.observer import Observer, SilentObserver
from runtime.client.seeds import Seeds, UploadedSeeds, delete_seeds, list_seeds
from runtime.client.submission import Submission, submit_job
from runtime.client.templates import TemplateSource
from runtime.client.watching import watch_job
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.errors import ConfigurationError, InputError
from runtime.domain.jobs.delivery import FOR_PEOPLE, PartitionStrategy
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.machines import Machines
from runtime.domain.jobs.naming import Naming
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import parse_usd
from runtime.domain.money.estimate import Acceptance as BudgetAcceptance
from runtime.domain.options import options_given
from runtime.export.row_request import RowRequest, split_text
from runtime.inputs.options import check_count
from runtime.inputs.seed_reading import ReadingOptions, read_as
from runtime.inputs.templates import read_for_api

Usd = str | int | float | Decimal
"""An amount in USD. A float means the number that it prints as."""

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


class Client:
    """One API and one user of it. Prints nothing, asks nothing, and may be used by any thread.

    >>> client = Client()  # the profile that was signed in to last
    >>> job = client.submit("template.yaml", "seeds.csv", n=1000, budget="2.00")
    >>> paths = client.download(client.watch(job))

    Every method raises errors of `SeedwrightError`, each with one line that says what to do:
    `UnauthenticatedError` when the token is not accepted, `StorageUnavailableError` when the API
    can't be reached or is busy, and what the method names.
    """

    def __init__(
        self,
        profile: str | None = None,
        *,
        url: str | None = None,
        token: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        """The API of a profile (of `seedwright login` or `seedwright serve`; None: the current
        one), or the API at `url` with `token`. `observer` hears of notices and transfers.

        Raises `UnauthenticatedError` where there is no token, `ConfigurationError` for an unknown
        profile or a bad URL.
        """
        self._connection = _connection(profile, url, token)
        self._api = self._connection.api
        self._observer: Observer = observer or SilentObserver()

    def submit(
        self,
        template: str | TemplateSource,
        seeds: Seeds | None = None,
        *,
        n: int,
        budget: Usd,
        model: str | None = None,
        call_timeout: int | None = None,
        formats: str | Sequence[str] = ("jsonl", "parquet"),
        name: str | None = None,
        seed_strategy: str | None = None,
        random_seed: int | None = None,
        partition: str = PartitionStrategy.NONE,
        allow_partial: bool = False,
        allow_on_demand: bool = False,
        attempts: int | None = None,
        max_candidates: int | None = None,
        on_exhausted: str | None = None,
        **reading: Unpack[ReadingOptions],
    ) -> Job:
        """Let the API generate `n` records within a budget in USD; the job, which is queued.

        `template` is a file, a document (a mapping), or the id of a template; a file or document
        becomes a template of its name, or a new version of yours. `seeds` are what
        `seedwright.generate` takes, read by the same options, or the key of an uploaded file
        (`seed-data/…`), and nothing for a template that reads none. `model` runs every step, a
        reply is waited for `call_timeout` seconds. `formats` are `jsonl`, `parquet`, `csv`;
        `seed_strategy` is `shuffle`, `ordered` or `random`, `partition` `none` or `timestamp`.
        Lists show `name`; jobs with one `random_seed`, and as many seeds, draw alike.
        `allow_partial` begins although the budget is below the likely cost;
        `allow_on_demand` takes machines at the full price. The last three are those of
        `seedwright.generate`, for a template with checks.

        When the answer is lost, the same call asks for the same job. Raises `InputError` for
        anything that can't be used, `LimitError` when too many jobs are active.
        """
        submission = Submission.of(
            template=template,
            seeds=seeds,
            num_records=n,
            budget=budget,
            options=(
                options_given(Naming(), name=name),
                options_given(Draws(), seed_strategy=seed_strategy, random_seed=random_seed),
                options_given(FOR_PEOPLE, output_formats=formats, partition_strategy=partition),
                options_given(ModelChoice(), model=model),
                options_given(CallOptions(), call_timeout=call_timeout),
                options_given(Machines(), allow_on_demand=allow_on_demand),
                options_given(
                    Acceptance(),
                    attempts=attempts,
                    max_candidates=max_candidates,
                    on_exhausted=on_exhausted,
                ),
                options_given(BudgetAcceptance(), allow_partial=allow_partial),
            ),
            strategy_chosen=seed_strategy is not None,
            reading=read_as(**reading),
        )
        return submit_job(self._connection, submission, self._observer, estimate=False)

    def seeds(self, *, limit: int | None = None) -> list[UploadedSeeds]:
        """Your uploaded seed files, with key, size in bytes and date."""
        return list(list_seeds(self._api, limit=_limit(limit)))

    def delete_seeds(self, seeds: UploadedSeeds | str) -> None:
        """Delete an uploaded seed file, by its key; its room is free at once. Jobs that have ended
        and used it keep their datasets and can't go on.

        Raises `NotFoundError`, `ConflictError` while a job that is queued or running draws from it.
        """
        delete_seeds(self._api, seeds.key if isinstance(seeds, UploadedSeeds) else seeds)

    def jobs(self, *, status: str | None = None, limit: int | None = None) -> list[Job]:
        """Your jobs, newest first: all of them, or at most `limit`, or those of one status."""
        _limit(limit)
        wanted = None if status is None else _choice(JobStatus, status.upper(), "status")
        return list(list_jobs(self._api, status=wanted, limit=limit))

    def month(self) -> Month | None:
        """What the present month has left for jobs and previews, all users together and yours;
        None from an older API.
        """
        return get_month(self._api)

    def job(self, job: Job | str) -> Job:
        """A job as it is now, by its id or the beginning of one, as in every method. Raises
        `NotFoundError`, `InputError` for a beginning of several.
        """
        return get_job(self._api, _id(job))

    def watch(self, job: Job | str, on_progress: Callable[[Job], object] | None = None) -> Job:
        """Wait until a job has ended; what it is then, also when it failed: look at `status`.

        `on_progress` is called by this thread with the job as it was last read: at the beginning,
        every few seconds, and at the end. What it raises ends the watching and not the job. An API
        that goes away is asked for ten minutes. Raises `NotFoundError`.
        """
        observer = _Watching(self._observer, on_progress)
        return watch_job(self._api, self.job(job), observer)

    def download(self, job: Job | str, out: str | Path | None = None) -> list[Path]:
        """Put a job's files into a folder, by default `datasets/<job id>`; their paths.

        Of a job without an exported dataset: one file of the records so far, and one of failures.
        Raises `InputError` when there are no records yet, `NotFoundError`, `StorageError`.
        """
        folder = None if out is None else Path(out)
        done = download_job(self._connection, _id(job), folder, self._observer)
        return [file.path for file in done.files]

    def cancel(self, job: Job | str) -> Job:
        """Stop a job. What it has generated stays, and `resume` goes on from there.

        Raises `NotFoundError`, `ConflictError` for a job that has ended.
        """
        return cancel_job(self._api, _id(job)).job

    def resume(
        self,
        job: Job | str,
        budget: Usd | None = None,
        *,
        n: int | None = None,
        call_timeout: int | None = None,
        max_candidates: int | None = None,
        retry_failed: bool = False,
    ) -> Job:
        """Queue a job again that was cancelled, has failed or has used up its budget, or a complete
        one that is to have more records or try failed ones again. `budget` is its new limit in
        USD, with what is spent already; `n` its new number of records, with those it has;
        `max_candidates` the most tries where the template has checks; a reply is waited for
        `call_timeout` seconds.

        Raises `NotFoundError`, `ConflictError` for a job that can't go on, `InputError`.
        """
        limit = None if budget is None else parse_usd(budget)
        count = None if n is None else check_count(n)
        return resume_job(
            self._api,
            _id(job),
            budget_nano=limit,
            num_records=count,
            calls=options_given(CallOptions(), call_timeout=call_timeout),
            max_candidates=max_candidates,
            retry_failed=retry_failed,
        )

    def export(
        self,
        job: Job | str,
        as_: str | None = None,
        *,
        template: str | Path | Mapping[str, Any] | None = None,
        split: str | Mapping[str, float] | None = None,
        split_by: str | None = None,
        formats: str | Sequence[str] | None = None,
        keep: str | Sequence[str] = (),
        licence: str | None = None,
        byte_order_mark: bool | None = None,
    ) -> Job:
        """Let rows of an ended job be made in another shape, beside those that there are, as
        `Dataset.export` makes them; no model is called and nothing is paid. `watch` waits for it,
        `job.export` says how it went, `download` gets the rows.

        Raises `InputError`, for a shape whose fields are not certain with the `block` of `output:`
        to fill in, `NotFoundError`, `ConflictError` for a job that has not ended, has no records or
        is being exported.
        """
        request = RowRequest(
            shape=as_,
            template=None if template is None else read_for_api(template),
            split=split_text(split),
            split_by=split_by,
            formats=formats,
            byte_order_mark=byte_order_mark,
            keep=keep,
            licence=licence,
        )
        return export_job(self._api, _id(job), request)

    def delete(self, job: Job | str) -> None:
        """Delete a job that has ended, with its dataset. This can't be undone. A large one is
        DELETING for some minutes before it is gone.

        Raises `ConflictError` for a job that has not ended. A job that is gone is fine.
        """
        delete_job(self._api, _id(job))


class _Watching:
    """An observer that also calls a function with every job that is read."""

    def __init__(self, observer: Observer, on_progress: Callable[[Job], object] | None) -> None:
        self._observer = observer
        self._on_progress = on_progress
        self.notice = observer.notice
        self.warning = observer.warning
        self.transfer = observer.transfer

    def progress(self, job: Job) -> None:
        self._observer.progress(job)
        if self._on_progress is not None:
            self._on_progress(job)


def _connection(profile: str | None, url: str | None, token: str | None) -> Connection:
    if url is None and token is None:
        return connect(profile)
    if url is None or token is None or profile is not None:
        raise ConfigurationError("a client takes a profile, or url and token together")
    return connect_to(url, token)


def _id(job: Job | str) -> str:
    if isinstance(job, Job):
        return job.job_id
    if not isinstance(job, str):
        raise InputError(f"a job is what `submit` gave, or its id, not {job!r}")
    return job


def _limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise InputError(f"limit is {limit}: use a number of at least 1")
    return limit


def _choice(kind: type[ChoiceT], value: str, name: str) -> ChoiceT:
    try:
        return kind(value)
    except ValueError as exc:
        known = ", ".join(kind)
        raise InputError(f"{name} is {value!r}: use {known}") from exc

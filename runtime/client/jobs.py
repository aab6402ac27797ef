"""Jobs of the API: what a client knows of one, and what can be asked of it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, Self

from runtime.client.http import ApiClient, segment, understood
from runtime.domain.checks.totals import check_totals_of
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.identifiers import is_uuid
from runtime.domain.jobs.job import ACTIVE, JobStatus, Progress
from runtime.domain.jobs.row_export import PENDING
from runtime.domain.jobs.step_totals import StepTotals, step_totals_of
from runtime.domain.models.call_options import CallOptions
from runtime.domain.money.amounts import from_usd, usd_decimal
from runtime.domain.options import asked_document

SHORTEST_BEGINNING: Final = 4
"""Characters of an id that may stand for it."""

_BEGINNING: Final = re.compile(r"[0-9a-f][0-9a-f-]{0,34}")
_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as the API showed it when it was read. Amounts are nano-USD."""

    job_id: str
    status: JobStatus
    template_id: str
    template_version: int
    seed_data_path: str | None
    """None: its template reads no seeds."""
    num_records: int
    """How many records were asked for."""
    budget_nano: int
    progress: Progress
    created_at: datetime
    completed_at: datetime | None
    error_message: str | None
    """Why it failed or was stopped."""
    error_code: str | None
    """The kind of that, for programs: the `code` of an error; None from an older API."""
    retry_after: datetime | None
    """When it makes sense to resume it, at the earliest."""
    launch_error: str | None
    """Why no worker could be started the last time; the API tries again by itself."""
    document: Mapping[str, Any] = field(repr=False)
    """The API's whole answer."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """A job from an answer. Raises `ConfigurationError` for one that is not understood."""
        with understood("a job"):
            config, ended = document["config"], document["completed_at"]
            later = document.get("retry_after")
            return cls(
                job_id=_id_of(document["job_id"]),
                status=JobStatus(document["status"]),
                template_id=str(config["template_id"]),
                template_version=config["template_version"],
                seed_data_path=_path_of(config["seed_data_path"]),
                num_records=config["num_records"],
                budget_nano=from_usd(document["budget_limit"]),
                progress=Progress(
                    records_generated=document["records_generated"],
                    checks=check_totals_of(document.get("checks")),
                    failed_records=document["failed_records"],
                    tokens_used=document["tokens_used"],
                    cost_nano=from_usd(document["cost_estimate"]),
                    failures_by_kind=document.get("failures_by_kind", {}),
                    service_failures=document.get("service_failures", 0),
                    steps=_steps(document.get("steps", {})),
                ),
                created_at=datetime.fromisoformat(document["created_at"]),
                completed_at=datetime.fromisoformat(ended) if ended else None,
                error_message=document["error_message"],
                error_code=document.get("error_code"),
                retry_after=datetime.fromisoformat(later) if later else None,
                launch_error=document["launch_error"],
                document=document,
            )

    @property
    def ended(self) -> bool:
        """Whether no worker will go on with it by itself."""
        return self.status not in ACTIVE

    @property
    def export(self) -> Mapping[str, Any] | None:
        """Rows that it was asked for last, as the API shows them: `status`, `folder`, `records`,
        `rows`, `message`; None: it was not.
        """
        return self.document.get("export")

    @property
    def exporting(self) -> bool:
        """Whether rows of it are being exported, or going to be."""
        return (self.export or {}).get("status") in PENDING

    @property
    def records_generated(self) -> int:
        """Records that are saved. Where the template has checks, some may not be accepted."""
        return self.progress.records_generated

    @property
    def accepted(self) -> int:
        """Records of the dataset."""
        return int(self.document.get("accepted", self.records_generated))

    @property
    def checks(self) -> Mapping[str, Any] | None:
        """What the template's checks did, as the API shows it: `accepted`, `surplus`, `left_out`,
        `rejected_by`, `tries`, `exact`; None: it has none.
        """
        return self.document.get("checks")

    @property
    def failed_records(self) -> int:
        """Records that have failed."""
        return self.progress.failed_records

    @property
    def steps(self) -> Mapping[str, StepTotals]:
        """What the calls of each step did, by step id."""
        return self.progress.steps

    @property
    def tokens_used(self) -> int:
        """Tokens of the calls so far, prompts and replies."""
        return self.progress.tokens_used

    @property
    def cost_nano(self) -> int:
        """What the calls so far have cost."""
        return self.progress.cost_nano


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancellation:
    """A job that was cancelled. `stopping`: its worker has not stopped yet."""

    job: Job
    stopping: bool


def _steps(document: Mapping[str, Any]) -> dict[str, StepTotals]:
    """Raises `KeyError`, `TypeError` or `ValueError` for what is not understood."""
    steps: dict[str, StepTotals] = {}
    for step, shown in document.items():
        amounts = {"cost_nano": shown["cost"], "presumed_nano": shown["presumed_cost"]}
        steps[step] = step_totals_of(
            {**shown, **{name: from_usd(amount) for name, amount in amounts.items()}}
        )
    return steps


def job_path(job_id: str) -> str:
    """The path of a job."""
    return f"/jobs/{segment(job_id)}"


def find_job_id(api: ApiClient, given: str) -> str:
    """The id of the caller's job that `given` is the beginning of; a whole id is asked about
    nowhere.

    Raises `InputError` for a beginning that is too short or of several jobs, `NotFoundError` for
    one of none. What is no such beginning is left to the API, which refuses it.
    """
    start = given.strip().lower()
    if is_uuid(start) or not _BEGINNING.fullmatch(start):
        return start if is_uuid(start) else given
    if len(start) < SHORTEST_BEGINNING:
        raise InputError(
            f"{start!r} is too short: use {SHORTEST_BEGINNING} or more characters of the job's id"
        )
    found = [job.job_id for job in list_jobs(api) if job.job_id.startswith(start)]
    if not found:
        raise NotFoundError(f"no job of yours begins with {start!r}: see `seedwright jobs`")
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise InputError(f"{len(found)} jobs begin with {start!r}: use more of the id ({shown})")
    return found[0]


def get_job(api: ApiClient, job_id: str) -> Job:
    """A job by its id, or by a beginning that no other has. Raises `NotFoundError`, and what
    `find_job_id` raises.
    """
    return Job.of(api.get(job_path(find_job_id(api, job_id))))


def list_jobs(
    api: ApiClient, *, status: JobStatus | None = None, limit: int | None = None
) -> Iterator[Job]:
    """The caller's jobs, newest first, at most `limit`."""
    return map(Job.of, api.items("/jobs", "jobs", limit=limit, status=status))


def cancel_job(api: ApiClient, job_id: str) -> Cancellation:
    """Cancel, and never delete: the API is asked for exactly that. Raises `NotFoundError`,
    `ConflictError` for a job that has ended.
    """
    reply = api.call("DELETE", f"{job_path(find_job_id(api, job_id))}?action=cancel")
    return Cancellation(job=Job.of(reply.body), stopping=reply.status == HTTPStatus.ACCEPTED)


def resume_job(
    api: ApiClient,
    job_id: str,
    *,
    budget_nano: int | None = None,
    num_records: int | None = None,
    calls: CallOptions | None = None,
    max_candidates: int | None = None,
    retry_failed: bool = False,
) -> Job:
    """Queue a job again, with another limit, more records, more tries or calls made otherwise if
    they are given; with `retry_failed` records that failed are tried again. Raises `NotFoundError`,
    `ConflictError` for a job that can't go on, `InputError`.
    """
    body: dict[str, object] = asked_document(calls or CallOptions())
    if budget_nano is not None:
        body["budget_limit"] = usd_decimal(budget_nano)
    if num_records is not None:
        body["num_records"] = num_records
    if max_candidates is not None:
        body["max_candidates"] = max_candidates
    if retry_failed:
        body["retry_failed"] = True
    # A repetition finds the job queued already, which is a 409: so it isn't repeated blindly.
    return Job.of(api.post(f"{job_path(find_job_id(api, job_id))}/resume", body))


def delete_job(api: ApiClient, job_id: str) -> bool:
    """Delete an ended job with its data. Whether it is gone: the API goes on with what takes long.
    One that is gone already is fine: the answer to an earlier request may have been lost. Raises
    `ConflictError` for a job that has not ended.
    """
    path = job_path(find_job_id(api, job_id))
    with suppress(NotFoundError):
        return api.call("DELETE", f"{path}?action=delete").status != HTTPStatus.ACCEPTED
    return True


def _id_of(text: str) -> str:
    if not is_uuid(text):
        raise ValueError(text)
    return text.lower()


def _path_of(value: object) -> str | None:
    return None if value is None else str(value)

"""Jobs of the API: what a client knows of one, and what can be asked of it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Self

from runtime.client.http import ApiClient, segment
from runtime.domain.errors import ConfigurationError, NotFoundError
from runtime.domain.jobs.job import ACTIVE, JobStatus, Progress
from runtime.domain.money.amounts import from_usd, usd_decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as the API showed it when it was read. Amounts are nano-USD."""

    job_id: str
    status: JobStatus
    template_id: str
    template_version: int
    seed_data_path: str
    num_records: int
    """How many records were asked for."""
    budget_nano: int
    progress: Progress
    created_at: datetime
    completed_at: datetime | None
    error_message: str | None
    """Why it failed or was stopped."""
    launch_error: str | None
    """Why no worker could be started the last time; the API tries again by itself."""
    document: Mapping[str, Any] = field(repr=False)
    """The API's whole answer."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """A job from an answer. Raises `ConfigurationError` for one that is not understood."""
        try:
            config, ended = document["config"], document["completed_at"]
            return cls(
                job_id=document["job_id"],
                status=JobStatus(document["status"]),
                template_id=config["template_id"],
                template_version=config["template_version"],
                seed_data_path=config["seed_data_path"],
                num_records=config["num_records"],
                budget_nano=from_usd(document["budget_limit"]),
                progress=Progress(
                    records_generated=document["records_generated"],
                    failed_records=document["failed_records"],
                    tokens_used=document["tokens_used"],
                    cost_nano=from_usd(document["cost_estimate"]),
                ),
                created_at=datetime.fromisoformat(document["created_at"]),
                completed_at=datetime.fromisoformat(ended) if ended else None,
                error_message=document["error_message"],
                launch_error=document["launch_error"],
                document=document,
            )
        except (ArithmeticError, KeyError, TypeError, ValueError) as exc:
            raise ConfigurationError(
                "the API's answer is not a job that this version understands: update seedwright"
            ) from exc

    @property
    def ended(self) -> bool:
        """Whether no worker will go on with it by itself."""
        return self.status not in ACTIVE

    @property
    def records_generated(self) -> int:
        """Records that are saved."""
        return self.progress.records_generated

    @property
    def failed_records(self) -> int:
        """Records that failed for good."""
        return self.progress.failed_records

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


def job_path(job_id: str) -> str:
    """The path of a job."""
    return f"/jobs/{segment(job_id)}"


def get_job(api: ApiClient, job_id: str) -> Job:
    """A job by its id. Raises `NotFoundError`."""
    return Job.of(api.get(job_path(job_id)))


def list_jobs(
    api: ApiClient, *, status: JobStatus | None = None, limit: int | None = None
) -> Iterator[Job]:
    """The caller's jobs, newest first, at most `limit`."""
    return map(Job.of, api.items("/jobs", "jobs", limit=limit, status=status))


def cancel_job(api: ApiClient, job_id: str) -> Cancellation:
    """Cancel, and never delete: the API is asked for exactly that. Raises `NotFoundError`,
    `ConflictError` for a job that has ended.
    """
    reply = api.call("DELETE", f"{job_path(job_id)}?action=cancel")
    return Cancellation(job=Job.of(reply.body), stopping=reply.status == HTTPStatus.ACCEPTED)


def resume_job(
    api: ApiClient,
    job_id: str,
    *,
    budget_nano: int | None = None,
    num_records: int | None = None,
    retry_failed: bool = False,
) -> Job:
    """Queue a job again, with another limit or more records if they are given; with `retry_failed`
    records that failed are tried again. Raises `NotFoundError`, `ConflictError` for a job that
    can't go on, `InputError`.
    """
    body: dict[str, object] = {}
    if budget_nano is not None:
        body["budget_limit"] = usd_decimal(budget_nano)
    if num_records is not None:
        body["num_records"] = num_records
    if retry_failed:
        body["retry_failed"] = True
    # A repetition finds the job queued already, which is a 409: so it isn't repeated blindly.
    return Job.of(api.post(f"{job_path(job_id)}/resume", body))


def delete_job(api: ApiClient, job_id: str) -> None:
    """Delete an ended job with its data. One that is gone already is fine: the answer to an
    earlier request may have been lost. Raises `ConflictError` for a job that has not ended.
    """
    with suppress(NotFoundError):
        api.call("DELETE", f"{job_path(job_id)}?action=delete")

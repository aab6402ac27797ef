"""Changes of a job's item, as parts of updates that are still to be joined."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from runtime.aws.table import Item, Refused, stamp
from runtime.domain.errors import LeaseLostError, NotFoundError
from runtime.domain.jobs.ended import is_end
from runtime.domain.jobs.job import ACTIVE, JobError, JobStatus
from runtime.domain.jobs.row_export import PENDING

UNANNOUNCED: Final = "job"
"""The one value of the attribute: the partition of an index."""

# Excludes a worker that lost its lease: its successor has stored a higher fence.
FENCE_HOLDS: Final = "(attribute_not_exists(#fence) OR #fence <= :fence)"

EXPORT_PENDS: Final = "#export.#status IN (:export_queued, :export_running)"
PENDING_EXPORT: Final = {f":export_{status.lower()}": status for status in PENDING}
"""The values of that condition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobChange:
    """An update of a job's item, in parts that are still to be joined."""

    set_: tuple[str, ...]
    remove: tuple[str, ...] = ()
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def also(
        self,
        *,
        set_: tuple[str, ...] = (),
        remove: tuple[str, ...] = (),
        values: Item,
        only: str | None = None,
    ) -> "JobChange":
        """The change and more, if `only` holds, too."""
        return replace(
            self,
            set_=(*self.set_, *set_),
            remove=(*self.remove, *remove),
            condition=f"{self.condition} AND {only}" if only else self.condition,
            values={**self.values, **values},
        )


def change_to(
    sources: frozenset[JobStatus], status: JobStatus, error: JobError | None, *, now: datetime
) -> JobChange:
    """The next status, where the present one is of `sources`. What an earlier end left goes: it
    would be wrong beside the new one.
    """
    set_ = ["#status = :status", "#updated_at = :now"]
    remove = []
    allowed = {f":from{number}": source for number, source in enumerate(sorted(sources))}
    values: dict[str, Any] = {":status": status, ":now": stamp(now), **allowed}
    if status is JobStatus.RUNNING:
        set_.append("#started_at = if_not_exists(#started_at, :now)")
    if status in ACTIVE:
        set_.append("#active_user_id = #user_id")
        remove.append("#completed_at")
    else:
        set_.append("#completed_at = :now")
        remove.append("#active_user_id")
    if is_end(status):  # the same write: no crash loses an end that is to be announced
        set_.append("#unannounced = :unannounced")
        values[":unannounced"] = UNANNOUNCED
    else:
        remove.append("#unannounced")
    told: dict[str, str | None] = dict.fromkeys(("error_message", "error_code", "retry_after"))
    if error is not None:
        told |= {"error_message": error.message, "error_code": error.code}
        told["retry_after"] = stamp(error.retry_after) if error.retry_after else None
    for name, text in told.items():
        if text is None:
            remove.append(f"#{name}")
        else:
            set_.append(f"#{name} = :{name}")
            values[f":{name}"] = text
    return JobChange(
        set_=tuple(set_),
        remove=tuple(remove),
        # Excludes a transition decided on a status that has changed since: a user's
        # cancellation and a worker's end can't overwrite each other.
        condition=f"#status IN ({', '.join(allowed)})",
        values=values,
    )


def queued_again(change: JobChange) -> JobChange:
    """With one more run, unless its rows are exported: a worker has its work for that."""
    return change.also(
        set_=("#run = if_not_exists(#run, :one) + :one",),
        values={":one": 1, **PENDING_EXPORT},
        only=f"NOT {EXPORT_PENDS}",
    )


def existing(refused: Refused, job_id: str, fence: int | None) -> Item:
    """The item behind a refusal, unless it is missing or a successor's."""
    if refused.item is None:
        raise no_job(job_id)
    if fence is not None and refused.item.get("fence", 0) > fence:
        raise LeaseLostError(f"job {job_id} has another owner: fence {fence} is out of date")
    return refused.item


def no_job(job_id: str) -> NotFoundError:
    """The error for an id without a job."""
    return NotFoundError(f"no job {job_id}: check the id")

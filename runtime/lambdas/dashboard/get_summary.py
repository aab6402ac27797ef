"""GET /dashboard/summary: a user's newest jobs, added up, and what the month has left."""

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from runtime.domain.jobs.job import Job
from runtime.domain.money.amounts import to_usd
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.fields import Timestamp
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.service.month import limits_of

MAX_JOBS: Final = 500
"""Jobs that are added up. Each is an item of some kilobytes, and a request may take seconds."""

_PAGE: Final = 100


class MonthBudget(ApiModel):
    """What jobs and previews of a month may cost together. Amounts are USD."""

    limit_usd: float | None
    """null: there is no limit."""
    reserved_or_spent_usd: float
    """A job that has not ended has its whole budget reserved; one that has, what it spent."""
    left_usd: float | None


class Month(MonthBudget):
    """The present month, all users together."""

    month: str
    """In UTC, such as 2026-11."""
    yours: MonthBudget
    """Your own jobs and previews."""
    previews: int
    """Previews of yours that called models."""


class Summary(ApiModel):
    """The newest jobs, added up. Amounts are USD."""

    jobs: int
    """How many jobs this covers, newest first."""
    complete: bool
    """Whether these are all of them: at most 500 are added up."""
    since: Timestamp | None
    """When the oldest of them was created."""
    jobs_by_status: Mapping[str, int]
    records_generated: int
    failed_records: int
    tokens_used: int
    cost: float
    month: Month


@endpoint(body=NoBody, query=NoBody, answers={HTTPStatus.OK: Summary})
def lambda_handler(call: Call[NoBody, NoBody]) -> Summary:
    """Add up your jobs."""
    jobs: list[Job] = []
    after: str | None = None
    for _ in range(MAX_JOBS // _PAGE):
        page = call.ports.job_catalog.list_jobs(call.caller, limit=_PAGE, after=after)
        jobs += page.items
        after = page.next
        if after is None:
            break
    progress = [job.progress for job in jobs]
    return Summary(
        jobs=len(jobs),
        complete=after is None,
        since=jobs[-1].created_at if jobs else None,
        jobs_by_status=dict(Counter(str(job.status) for job in jobs)),
        records_generated=sum(each.records_generated for each in progress),
        failed_records=sum(each.failed_records for each in progress),
        tokens_used=sum(each.tokens_used for each in progress),
        cost=to_usd(sum(each.cost_nano for each in progress)),
        month=_month(call.ports, call.caller),
    )


def _month(ports: ApiPorts, caller: str) -> Month:
    limits = limits_of(ports)
    use = ports.monthly_budgets.get_use(caller, limits.month)
    return Month(
        month=limits.month,
        yours=MonthBudget(**_amounts(limits.user_nano, use.user_nano)),
        previews=use.previews,
        **_amounts(limits.stage_nano, use.stage_nano),
    )


def _amounts(limit: int | None, nano: int) -> dict[str, Any]:
    return {
        "limit_usd": None if limit is None else to_usd(limit),
        "reserved_or_spent_usd": to_usd(nano),
        "left_usd": None if limit is None else to_usd(max(limit - nano, 0)),
    }

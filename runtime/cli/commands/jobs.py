"""`seedwright jobs`: many jobs in a table."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from runtime.cli.job_text import local_time
from runtime.cli.options import JsonOption, LimitOption, ProfileOption
from runtime.cli.output import print_json, print_line, print_table
from runtime.cli.terminal import connect
from runtime.client.http import ApiClient
from runtime.client.jobs import Job, list_jobs
from runtime.client.month import Month, MonthBudget, get_month
from runtime.client.templates import template_names
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import usd

_ID_CHARACTERS: Final = 8

EXAMPLE: Final = "Example: seedwright jobs --status running"


def jobs(
    *,
    status: Annotated[
        JobStatus | None, typer.Option(case_sensitive=False, help="Only jobs of this status.")
    ] = None,
    limit: LimitOption = 20,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your jobs, newest first."""
    api = connect(profile).api
    found = list(list_jobs(api, status=status, limit=limit))
    month = get_month(api)
    if json:
        document = {} if month is None else {"month": month.document}
        print_json({"jobs": [job.document for job in found], **document})
        return
    if not found:
        print_line("no jobs" if status is None else f"no jobs that are {status}")
    else:
        _print_table(api, found)
    if month is not None:
        print_line(_month_line(month))


def _print_table(api: ApiClient, found: Sequence[Job]) -> None:
    named = ("name",) if any(map(_name, found)) else ()
    columns = ("job", *named, "status", "records", "of", "failed", "cost", "budget", "created")
    templates = template_names(api)
    rows = [{**_row(job), "template": _template(job, templates)} for job in found]
    print_table(rows, (*columns, "template"))


def _month_line(month: Month) -> str:
    """What the month has left; of the user's own as far as that has a limit."""
    all_users = _left(month.all_users)
    yours = f"; yours: {_left(month.yours)}" if month.yours.limit_nano is not None else ""
    return f"{month.month}: {all_users}{yours}"


def _left(budget: MonthBudget) -> str:
    used = f"{usd(budget.nano)} spent or reserved"
    if budget.limit_nano is None:
        return f"{used}, no limit"
    return f"{used} of {usd(budget.limit_nano)}, {usd(budget.left_nano)} left"


def _name(job: Job) -> str | None:
    name: str | None = job.document["config"].get("name")
    return name


def _template(job: Job, names: Mapping[str, str]) -> str:
    """Its name, or of one that is not the user's, or gone, the beginning of its id."""
    return names.get(job.template_id, job.template_id[:_ID_CHARACTERS])


def _row(job: Job) -> dict[str, object]:
    return {
        "job": job.job_id,
        "name": _name(job),
        "status": job.status,
        "records": job.accepted,
        "of": job.num_records,
        "failed": job.failed_records,
        "cost": usd(job.cost_nano),
        "budget": usd(job.budget_nano),
        "created": local_time(job.created_at),
    }

"""`seedwright jobs`: many jobs in a table."""

from typing import Annotated, Final

import typer

from runtime.cli.job_text import local_time
from runtime.cli.options import JsonOption, LimitOption, ProfileOption
from runtime.cli.output import print_json, print_line, print_table
from runtime.cli.terminal import connect
from runtime.client.jobs import Job, list_jobs
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import usd

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
    found = list(list_jobs(connect(profile).api, status=status, limit=limit))
    if json:
        print_json({"jobs": [job.document for job in found]})
        return
    if not found:
        print_line("no jobs" if status is None else f"no jobs that are {status}")
        return
    named = ("name",) if any(map(_name, found)) else ()
    columns = ("job", *named, "status", "records", "of", "failed", "cost", "budget", "created")
    print_table([_row(job) for job in found], columns)


def _name(job: Job) -> str | None:
    name: str | None = job.document["config"].get("name")
    return name


def _row(job: Job) -> dict[str, object]:
    return {
        "job": job.job_id,
        "name": _name(job),
        "status": job.status,
        "records": job.records_generated,
        "of": job.num_records,
        "failed": job.failed_records,
        "cost": usd(job.cost_nano),
        "budget": usd(job.budget_nano),
        "created": local_time(job.created_at),
    }

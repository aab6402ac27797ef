"""Jobs as people read them: one in some lines, many in a table."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from runtime.cli.remote.output import plain, print_json, print_table
from runtime.client.connection import connect
from runtime.client.http import ApiClient
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import from_usd, usd
from runtime.progress.meter import duration

MAX_PAGE: Final = 100
Document = Mapping[str, Any]
"""A job as the API shows it."""


def show_status(job_id: str, profile: str | None, *, json: bool) -> None:
    """`status`."""
    api = connect(profile).api
    job = api.get(job_path(job_id))
    if json:
        print_json(job)
        return
    figures = api.get(f"/dashboard{job_path(job_id)}")
    for line in [*describe(job), *_figures(figures)]:
        print(line)
    print_next(job)


def _figures(dashboard: Document) -> list[str]:
    """What only the dashboard knows: pace, costs by model, failures by kind."""
    lines: list[str] = []
    if dashboard["seconds_left"] is not None:
        left = duration(dashboard["seconds_left"])
        lines.append(f"pace: {dashboard['records_per_second']:.1f} records/s, {left} left")
    costs = dashboard["cost_by_model"].items()
    if costs:
        shown = ", ".join(f"{plain(model)} {usd(from_usd(cost))}" for model, cost in costs)
        lines.append(f"cost by model: {shown}")
    failures = dashboard["failures_by_kind"].items()
    if failures:
        lines.append(f"failures: {', '.join(f'{plain(kind)} {count}' for kind, count in failures)}")
    return lines


def show_jobs(profile: str | None, *, status: JobStatus | None, limit: int, json: bool) -> None:
    """`jobs`."""
    jobs = list_all(connect(profile).api, "/jobs", "jobs", limit=limit, status=status)
    found = list(jobs)
    if json:
        print_json({"jobs": found})
        return
    if not found:
        print("no jobs" if status is None else f"no jobs that are {status}")
        return
    columns = ("job", "status", "records", "of", "failed", "cost", "budget", "created")
    print_table([_row(job) for job in found], columns)


def list_all(
    api: ApiClient, path: str, name: str, *, limit: int | None = None, **query: object
) -> Iterator[Any]:
    """The items of a list of the API, at most `limit`, page by page as they are needed."""
    return islice(_pages(api, path, name, min(limit or MAX_PAGE, MAX_PAGE), query), limit)


def _pages(
    api: ApiClient, path: str, name: str, size: int, query: Mapping[str, object]
) -> Iterator[Any]:
    cursor: str | None = None
    while True:
        page = api.get(path, limit=size, cursor=cursor, **query)
        yield from page[name]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def job_path(job_id: str) -> str:
    """The path of a job. An id that is none is refused by the API; here it only has to stay one
    segment of the path.
    """
    return f"/jobs/{segment(job_id)}"


def segment(text: str) -> str:
    """Text that a user gave as one segment of a path."""
    return quote(text.strip() or "-", safe="")


def describe(job: Document) -> list[str]:
    """A job in some lines."""
    config = job["config"]
    ended = f" · ended {when(job['completed_at'])}" if job.get("completed_at") else ""
    lines = [
        f"{job['job_id']}  {job['status']}",
        " · ".join((counted(job), spent(job), f"{job['tokens_used']} tokens")),
        f"template {config['template_id']} version {config['template_version']}",
        f"seeds {plain(config['seed_data_path'])}",
        f"created {when(job['created_at'])}{ended}",
    ]
    lines += [
        f"{label}: {plain(job[name])}"
        for name, label in (("error_message", "error"), ("launch_error", "not started yet"))
        if job.get(name)
    ]
    return lines


def counted(job: Document) -> str:
    """How far a job is."""
    wanted = job["config"]["num_records"]
    return f"{job['records_generated']} of {wanted} records, {job['failed_records']} failed"


def spent(job: Document) -> str:
    """What a job has cost, of what."""
    return f"{usd(from_usd(job['cost_estimate']))} of {usd(from_usd(job['budget_limit']))}"


def print_next(job: Document) -> None:
    """The command that a user is likely to want now, on the last line."""
    print(f"next: {next_command(job)}")


def next_command(job: Document) -> str:
    """What goes on from a job's status."""
    job_id = job["job_id"]
    match job["status"]:
        case JobStatus.QUEUED | JobStatus.RUNNING:
            return f"seedwright watch {job_id}"
        case JobStatus.COMPLETED:
            return f"seedwright download {job_id}"
        case JobStatus.BUDGET_EXCEEDED:
            return f"seedwright resume {job_id} --budget USD"
        case JobStatus.DELETING:
            return f"seedwright delete {job_id}"
        case _:
            return f"seedwright resume {job_id}"


def _row(job: Document) -> dict[str, object]:
    return {
        "job": job["job_id"],
        "status": job["status"],
        "records": job["records_generated"],
        "of": job["config"]["num_records"],
        "failed": job["failed_records"],
        "cost": usd(from_usd(job["cost_estimate"])),
        "budget": usd(from_usd(job["budget_limit"])),
        "created": when(job["created_at"]),
    }


def when(timestamp: str) -> str:
    """A time of the API in the user's own zone."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")

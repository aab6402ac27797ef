"""Jobs as people read them: one in some lines, many in a table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runtime.cli.figures import print_checks, print_figures
from runtime.cli.output import print_json, print_line
from runtime.client.jobs import Job
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import usd
from runtime.domain.wording import counted


def print_job(job: Job, *, json: bool) -> None:
    """A job as a command ends with it: the API's document, or some lines and what comes next."""
    if json:
        print_json(job.document)
        return
    for line in describe(job):
        print_line(line)
    print_figures(job.progress)
    print_checks(job.checks)
    print_next(job)


def describe(job: Job) -> list[str]:
    """A job in some lines."""
    requested = counted(job.num_records, "record")
    figures = (
        f"{job.accepted} of {requested}, {job.failed_records} failed",
        f"{usd(job.cost_nano)} of {usd(job.budget_nano)}",
        counted(job.tokens_used, "token"),
    )
    ended = f" · ended {local_time(job.completed_at)}" if job.completed_at else ""
    lines = [
        f"{job.job_id}  {job.status}",
        " · ".join(figures),
        f"template {job.template_id} version {job.template_version}",
        f"seeds {job.seed_data_path or 'none'}",
        f"created {local_time(job.created_at)}{ended}",
    ]
    if job.error_message:
        lines.append(f"error: {job.error_message}")
    if job.retry_after:
        lines.append(f"try again from {local_time(job.retry_after)} on")
    if job.export is not None:
        lines.append(_export_line(job.export))
    if job.launch_error:
        lines.append(f"not started yet: {job.launch_error}")
    return lines


def _export_line(export: Mapping[str, Any]) -> str:
    done = f"{export['rows']} rows" if export["rows"] else counted(export["records"], "record")
    why = f": {export['message']}" if export["message"] else ""
    return f"export to {export['folder']}/ {export['status']}, {done}{why}"


def print_next(job: Job) -> None:
    """The command that a user is likely to want now, on the last line."""
    print_line(f"next: {next_command(job)}")


def next_command(job: Job) -> str:
    """What goes on from a job's status."""
    if job.exporting:
        return f"seedwright watch {job.job_id}"
    match job.status:
        case JobStatus.QUEUED | JobStatus.RUNNING:
            return f"seedwright watch {job.job_id}"
        case JobStatus.COMPLETED:
            return f"seedwright download {job.job_id}"
        case JobStatus.BUDGET_EXCEEDED:
            return f"seedwright resume {job.job_id} --budget USD"
        case JobStatus.DELETING:
            return f"seedwright status {job.job_id}"
        case _:
            return f"seedwright resume {job.job_id}"


def local_time(moment: datetime | str) -> str:
    """A time of the API in the user's own zone."""
    time = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")

"""`seedwright status`: one job and its figures."""

from collections.abc import Mapping
from typing import Any, Final

from runtime.cli.figures import print_checks, print_figures
from runtime.cli.job_text import describe, print_next
from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption
from runtime.cli.output import print_json, print_line
from runtime.cli.terminal import connect
from runtime.client.jobs import get_job, job_path
from runtime.domain.jobs.job import ENDED
from runtime.domain.money.amounts import from_usd, usd
from runtime.progress.meter import budget_text, duration

EXAMPLE: Final = f"Example: seedwright status {EXAMPLE_JOB}"


def status(job: JobArgument, *, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show how far a job is, and what it has cost."""
    api = connect(profile).api
    found = get_job(api, job)
    if json:
        print_json(found.document)
        return
    dashboard = api.get(f"/dashboard{job_path(found.job_id)}")
    for line in [*describe(found), *_figures(dashboard)]:
        print_line(line)
    print_figures(found.progress)
    print_checks(found.checks)
    print_next(found)


def _figures(dashboard: Mapping[str, Any]) -> list[str]:
    """What only the dashboard knows: shards, pace, and costs by model."""
    lines: list[str] = []
    shards = dashboard.get("shards")  # an API of before has none
    if shards:
        ended = sum(each["status"] in ENDED for each in shards)
        lines.append(f"{ended} of {len(shards)} shards done")
    if dashboard["seconds_left"] is not None:
        left = duration(dashboard["seconds_left"])
        lines.append(f"pace: {dashboard['records_per_second']:.1f} records/s, {left} left")
    enough = dashboard.get("records_in_budget")
    if enough is not None:
        lines.append(budget_text(enough, dashboard["num_records"]))
    costs = dashboard["cost_by_model"].items()
    if costs:
        shown = ", ".join(f"{model} {usd(from_usd(cost))}" for model, cost in costs)
        lines.append(f"cost by model: {shown}")
    return lines

"""`seedwright resume`: goes on with a job."""

from typing import Annotated, Final

import typer

from runtime.cli.commands.watch import follow
from runtime.cli.job_text import print_job
from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption
from runtime.cli.terminal import connect
from runtime.client.jobs import resume_job
from runtime.domain.money.amounts import parse_usd

EXAMPLE: Final = f"Example: seedwright resume {EXAMPLE_JOB} --budget 5"


def resume(
    job: JobArgument,
    *,
    budget: Annotated[
        str | None, typer.Option(help="New limit in USD, with what is spent already.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the job has ended.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Go on with a job that was cancelled, has failed or has used up its budget."""
    limit = None if budget is None else parse_usd(budget)
    api = connect(profile).api
    resumed = resume_job(api, job, budget_nano=limit)
    if watch:
        return follow(api, resumed, json=json)
    print_job(resumed, json=json)
    return 0

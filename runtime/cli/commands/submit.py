"""`seedwright submit`: a job at an API."""

from typing import Annotated, Final

import typer

from runtime.cli.commands.watch import follow
from runtime.cli.job_options import is_given, takes
from runtime.cli.job_text import print_job
from runtime.cli.options import (
    BudgetOption,
    CountOption,
    JsonOption,
    ProfileOption,
)
from runtime.cli.seed_sources import seed_sources
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.submission import SUBMITTED, Submission, submit_job
from runtime.domain.jobs.delivery import FOR_PEOPLE
from runtime.inputs.seed_reading import SeedReading

EXAMPLE: Final = "Example: seedwright submit template.yaml --seeds seeds.csv -n 1000 --budget 2 -w"


@takes(
    SeedReading,
    *SUBMITTED,
    together="options",
    defaults={"output_formats": FOR_PEOPLE.output_formats},
)
def submit(
    template: Annotated[str, typer.Argument(help="Template file, or the id of a template.")],
    *,
    num_records: CountOption,
    reading: SeedReading,
    options: tuple[object, ...],
    context: typer.Context,
    seeds: Annotated[
        list[str] | None,
        typer.Option(
            "--seeds",
            help="What `generate --seeds` takes, or the key of an uploaded file (seed-data/…). Not"
            " for a template that reads none.",
        ),
    ] = None,
    budget: BudgetOption = "1.00",
    watch: Annotated[
        bool, typer.Option("-w", "--watch", "--wait", help="Stay until the job has ended.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Let the API generate a dataset. Repeating the command after a lost answer is safe.

    A template file becomes a template of its name, or a new version of yours with that name.
    """
    submission = Submission.of(
        template=template,
        seeds=seed_sources(seeds),
        reading=reading,
        num_records=num_records,
        budget=budget,
        options=options,
        strategy_chosen=is_given(context, "seed_strategy"),
    )
    connection, observer = connect(profile), TerminalObserver(json=json)
    job = submit_job(connection, submission, observer, estimate=not json)
    if watch:
        observer.notice(f"job {job.job_id}")
        return follow(connection.api, job, json=json)
    print_job(job, json=json)
    return 0

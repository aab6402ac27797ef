"""`seedwright submit`: a job at an API."""

from typing import Annotated, Final

import typer

from runtime.cli.commands.watch import follow
from runtime.cli.job_text import print_job
from runtime.cli.options import (
    BudgetOption,
    CountOption,
    FormatOption,
    JsonOption,
    ModelOption,
    ProfileOption,
    StrategyOption,
)
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.submission import Submission, submit_job
from runtime.domain.jobs.job import PartitionStrategy, SeedStrategy

EXAMPLE: Final = "Example: seedwright submit template.yaml --seeds seeds.csv -n 1000 --budget 2 -w"


def submit(
    template: Annotated[str, typer.Argument(help="Template file, or the id of a template.")],
    *,
    seeds: Annotated[
        str, typer.Option(help="Seed file, or the key of an uploaded one (seed-data/…).")
    ],
    num_records: CountOption,
    budget: BudgetOption = "1.00",
    model: ModelOption = None,
    formats: FormatOption = None,
    seed_strategy: StrategyOption = SeedStrategy.RANDOM,
    partition: Annotated[
        PartitionStrategy, typer.Option(help="timestamp: JSONL in one file a day.")
    ] = PartitionStrategy.NONE,
    allow_partial: Annotated[
        bool,
        typer.Option("--allow-partial", help="Begin although the budget is below the likely cost."),
    ] = False,
    allow_on_demand: Annotated[
        bool,
        typer.Option(
            "--allow-on-demand", help="On AWS: machines at the full price where Spot has none."
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("-w", "--watch", "--wait", help="Stay until the job has ended.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Let the API generate a dataset. Repeating the command after a lost answer is safe.

    A template file becomes a template of its name, or a new version of yours with that name.
    """
    submission = Submission.from_options(
        template=template,
        seeds=seeds,
        num_records=num_records,
        budget=budget,
        formats=formats or ["jsonl,parquet"],
        model=model,
        seed_strategy=seed_strategy,
        partition=partition,
        allow_partial=allow_partial,
        allow_on_demand=allow_on_demand,
    )
    connection, observer = connect(profile), TerminalObserver(json=json)
    job = submit_job(connection, submission, observer, estimate=not json)
    if watch:
        observer.notice(f"job {job.job_id}")
        return follow(connection.api, job, json=json)
    print_job(job, json=json)
    return 0

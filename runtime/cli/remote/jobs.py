"""Commands about jobs: submit, status, watch, jobs, cancel, resume, delete, download."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import (
    BudgetOption,
    CountOption,
    FormatOption,
    JobArgument,
    JsonOption,
    ModelOption,
    ProfileOption,
    StrategyOption,
    YesOption,
)
from runtime.domain.jobs.delivery import PartitionStrategy
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sampling import SeedStrategy

_JOB = "7b0c0f6e-3c1f-4f0e-9d53-0a4f6c1f2b11"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "submit",
        epilog="Example: seedwright submit template.yaml --seeds seeds.csv -n 1000 --budget 2 -w",
    )(submit_command)
    app.command("status", epilog=f"Example: seedwright status {_JOB}")(status_command)
    app.command("watch", epilog=f"Example: seedwright watch {_JOB}")(watch_command)
    app.command("jobs", epilog="Example: seedwright jobs --status running")(jobs_command)
    app.command("cancel", epilog=f"Example: seedwright cancel {_JOB}")(cancel_command)
    app.command("resume", epilog=f"Example: seedwright resume {_JOB} --budget 5")(resume_command)
    app.command("delete", epilog=f"Example: seedwright delete {_JOB} --yes")(delete_command)
    app.command("download", epilog=f"Example: seedwright download {_JOB} --out reviews")(
        download_command
    )


def submit_command(
    template: Annotated[str, typer.Argument(help="Template file, or the id of a template.")],
    seeds: Annotated[
        str, typer.Option(help="Seed file, or the key of an uploaded one (seed-data/…).")
    ],
    num_records: CountOption,
    budget: BudgetOption = "1.00",
    model: ModelOption = None,
    formats: FormatOption = None,
    seed_strategy: StrategyOption = SeedStrategy.SHUFFLE,
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
    from runtime.cli.remote.submission import Submission, submit  # noqa: PLC0415

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
    return submit(submission, profile, watch=watch, json=json)


def status_command(
    job: JobArgument,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show how far a job is, and what it has cost."""
    from runtime.cli.remote.job_views import show_status  # noqa: PLC0415

    show_status(job, profile, json=json)


def watch_command(
    job: JobArgument,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Follow a job to its end. Ctrl-C ends the watching, not the job."""
    from runtime.cli.remote.watching import watch  # noqa: PLC0415

    return watch(job, profile, json=json)


def jobs_command(
    status: Annotated[
        JobStatus | None, typer.Option(case_sensitive=False, help="Only jobs of this status.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most that many.")] = 20,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List your jobs, newest first."""
    from runtime.cli.remote.job_views import show_jobs  # noqa: PLC0415

    show_jobs(profile, status=status, limit=limit, json=json)


def cancel_command(
    job: JobArgument,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Stop a job. What it has generated stays, and `resume` goes on from there."""
    from runtime.cli.remote.job_changes import cancel  # noqa: PLC0415

    cancel(job, profile, json=json)


def resume_command(
    job: JobArgument,
    budget: Annotated[
        str | None, typer.Option(help="New limit in USD, with what is spent already.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the job has ended.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Go on with a job that was cancelled, has failed or has used up its budget."""
    from runtime.cli.remote.job_changes import resume  # noqa: PLC0415

    return resume(job, profile, budget=budget, follow=watch, json=json)


def delete_command(
    job: JobArgument,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Delete a job that has ended, with its dataset. This can't be undone."""
    from runtime.cli.remote.job_changes import delete  # noqa: PLC0415

    return delete(job, profile, yes=yes, json=json)


def download_command(
    job: JobArgument,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in. [datasets/JOB]")] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Download a dataset. Of a job that has none yet: the records that are saved so far."""
    from runtime.cli.remote.downloads import download  # noqa: PLC0415

    download(job, profile, out=out, json=json)

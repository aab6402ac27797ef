"""`seedwright resume`: goes on with a dataset of this machine, or with a job of an API."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.commands.generate import SHOWN_RECORDS
from runtime.cli.commands.watch import follow
from runtime.cli.generating import RunOptions, generate_and_report
from runtime.cli.job_options import takes
from runtime.cli.job_text import print_job
from runtime.cli.options import (
    EXAMPLE_JOB,
    BaseUrlOption,
    ConcurrencyOption,
    JsonOption,
    MaxFailuresOption,
    ProfileOption,
    RetryFailedOption,
    WorkersOption,
)
from runtime.cli.targets import TargetArgument, is_folder
from runtime.cli.terminal import connect
from runtime.client.jobs import resume_job
from runtime.datasets.resuming import read_resumption
from runtime.domain.checks.acceptance import MAX_CANDIDATES
from runtime.domain.errors import InputError
from runtime.domain.models.call_options import CallOptions
from runtime.domain.money.amounts import parse_usd
from runtime.inputs.options import DEFAULT_MAX_FAILURES, check_count, read_share

EXAMPLE: Final = f"Example: seedwright resume {EXAMPLE_JOB} --budget 5"


@takes(CallOptions)
def resume(
    target: TargetArgument,
    calls: CallOptions,
    *,
    budget: Annotated[
        str | None, typer.Option(help="New limit in USD, with what is spent already.")
    ] = None,
    num_records: Annotated[
        int | None, typer.Option("-n", "--num-records", help="More records than so far, in all.")
    ] = None,
    max_candidates: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_CANDIDATES, help="More tries than so far, in all, with checks."
        ),
    ] = None,
    retry_failed: RetryFailedOption = False,
    concurrency: ConcurrencyOption = None,
    workers: WorkersOption = 1,
    base_url: BaseUrlOption = None,
    max_failures: MaxFailuresOption = DEFAULT_MAX_FAILURES,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay until the job has ended (a job at an API).")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Go on with a dataset or a job: after a stop, with a larger budget, with more records."""
    if is_folder(target):
        if watch:
            raise InputError(f"--watch is for a job at an API, and {target} is a folder")
        request, prices = read_resumption(
            Path(target),
            budget=budget,
            num_records=num_records,
            retry_failed=retry_failed,
            calls=calls,
            max_candidates=max_candidates,
            base_url=base_url,
        )
        options = RunOptions(
            out=Path(target),
            concurrency=concurrency,
            workers=workers,
            max_failures=max_failures,
            json=json,
            show=SHOWN_RECORDS,
        )
        return generate_and_report(request, prices, options)
    given = {
        "--concurrency": concurrency is not None,
        "--workers": workers > 1,
        "--base-url": base_url is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise InputError(f"{option} is for a folder, and {target} is a job at an API")
    allowed = read_share(max_failures)
    limit = None if budget is None else parse_usd(budget)
    count = None if num_records is None else check_count(num_records)
    api = connect(profile).api
    resumed = resume_job(
        api,
        target,
        budget_nano=limit,
        num_records=count,
        calls=calls,
        max_candidates=max_candidates,
        retry_failed=retry_failed,
    )
    if watch:
        return follow(api, resumed, json=json, max_failures=allowed)
    print_job(resumed, json=json)
    return 0

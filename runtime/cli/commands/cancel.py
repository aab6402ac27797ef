"""`seedwright cancel`: stops a job and keeps what it has."""

from typing import Final

from runtime.cli.job_text import print_next
from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption
from runtime.cli.output import print_json, print_line
from runtime.cli.terminal import connect
from runtime.client.jobs import cancel_job

EXAMPLE: Final = f"Example: seedwright cancel {EXAMPLE_JOB}"


def cancel(job: JobArgument, *, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Stop a job. What it has generated stays, and `resume` goes on from there."""
    done = cancel_job(connect(profile).api, job)
    if json:
        print_json(done.job.document)
        return
    print_line(
        f"{done.job.job_id} is cancelled{'; its worker is stopping' if done.stopping else ''}."
    )
    print_next(done.job)

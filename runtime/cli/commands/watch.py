"""`seedwright watch`: a job to its end."""

from typing import Final

from runtime.cli.job_text import print_job
from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption
from runtime.cli.output import say
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.http import ApiClient
from runtime.client.jobs import Job, get_job
from runtime.client.watching import watch_job
from runtime.contract.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OF_STATUS

EXAMPLE: Final = f"Example: seedwright watch {EXAMPLE_JOB}"


def watch(job: JobArgument, *, profile: ProfileOption = None, json: JsonOption = False) -> int:
    """Follow a job to its end. Ctrl-C ends the watching, not the job."""
    api = connect(profile).api
    return follow(api, get_job(api, job), json=json)


def follow(api: ApiClient, job: Job, *, json: bool) -> int:
    """Follow a job that was just read; the exit code says how it ended."""
    observer = TerminalObserver(json=json)
    if not job.ended:
        try:
            with observer.watching(job):
                job = watch_job(api, job, observer)
        except KeyboardInterrupt:
            say("")
            say(f"The job goes on. next: seedwright watch {job.job_id}")
            return EXIT_INTERRUPTED
    print_job(job, json=json)
    return EXIT_OF_STATUS.get(job.status, EXIT_FAILED)

"""`seedwright watch`: a job to its end."""

from decimal import Decimal
from typing import Final

from runtime.cli.failures import exit_code, too_many
from runtime.cli.job_text import print_job
from runtime.cli.options import (
    EXAMPLE_JOB,
    JobArgument,
    JsonOption,
    MaxFailuresOption,
    ProfileOption,
)
from runtime.cli.output import say
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.http import ApiClient
from runtime.client.jobs import Job, get_job
from runtime.client.watching import watch_job
from runtime.contract.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TOO_MANY_FAILURES
from runtime.domain.jobs.row_export import ExportStatus
from runtime.inputs.options import DEFAULT_MAX_FAILURES, read_share

EXAMPLE: Final = f"Example: seedwright watch {EXAMPLE_JOB}"


def watch(
    job: JobArgument,
    *,
    max_failures: MaxFailuresOption = DEFAULT_MAX_FAILURES,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Follow a job to its end. Ctrl-C ends the watching, not the job."""
    allowed = read_share(max_failures)
    api = connect(profile).api
    return follow(api, get_job(api, job), json=json, max_failures=allowed)


def follow(
    api: ApiClient,
    job: Job,
    *,
    json: bool,
    max_failures: Decimal | None = None,
    of_export: bool = False,
) -> int:
    """Follow a job that was just read; the exit code says how it ended, with `max_failures` as the
    share of failed records that still is success; None: the default. `of_export`: how its export
    ended.
    """
    allowed = read_share(DEFAULT_MAX_FAILURES) if max_failures is None else max_failures
    observer = TerminalObserver(json=json)
    if not job.ended or job.exporting:
        try:
            with observer.watching(job):
                job = watch_job(api, job, observer)
        except KeyboardInterrupt:
            say("")
            say(f"The job goes on. next: seedwright watch {job.job_id}")
            return EXIT_INTERRUPTED
    print_job(job, json=json)
    if of_export:
        return EXIT_FAILED if (job.export or {}).get("status") == ExportStatus.FAILED else 0
    counted = {"failed": job.failed_records, "requested": job.num_records}
    code = exit_code(job.status, allowed=allowed, otherwise=EXIT_FAILED, **counted)
    if code == EXIT_TOO_MANY_FAILURES:
        say(f"error: {too_many(allowed=allowed, **counted)}")
        say(f"next: seedwright resume {job.job_id} --retry-failed, or a larger --max-failures")
    return code

"""`seedwright delete`: removes a job with its data."""

from typing import Final

from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption, YesOption
from runtime.cli.output import confirm, print_json, print_line
from runtime.cli.terminal import connect
from runtime.client.jobs import delete_job, get_job
from runtime.contract.exit_codes import EXIT_FAILED
from runtime.domain.wording import counted

EXAMPLE: Final = f"Example: seedwright delete {EXAMPLE_JOB} --yes"


def delete(
    job: JobArgument,
    *,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Delete a job that has ended, with its dataset. This can't be undone."""
    api = connect(profile).api
    found = get_job(api, job)
    question = f"Delete job {found.job_id} with its {counted(found.records_generated, 'record')}?"
    if not confirm(question, yes=yes):
        return EXIT_FAILED
    gone = delete_job(api, found.job_id)
    if json:
        print_json({"job_id": found.job_id, "deleted": gone})
    elif gone:
        print_line(f"{found.job_id} is deleted.")
    else:
        print_line(f"{found.job_id} has much data: the API goes on deleting it.")
    return 0

"""What `cancel`, `resume` and `delete` do."""

from contextlib import suppress

from runtime.cli.remote.job_views import describe, job_path, print_next
from runtime.cli.remote.output import confirm, print_json
from runtime.cli.remote.watching import follow as follow_job
from runtime.client.connection import connect
from runtime.contract.exit_codes import EXIT_FAILED
from runtime.domain.errors import NotFoundError
from runtime.domain.money.amounts import parse_usd, usd_decimal


def cancel(job_id: str, profile: str | None, *, json: bool) -> None:
    """Cancel, and never delete: the API is told what is meant."""
    reply = connect(profile).api.call("DELETE", f"{job_path(job_id)}?action=cancel")
    if json:
        print_json(reply.body)
        return
    stopping = reply.status == 202  # noqa: PLR2004 - accepted: not done yet
    print(f"{reply.body['job_id']} is cancelled{'; its worker is stopping' if stopping else ''}.")
    print_next(reply.body)


def resume(
    job_id: str, profile: str | None, *, budget: str | None, follow: bool, json: bool
) -> int:
    """Queue a job again; with `follow` stay until it has ended. The exit code."""
    body = {} if budget is None else {"budget_limit": usd_decimal(parse_usd(budget))}
    connection = connect(profile)
    # A repetition finds the job queued already, which is a 409: so it isn't repeated blindly.
    job = connection.api.post(f"{job_path(job_id)}/resume", body)
    if follow:
        return follow_job(connection.api, job, json=json)
    if json:
        print_json(job)
        return 0
    for line in describe(job):
        print(line)
    print_next(job)
    return 0


def delete(job_id: str, profile: str | None, *, yes: bool, json: bool) -> int:
    """Delete an ended job for good. The exit code."""
    connection = connect(profile)
    path = job_path(job_id)
    job = connection.api.get(path)
    question = f"Delete job {job['job_id']} with its {job['records_generated']} records?"
    if not confirm(question, yes=yes):
        return EXIT_FAILED
    with suppress(NotFoundError):  # the answer was lost and it is gone, as was asked
        connection.api.call("DELETE", f"{path}?action=delete")
    if json:
        print_json({"job_id": job["job_id"], "deleted": True})
    else:
        print(f"{job['job_id']} is deleted.")
    return 0

"""`seedwright download`: the files of a job."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import EXAMPLE_JOB, JobArgument, JsonOption, ProfileOption
from runtime.cli.output import print_json, print_line, say
from runtime.cli.terminal import TerminalObserver, connect
from runtime.client.downloads import download_job
from runtime.client.transfer import size_text

EXAMPLE: Final = f"Example: seedwright download {EXAMPLE_JOB} --out reviews"


def download(
    job: JobArgument,
    *,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in. [datasets/JOB]")] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Download a dataset. Of a job that has none yet: the records that are saved so far."""
    done = download_job(connect(profile), job, out, TerminalObserver(json=json))
    if json:
        print_json(
            {
                "job_id": done.job_id,
                "status": done.status,
                "complete": done.complete,
                "records": done.records,
                "files": [{"path": str(each.path), "size": each.size} for each in done.files],
            }
        )
        return
    for each in done.files:
        print_line(f"{each.path}  {size_text(each.size)}")
    if not done.complete:
        of = "this is 1 record" if done.records == 1 else f"these are {done.records} records"
        say(f"Not the whole dataset: the job is {done.status}, {of}.")

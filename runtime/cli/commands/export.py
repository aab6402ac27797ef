"""`seedwright export`: rows again from what a dataset's folder holds, or a job of an API."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.commands.watch import follow
from runtime.cli.job_text import print_job
from runtime.cli.options import JsonOption, ProfileOption, ShapeOption
from runtime.cli.output import print_json, print_line, print_text, say
from runtime.cli.rows import print_rows
from runtime.cli.targets import TargetArgument, is_folder
from runtime.cli.terminal import connect
from runtime.client.exports import export_job
from runtime.datasets.export_request import ExportRequest
from runtime.datasets.exporting import export_dataset
from runtime.domain.errors import InputError, UnclearOutputError

EXAMPLE: Final = "Example: seedwright export datasets/reviews --as messages --split test=0.1"


def export(
    target: TargetArgument,
    *,
    shape: ShapeOption = None,
    template: Annotated[
        Path | None,
        typer.Option(
            help="Template file with the output and split to use; its steps are the same."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Shares of the rows, test=0.1,validation=0.05, or none.")
    ] = None,
    split_by: Annotated[
        str | None, typer.Option(help="Seed field whose values stay in one split: seed.source.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="Besides Parquet: jsonl, csv. Repeat, or use commas."),
    ] = None,
    bom: Annotated[
        bool, typer.Option("--bom", help="CSV begins with a byte order mark, for spreadsheets.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Seed fields to carry along: label,source.title, record.id."),
    ] = None,
    review: Annotated[
        str | None, typer.Option(help="A filled-in form, applied from now on; none ends that.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence for the card, such as cc-by-4.0.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay until the rows are there (a job at an API).")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Make rows again from what a dataset or an ended job has, without a call.

    No model is opened and nothing is paid. A review or a licence alone leaves the rows as they
    were asked for before.
    """
    request = ExportRequest(
        shape=shape,
        template=template,
        split=split,
        split_by=split_by,
        formats=formats,
        byte_order_mark=bom or None,
        keep=keep or (),
        review=review,
        licence=licence,
    )
    try:
        if not is_folder(target):
            return _export_job(target, request, profile=profile, watch=watch, json=json)
        if watch:
            raise InputError(f"--watch is for a job at an API, and {target} is a folder")
        done = export_dataset(Path(target), request)
    except UnclearOutputError as error:
        print_text(error.block)
        raise
    for notice in done.notices:
        say(f"note: {notice}")
    if json:
        print_json(done.document())
        return 0
    for path in done.files:
        print_line(path)
    print_line(f"made of {done.records_text}")
    print_rows([done.rows], done.folder, named=bool(done.others) or done.rows.folder != "data")
    return 0


def _export_job(
    target: str, request: ExportRequest, *, profile: str | None, watch: bool, json: bool
) -> int:
    if request.review is not None:
        raise InputError(f"--review is for a folder, and {target} is a job at an API")
    api = connect(profile).api
    job = export_job(api, target, request.rows(for_api=True))
    if watch:
        return follow(api, job, json=json, of_export=True)
    print_job(job, json=json)
    return 0

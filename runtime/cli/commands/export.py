"""`seedwright export`: rows again from what a dataset's folder holds."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import DatasetArgument, JsonOption, ShapeOption
from runtime.cli.output import print_json, print_line, print_text, say
from runtime.cli.rows import print_rows
from runtime.datasets.export_request import ExportRequest
from runtime.datasets.exporting import export_dataset
from runtime.domain.errors import UnclearOutputError

EXAMPLE: Final = "Example: seedwright export datasets/reviews --as messages --split test=0.1"


def export(
    folder: DatasetArgument,
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
    json: JsonOption = False,
) -> None:
    """Make rows again from what a dataset has, without a call.

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
        done = export_dataset(folder, request)
    except UnclearOutputError as error:
        print_text(error.block)
        raise
    for notice in done.notices:
        say(f"note: {notice}")
    if json:
        print_json(done.document())
        return
    for path in done.files:
        print_line(path)
    print_line(f"made of {done.records_text}")
    print_rows([done.rows], done.folder, named=bool(done.others) or done.rows.folder != "data")

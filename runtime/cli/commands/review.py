"""`seedwright review`: a form to judge the rows of a dataset in."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import DatasetArgument, JsonOption, ShapeOption
from runtime.cli.output import print_json, print_line
from runtime.datasets.reviewing import write_review
from runtime.domain.wording import counted

EXAMPLE: Final = "Example: seedwright review datasets/reviews -n 100"


def review(
    folder: DatasetArgument,
    *,
    out: Annotated[Path | None, typer.Option(help="The form. [DIR/review.csv]")] = None,
    sample: Annotated[
        int | None, typer.Option("-n", "--sample", min=1, help="A keyed sample of so many rows.")
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="csv or jsonl. [by the name of --out]")
    ] = None,
    shape: ShapeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a form to judge rows in: keep, edit, note. `export --review` applies it."""
    form = write_review(folder, out=out, sample=sample, output_format=output_format, shape=shape)
    if json:
        print_json({"path": str(form.path), "rows": form.rows})
        return
    print_line(form.path)
    print_line(f"{counted(form.rows, 'row')} to judge: keep is yes or no, and empty means yes;")
    print_line('edit is empty, or new values as JSON: {"column": "new text"}')
    as_shape = "" if shape is None else f" --as {shape}"
    print_line(f"then: seedwright export {folder}{as_shape} --review {form.path}")

"""`seedwright report`: what a dataset looks like, in the terminal and as a page."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import JsonOption
from runtime.cli.output import print_json
from runtime.cli.statistics import print_statistics
from runtime.datasets.statistics import write_report

EXAMPLE: Final = "Example: seedwright report reviews"


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a dataset.")],
    *,
    json: JsonOption = False,
) -> int:
    """Say what a dataset looks like, and write its report.html."""
    found = write_report(folder)
    if json:
        print_json(found.statistics.document())
    else:
        print_statistics(found)
    return 0

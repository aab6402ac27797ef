"""`seedwright report`: what a dataset looks like, in the terminal and as a page."""

from typing import Final

from runtime.cli.options import DatasetArgument, JsonOption
from runtime.cli.output import print_json
from runtime.cli.statistics import print_statistics
from runtime.datasets.statistics import write_report

EXAMPLE: Final = "Example: seedwright report datasets/reviews"


def report(
    folder: DatasetArgument,
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

"""`seedwright demo`: an example with the embedded model."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.generating import RunOptions, generate_and_report
from runtime.cli.options import DEFAULT_BACKEND
from runtime.datasets.request import read_request
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.price_table import load_prices
from runtime.guide.shipped import shipped

_SHOWN_RECORDS: Final = 20


EXAMPLE: Final = "Example: seedwright demo -n 5 --out datasets/first"


def demo(
    num_records: Annotated[int, typer.Option("-n", help="Records to generate.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("datasets/demo"),
) -> int:
    """Generate product reviews with the embedded model. No account, no key, no cost."""
    example = shipped("examples") / "product-reviews"
    request = read_request(
        example / "template.yaml",
        example / "seeds.csv",
        num_records=num_records,
        backend=DEFAULT_BACKEND,
        draws=Draws(seed_strategy=SeedStrategy.ORDERED),
    )
    options = RunOptions(out=out, show=min(num_records, _SHOWN_RECORDS), estimate=False)
    return generate_and_report(request, load_prices(), options)

"""`seedwright demo`: a dataset with the embedded model."""

from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import (
    Backend,
)
from runtime.domain.jobs.job import SeedStrategy

EXAMPLE: Final = "Example: seedwright demo -n 5 --out datasets/first"


def demo(
    num_records: Annotated[int, typer.Option("-n", help="Records to generate.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder of the dataset.")] = Path("datasets/demo"),
) -> int:
    """Generate product reviews with the embedded model. No account, no key, no cost."""
    from runtime.cli.generate import Options, read_dataset  # noqa: PLC0415
    from runtime.cli.generate import generate as generate_dataset  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    example = examples_folder() / "product-reviews"
    dataset = read_dataset(
        example / "template.yaml",
        example / "seeds.csv",
        num_records=num_records,
        budget="1.00",
        model=None,
        backend=str(Backend.LOCAL),
        formats=["jsonl,parquet"],
        seed_strategy=SeedStrategy.SEQUENTIAL,
        random_seed=0,
    )
    options = Options(out=out, concurrency=None, json=False, show=min(num_records, 20))
    return generate_dataset(dataset, load_prices(), options)


def examples_folder() -> Path:
    """The examples: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"

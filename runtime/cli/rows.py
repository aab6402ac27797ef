"""What rows a dataset has, and the lines that load them, as the terminal shows them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.cli.output import print_line
from runtime.export.row_export import RowResult


def print_rows(rows: Sequence[RowResult], folder: Path, *, named: bool | None = None) -> None:
    """One line for each shape, and the three lines that load the first one with rows. `named`:
    whether it has to be named, as one of several or of another folder than the default.
    """
    for each in rows:
        counts = ", ".join(f"{name} {count}" for name, count in each.counts.items())
        place = f"{counts} · {folder / each.folder}/" if counts else "none"
        print_line(f"rows: {each.shape} · {place}")
    first = next((each for each in rows if each.counts), None)
    if first is not None:
        for line in _loading(first, folder, named=len(rows) > 1 if named is None else named):
            print_line(f"  {line}")


def _loading(first: RowResult, folder: Path, *, named: bool) -> Iterator[str]:
    name = f", {first.configuration!r}" if named else ""
    split = next(iter(first.counts), "train")
    yield "from datasets import load_dataset"
    yield f"rows = load_dataset({str(folder)!r}{name})"
    yield f"rows[{split!r}][0]"

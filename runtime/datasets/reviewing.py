"""A form in which a person judges the rows of a dataset: `export --review` applies what it says."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from runtime.datasets.configurations import choice_of, load_configurations
from runtime.datasets.exporting import opened
from runtime.disk import disk_errors, replacing
from runtime.domain.errors import InputError
from runtime.export.review_form import write_form
from runtime.export.row_request import RowRequest, read_configuration, remembered

FORMATS: Final = ("csv", "jsonl")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewForm:
    """A form that was written, and how many rows are in it."""

    path: Path
    rows: int


def write_review(
    path: Path,
    *,
    out: Path | None = None,
    sample: int | None = None,
    output_format: str | None = None,
    shape: str | None = None,
) -> ReviewForm:
    """Write the form for the rows of a folder in `shape`, by default the template's own, or for a
    keyed `sample` of that many; without the verdicts of an earlier review. `out` is
    `DIR/review.csv` by default.

    Raises `InputError`, also for a file that is there: it may be filled in; `StorageError`.
    """
    if sample is not None and sample < 1:
        raise InputError("a sample has 1 row or more")
    target = out or path / f"review.{_format(output_format, None)}"
    as_csv = _format(output_format, target) == "csv"
    if target.exists():
        raise InputError(f"{target} exists and may be filled in: name another file with --out")
    with opened(path) as dataset:
        known = load_configurations(dataset.folder.state)
        own = known.own_template(dataset.stored)
        before = remembered(shape, own, known)
        new = before or read_configuration(RowRequest(shape=shape), own, dataset.stored)
        new = replace(new, review=None)
        choice = choice_of(dataset.folder.state, new)
        records = dataset.export.records(dataset.job, dataset.stored)
        with (
            dataset.export.row_source(dataset.job, new.template(own), choice) as source,
            disk_errors(f"write {target}"),
            replacing(target) as stream,
        ):
            if source is None:
                raise InputError("the dataset has records and no rows: say which with --as")
            rows = write_form(stream, source, records, sample=sample, as_csv=as_csv)
    return ReviewForm(path=target, rows=rows)


def _format(given: str | None, target: Path | None) -> str:
    """By what was asked for, else by the name of the file."""
    if given is not None and given not in FORMATS:
        raise InputError(f"format {given!r} is unknown: use {' or '.join(FORMATS)}")
    ending = "" if target is None else target.suffix.lower().removeprefix(".")
    return given or ("jsonl" if ending in {"jsonl", "ndjson"} else "csv")

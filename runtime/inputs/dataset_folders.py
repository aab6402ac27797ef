"""The folder of a dataset as seeds: its rows; its records where a path of steps is asked for.

data/train-00000-of-00001.parquet …    rows; they have the ids of their records where each
                                       record has one, and there is one split
dataset.jsonl, .parquet or .csv        records
dataset.partial.jsonl                  records so far
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.contract.keys import ROWS_FOLDER, rows_result_key
from runtime.domain.errors import SeedError
from runtime.domain.jobs.record import index_of, record_id
from runtime.inputs.explode import STEPS

STATE: Final = ".seedwright"
PUBLISHED: Final = "published.json"
"""How complete what is published is: `status`, `records` and `requested`."""
_JOB: Final = "job.json"
_RECORDS: Final = ("dataset.jsonl", "dataset.parquet", "dataset.csv")
_PARTIAL: Final = "dataset.partial.jsonl"
_FAILURES: Final = "failures.jsonl"
_COMPLETED: Final = "COMPLETED"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRows:
    """What of a dataset is read. `in_order`: row i is that of the i-th record there is."""

    folder: Path
    files: tuple[Path, ...]
    notices: tuple[str, ...]
    in_order: bool

    def ids(self) -> Iterator[str]:
        """What the rows are called after their records, without an end; empty: not known."""
        if not self.in_order:
            yield from repeat("")
        job_id = str(_object(self.folder / STATE / _JOB).get("job_id"))
        failed = _failed(self.folder / _FAILURES)
        index = 0
        while True:
            if index not in failed:
                yield record_id(job_id, index)
            index += 1


def is_dataset(folder: Path) -> bool:
    """Whether a folder is one that a dataset was generated into."""
    return (folder / STATE / _JOB).is_file()


def dataset_rows(folder: Path, explode: str | None) -> DatasetRows:
    """What of a dataset are seeds. Raises `SeedError` where there is nothing of that yet."""
    rows = tuple(each for each in sorted((folder / ROWS_FOLDER).glob("*.parquet")) if _is(each))
    partial = folder / _PARTIAL
    records = next((each for name in _RECORDS if _is(each := folder / name)), None)
    notices = _notices(folder, partial=_is(partial))
    of_steps = explode is not None and explode.startswith(f"{STEPS}.")
    if of_steps and _is(partial):
        records = partial
    if rows and not of_steps:
        in_order = _in_order(folder)
        return DatasetRows(folder=folder, files=rows, notices=notices, in_order=in_order)
    if records is None:
        raise SeedError(
            f"{folder} has no {'records' if of_steps else 'rows'} yet: end it by "
            f"`seedwright resume {folder}`"
            + (f", or name {partial}, which has records" if _is(partial) else "")
        )
    return DatasetRows(folder=folder, files=(records,), notices=notices, in_order=False)


def _is(path: Path) -> bool:
    """Nothing in a folder that came from somebody else leads out of it."""
    return path.is_file() and not path.is_symlink()


def _notices(folder: Path, *, partial: bool) -> tuple[str, ...]:
    known = _object(folder / STATE / PUBLISHED)
    if not partial and known.get("status", _COMPLETED) == _COMPLETED:
        return ()
    of = f": {known['records']} of {known['requested']} records" if known else ""
    return (f"{folder} is not complete{of}",)


def _in_order(folder: Path) -> bool:
    if _object(folder / STATE / PUBLISHED).get("status") != _COMPLETED:
        return False
    job_id = _object(folder / STATE / _JOB).get("job_id")
    if not isinstance(job_id, str) or "/" in job_id:
        return False
    results = _document(folder / STATE / "objects" / rows_result_key(job_id))
    try:
        result = next(each for each in results or () if each["folder"] == ROWS_FOLDER)
        made = sum(result["counts"].values())
        return len(result["counts"]) == 1 and made == result["generated"]
    except (KeyError, TypeError, AttributeError, StopIteration):
        return False


def _failed(path: Path) -> set[int]:
    if not _is(path):
        return set()
    with path.open("rb") as file:
        try:
            return {index_of(line) for line in file}
        except ValueError as exc:
            raise SeedError(f"{path} is damaged: run `seedwright export` again") from exc


def _object(path: Path) -> dict[str, Any]:
    found = _document(path)
    return found if isinstance(found, dict) else {}


def _document(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None

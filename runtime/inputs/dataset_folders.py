"""The folder of a dataset as seeds: its rows; its records where a path of steps is asked for.

data/train-00000-of-00001.parquet …    rows; they have the ids of their records where each
                                       record has one, and there is one split
dataset.jsonl, .parquet or .csv        records
dataset.partial.jsonl                  records so far
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.contract.keys import ROWS_FOLDER, rows_result_key
from runtime.domain.errors import SeedError
from runtime.domain.jobs.record import index_of, record_id
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type, parse_type
from runtime.domain.seeds.seeds import Row
from runtime.domain.wording import counted
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
    in_order: bool = False
    columns: Mapping[str, Type] = field(default_factory=dict)
    """Types of the columns, as far as they are known."""

    def plain(self, row: Row) -> Row:
        """A row with the values that it was made of."""
        return {name: _value(value, self.columns.get(name)) for name, value in row.items()}

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
    place = folder / ROWS_FOLDER
    found = () if place.is_symlink() else sorted(place.glob("*.parquet"))
    rows = tuple(filter(_is, found))
    partial = folder / _PARTIAL
    records = next((each for name in _RECORDS if _is(each := folder / name)), None)
    notices = _notices(folder, partial=_is(partial))
    of_steps = explode is not None and explode.startswith(f"{STEPS}.")
    if of_steps and _is(partial):
        records = partial
    if rows and not of_steps:
        result = _result(folder)
        return DatasetRows(
            folder=folder,
            files=rows,
            notices=notices,
            in_order=_in_order(folder, result),
            columns=_columns(result),
        )
    if records is None:
        raise SeedError(
            f"{folder} has no {'records' if of_steps else 'rows'} yet: end it by "
            f"`seedwright resume {folder}`"
            + (f", or name {partial}, which has records" if _is(partial) else "")
        )
    return DatasetRows(folder=folder, files=(records,), notices=notices)


def _is(path: Path) -> bool:
    """Nothing in a folder that came from somebody else leads out of it."""
    return path.is_file() and not path.is_symlink()


def _notices(folder: Path, *, partial: bool) -> tuple[str, ...]:
    known = _object(folder / STATE / PUBLISHED)
    if not partial and known.get("status", _COMPLETED) == _COMPLETED:
        return ()
    of = f": {known['records']} of {counted(known['requested'], 'record')}" if known else ""
    return (f"{folder} is not complete{of}",)


def _result(folder: Path) -> Any:
    """What the last export noted of the rows; None: nothing, or nothing that can be read."""
    job_id = _object(folder / STATE / _JOB).get("job_id")
    if not isinstance(job_id, str) or "/" in job_id:
        return None
    results = _document(folder / STATE / "objects" / rows_result_key(job_id))
    try:
        return next(each for each in results or () if each["folder"] == ROWS_FOLDER)
    except (KeyError, TypeError, StopIteration):
        return None


def _in_order(folder: Path, result: Any) -> bool:
    if _object(folder / STATE / PUBLISHED).get("status") != _COMPLETED:
        return False
    try:
        made = sum(result["counts"].values())
        return len(result["counts"]) == 1 and made == result["generated"]
    except (KeyError, TypeError, AttributeError):
        return False


def _columns(result: Any) -> Mapping[str, Type]:
    try:
        return {str(name): parse_type(kind) for name, kind in result["columns"]}
    except (KeyError, TypeError, ValueError):
        return {}


def _value(value: Any, kind: Type | None) -> Any:
    """A value of any form, which a file holds as JSON text, as what it was."""
    match kind:
        case Scalar.JSON if isinstance(value, str):
            try:
                return orjson.loads(value)
            except orjson.JSONDecodeError:  # somebody else's file
                return value
        case ListOf(item) if isinstance(value, list):
            return [_value(each, item) for each in value]
        case Struct() if isinstance(value, Mapping):
            return {name: _value(each, kind.get(name)) for name, each in value.items()}
    return value


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

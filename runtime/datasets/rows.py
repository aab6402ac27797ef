"""The rows of a dataset in its folder, as loaders take it: `data/`, and the card beside it.

DIR/data/train-00000-of-00001.parquet …     rows
DIR/data-jsonl/train.jsonl                  copies as text where asked for; data-csv/train.csv
DIR/README.md                               the card, unless it is somebody's own
DIR/.seedwright/rows.json                   what was put there, so that it can be replaced
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import orjson

from runtime.contract.keys import ROWS_FOLDER, card_key, exports_prefix, row_folders
from runtime.disk import disk_errors, replace_by_link, replacing
from runtime.domain.jobs.job import Job
from runtime.export.card import is_unchanged
from runtime.export.row_export import RowResult

README: Final = "README.md"
_PUBLISHED: Final = "rows.json"


class Files(Protocol):
    """Where objects are files of this machine."""

    @property
    def path_of(self) -> Callable[[str], Path]: ...


class PublishedRows:
    """The rows in one dataset's folder; `state` is its hidden part."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder = folder
        self._note = state / _PUBLISHED

    def publish(self, engine: Files, job: Job, results: Sequence[RowResult]) -> bool:
        """Put files and card where the user looks for them; whether the card is ours: one that
        somebody wrote or changed stays. Raises `StorageError`.
        """
        wanted = {
            name: engine.path_of(f"{exports_prefix(job.job_id)}{name}")
            for each in results
            for name in each.files
        }
        before = self._published()
        # Noted first: what a crash leaves half done is still known to be ours.
        self._write_note(before | wanted.keys())
        for name, source in wanted.items():
            target = self._folder / name
            with disk_errors(f"write {target}"):
                target.parent.mkdir(exist_ok=True)
                replace_by_link(source, target)
        self._remove(before - wanted.keys())
        self._write_note(wanted.keys())
        owns_card = self._owns_card()
        if results and owns_card:
            with disk_errors(f"write {self._folder / README}"):
                replace_by_link(engine.path_of(card_key(job.job_id)), self._folder / README)
        return owns_card

    def foreign(self, folder: str = ROWS_FOLDER) -> Path | None:
        """What stands where new rows would go, and was not put there by us."""
        ours = {name.partition("/")[0] for name in self._published()}
        paths = (self._folder / each for each in row_folders(folder) if each not in ours)
        return next((path for path in paths if path.exists()), None)

    def _owns_card(self) -> bool:
        path = self._folder / README
        with disk_errors(f"read {path}"):
            return not path.exists() or is_unchanged(path.read_bytes())

    def _published(self) -> set[str]:
        """Names below the folder. Nothing in a folder that came from somebody else leads out."""
        try:
            names = orjson.loads(self._note.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return set()
        if not isinstance(names, list):
            return set()
        return {name for name in names if isinstance(name, str) and _is_below(name)}

    def _write_note(self, names: Iterable[str]) -> None:
        with disk_errors(f"write {self._note}"), replacing(self._note) as file:
            file.write(orjson.dumps(sorted(names)))

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self._folder / name
            with disk_errors(f"delete {path}"):
                path.unlink(missing_ok=True)
                if path.parent != self._folder and not any(path.parent.iterdir()):
                    path.parent.rmdir()


def row_notices(results: Sequence[RowResult], *, owns_card: bool) -> Iterator[str]:
    """What did not work out with the rows, a sentence each."""
    for each in results:
        yield from each.notes()
    if results and not owns_card:
        yield f"{README} is your own and stays: delete it to get the dataset's card"


def _is_below(name: str) -> bool:
    folder, _, file = name.partition("/")
    return all(
        part and part not in {".", ".."} and "/" not in part and "\\" not in part
        for part in (folder, file)
    )

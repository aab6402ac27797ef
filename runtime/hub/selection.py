"""What of a dataset's folder goes to the Hub: the card, the report, and the rows in their folders.

    README.md, report.html
    data/train-00000-of-00002.parquet …, and copies as text: data/train.jsonl, data/train.csv
    other folders with such Parquet files, one for each further configuration

Everything else stays at home and is named: records with prompts and failures, the state, and what
the user put beside them. No link is followed, so that a folder of somebody else gives nothing away.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.disk import disk_errors
from runtime.domain.errors import InputError

CARD: Final = "README.md"
_PAGES: Final = (CARD, "report.html")
_ROWS: Final = re.compile(r"\w[\w.-]*-[0-9]{5}-of-[0-9]{5}\.parquet")
_TEXT: Final = re.compile(r"\w[\w.-]*\.(?:jsonl|csv)")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFile:
    """A file that is pushed: its name in the repository, its place and its bytes."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What is pushed, by name, and the names of what is not; a folder ends with a slash."""

    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)

    def replaces(self, name: str) -> bool:
        """Whether a file of the repository is an older one of the rows that are pushed: one that
        lies in the same folder under a name that only rows have, and is no longer there.
        """
        folder, _, file = name.rpartition("/")
        names = {each.name for each in self.files}
        folders = {each.rpartition("/")[0] for each in names} - {""}
        is_text = _TEXT.fullmatch(file) and file.rpartition(".")[0] in self._splits(folder)
        return folder in folders and name not in names and bool(_ROWS.fullmatch(file) or is_text)

    def _splits(self, folder: str) -> set[str]:
        """The splits of a folder: only copies of their rows are ours to replace."""
        return {
            each.path.name.rsplit("-", 3)[0]
            for each in self.files
            if each.name.rpartition("/")[0] == folder and _ROWS.fullmatch(each.path.name)
        }


def select_files(folder: Path) -> Selection:
    """What is pushed of a folder. Raises `InputError` where there is no card or are no rows,
    `StorageError`.
    """
    files: list[LocalFile] = []
    left_out: list[str] = []
    with disk_errors(f"read {folder}"):
        if not folder.is_dir():
            raise InputError(f"{folder} is not the folder of a dataset")
        for entry in _entries(folder):
            if entry.name in _PAGES and entry.is_file(follow_symlinks=False):
                files.append(_file(entry, entry.name))
            elif _has_rows(entry):
                for inner in _entries(Path(entry.path)):
                    name = f"{entry.name}/{inner.name}"
                    if _is_data(inner):
                        files.append(_file(inner, name))
                    else:
                        left_out.append(_shown(inner, name))
            else:
                left_out.append(_shown(entry, entry.name))
    _check(folder, {each.name for each in files})
    return Selection(
        files=tuple(sorted(files, key=lambda each: each.name)), left_out=tuple(left_out)
    )


def _check(folder: Path, names: set[str]) -> None:
    missing = []
    if CARD not in names:
        missing.append(CARD)
    if not any(name.endswith(".parquet") for name in names):
        missing.append("rows in data/*.parquet")
    if missing:
        raise InputError(
            f"{folder} has no {' and no '.join(missing)}: put the card there as {CARD}, and the"
            " rows as data/train-00000-of-00001.parquet"
        )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _has_rows(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
        return False
    return any(_is_data(each) and _ROWS.fullmatch(each.name) for each in _entries(Path(entry.path)))


def _is_data(entry: os.DirEntry[str]) -> bool:
    named = _ROWS.fullmatch(entry.name) or _TEXT.fullmatch(entry.name)
    return bool(named) and entry.is_file(follow_symlinks=False)


def _file(entry: os.DirEntry[str], name: str) -> LocalFile:
    return LocalFile(name=name, path=Path(entry.path), size=entry.stat().st_size)


def _shown(entry: os.DirEntry[str], name: str) -> str:
    return f"{name}/" if entry.is_dir(follow_symlinks=False) else name

"""What of a dataset's folder goes to the Hub: the card, the report, and the rows in their folders.

    README.md, report.html
    data/train-00000-of-00002.parquet …
    data-jsonl/train.jsonl, data-csv/train.csv      copies of these rows as text
    messages/… and the like: such folders again, for each further configuration

Everything else stays at home and is named: records with prompts and failures, the state, and what
the user put beside them. No link is followed, so that a folder of somebody else gives nothing away.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.contract.keys import ROW_TEXTS, row_text_name
from runtime.disk import disk_errors
from runtime.domain.errors import InputError

CARD: Final = "README.md"
_PAGES: Final = (CARD, "report.html")
_ROWS: Final = re.compile(r"\w[\w.-]*-[0-9]{5}-of-[0-9]{5}\.parquet")


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

    def older(self, remote: Iterable[str]) -> tuple[str, ...]:
        """Which files of the repository are older ones of the rows that are pushed, by name: they
        lie in the same folders under names that only rows have, or are copies of such files as
        text, and are no longer there.
        """
        names = {each.name for each in self.files}
        folders = {each.partition("/")[0] for each in names if _is_rows(each, ())}
        parts = {
            each for each in remote if each.partition("/")[0] in folders and _is_rows(each, ())
        }
        return tuple(sorted((parts | _copies(names | parts) & set(remote)) - names))


def select_files(folder: Path) -> Selection:
    """What is pushed of a folder. Raises `InputError` where there is no card or are no rows,
    `StorageError`.
    """
    files: list[LocalFile] = []
    left_out: list[str] = []
    folders: list[os.DirEntry[str]] = []
    with disk_errors(f"read {folder}"):
        if not folder.is_dir():
            raise InputError(f"{folder} is not the folder of a dataset")
        for entry in _entries(folder):
            if entry.name in _PAGES and entry.is_file(follow_symlinks=False):
                files.append(_file(entry, entry.name))
            elif _is_folder(entry):
                folders.append(entry)
            else:
                left_out.append(_shown(entry, entry.name))
        for is_pushed in (_is_rows, _is_copy):
            folders = [each for each in folders if not _take(each, is_pushed, files, left_out)]
    left_out += (f"{entry.name}/" for entry in folders)
    _check(folder, {each.name for each in files})
    return Selection(
        files=tuple(sorted(files, key=lambda each: each.name)), left_out=tuple(sorted(left_out))
    )


def _take(
    folder: os.DirEntry[str],
    is_pushed: Callable[[str, Iterable[str]], bool],
    files: list[LocalFile],
    left_out: list[str],
) -> bool:
    """Sort the files of a folder, where one of them is pushed; whether it is. Of what is pushed so
    far the copies are.
    """
    before = [each.name for each in files]
    found = {f"{folder.name}/{each.name}": each for each in _entries(Path(folder.path))}
    pushed = {
        name
        for name, each in found.items()
        if each.is_file(follow_symlinks=False) and is_pushed(name, before)
    }
    if pushed:
        files += (_file(found[name], name) for name in pushed)
        left_out += (_shown(found[name], name) for name in found.keys() - pushed)
    return bool(pushed)


def _is_rows(name: str, _pushed: Iterable[str]) -> bool:
    return bool(_ROWS.fullmatch(name.partition("/")[2]))


def _is_copy(name: str, pushed: Iterable[str]) -> bool:
    return name in _copies(pushed)


def _copies(names: Iterable[str]) -> set[str]:
    """What the text copies of these files of rows are called: only they are ours."""
    parts = [name.partition("/") for name in names]
    splits = {
        (folder, file.rsplit("-", 3)[0]) for folder, _, file in parts if _ROWS.fullmatch(file)
    }
    return {
        row_text_name(folder, split, extension)
        for folder, split in splits
        for extension in ROW_TEXTS
    }


def _check(folder: Path, names: set[str]) -> None:
    missing = []
    if CARD not in names:
        missing.append(CARD)
    if not any(name.endswith(".parquet") for name in names):
        missing.append("rows in data/*.parquet")
    if missing:
        raise InputError(
            f"{folder} has no {' and no '.join(missing)}: put the card there as {CARD}, and the"
            " rows as data/train-00000-of-00001.parquet, or make both with `seedwright export"
            f" {folder} --as columns`"
        )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")


def _file(entry: os.DirEntry[str], name: str) -> LocalFile:
    return LocalFile(name=name, path=Path(entry.path), size=entry.stat().st_size)


def _shown(entry: os.DirEntry[str], name: str) -> str:
    return f"{name}/" if entry.is_dir(follow_symlinks=False) else name

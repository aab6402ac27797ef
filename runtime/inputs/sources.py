"""What a user may name as seeds, and which files those are.

    a file                       rows by its suffix, packed or not; a document
    a folder                     all files of these kinds below it, sorted by name
    a pattern (docs/*.md)        the files that match, sorted by name
    the folder of a dataset      its rows, or its records (dataset_folders.py)
    hf://datasets/owner/name     files of a repository (runtime/hub)
    standard input               rows; the command alone hands it in

Hidden files, links that lead out of a folder, and files of other kinds are left out, and said.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from runtime.domain.errors import SeedError
from runtime.domain.seeds.seeds import check_suffix
from runtime.files.decoding import PACKED
from runtime.files.disk import disk_errors
from runtime.files.documents import DOCUMENT_SUFFIXES
from runtime.hub.fetch import fetch_seeds
from runtime.hub.repository import HubSeeds, is_hub, read_hub_seeds
from runtime.inputs.dataset_folders import DatasetRows, dataset_rows, is_dataset
from runtime.inputs.files import no_such_file
from runtime.inputs.seed_reading import SeedReading

MAX_FILES: Final = 100_000
"""Of a folder or a pattern."""
_SHOWN: Final = 3
_TSV: Final = ".tsv"
_MAGIC: Final = frozenset("*?[")


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardInput:
    """What is piped into the command, read once."""

    stream: BinaryIO
    name: str = "standard input"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFile:
    """A file of rows. `name` is what a user knows it by, `kind` a format or None: it has to be
    looked at.
    """

    name: str
    place: Path | StandardInput
    kind: str | None
    packing: str | None = None
    dataset: DatasetRows | None = None
    """Whose rows they are, if they are a dataset's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document; `name` is relative to what was named."""

    name: str
    place: Path


SourceFile = RowFile | Document
Named = str | Path | StandardInput
"""How one source is named."""


@dataclass(kw_only=True)
class Found:
    """The files of all sources, in order, and what a user should know of them."""

    files: list[SourceFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    revisions: dict[str, str] = field(default_factory=dict)
    """What was fetched: the commit by the name of the file."""

    def noted(self, name: str) -> dict[str, str]:
        """What is known of a file beside its bytes."""
        return {"revision": self.revisions[name]} if name in self.revisions else {}


def find_files(sources: Sequence[Named], reading: SeedReading, stack: ExitStack) -> Found:
    """The files of these sources. What has to be fetched lies in a folder that `stack` deletes.

    Raises `SeedError`; what `fetch_seeds` raises for a repository.
    """
    found = Found()
    for source in sources:
        if isinstance(source, StandardInput):
            found.files.append(RowFile(name=source.name, place=source, kind=reading.seeds_format))
        elif is_hub(source):
            _fetch(read_hub_seeds(str(source)), found, stack)
        else:
            _find(Path(source), reading, found)
    inputs = [each for each in found.files if _is_input(each)]
    if len(inputs) > 1:
        raise SeedError("--seeds -: standard input can be read only once")
    return found


def row_file(name: str, place: Path, reading: SeedReading | None = None) -> RowFile | None:
    """A file of rows by the suffixes of its name, None for another one."""
    packing = PACKED.get(PurePosixPath(name).suffix.lower())
    inner = name.rpartition(".")[0] if packing else name
    suffix = PurePosixPath(inner).suffix.lower()
    kind = "tsv" if suffix == _TSV else _known(inner)
    if kind is None and reading is not None:
        kind = reading.seeds_format
    return None if kind is None else RowFile(name=name, place=place, kind=kind, packing=packing)


def _known(name: str) -> str | None:
    try:
        return check_suffix(name)
    except SeedError:
        return None


def _is_input(file: SourceFile) -> bool:
    return isinstance(file.place, StandardInput)


def is_pattern(name: str) -> bool:
    """Whether a name may stand for several files."""
    return bool(_MAGIC & set(name))


def _find(path: Path, reading: SeedReading, found: Found) -> None:
    if "\0" in str(path):
        raise SeedError(f"{str(path)!r}: not the name of a file")
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as exc:
        raise SeedError(f"{path}: can't be read: {exc.strerror}") from exc
    if is_folder and is_dataset(path):
        rows = dataset_rows(path, reading.explode)
        found.notices += rows.notices
        for file in rows.files:
            one = row_file(str(file), file)
            if one is not None:
                found.files.append(RowFile(name=one.name, place=file, kind=one.kind, dataset=rows))
    elif is_folder:
        _add(str(path), path, _below(path), found)
    elif not exists and is_pattern(str(path)):
        _match(path, found)
    else:
        found.files.append(_named(path, reading))


def _named(path: Path, reading: SeedReading) -> SourceFile:
    """A file that a user has named. One that isn't there is found missing when it is opened."""
    rows = row_file(path.name, path, reading)
    if rows is not None:
        return RowFile(name=str(path), place=path, kind=rows.kind, packing=rows.packing)
    if not path.exists():
        raise SeedError(no_such_file(path))
    if path.suffix.lower() in DOCUMENT_SUFFIXES:
        return Document(name=path.name, place=path)
    raise SeedError(
        f"{path}: seeds are .json, .jsonl, .csv or .parquet files, .tsv, packed ones (.gz, .zst), "
        f"documents ({', '.join(DOCUMENT_SUFFIXES)}) and folders; --seeds-format names a format"
    )


def _match(pattern: Path, found: Found) -> None:
    text = str(pattern)
    fixed = tuple(_fixed(pattern))
    base, rest = Path(*fixed), Path(*pattern.parts[len(fixed) :])
    try:
        paths = sorted(base.glob(str(rest)))
    except (ValueError, OSError) as exc:  # '**' within a name, a folder that may not be read
        raise SeedError(f"{text}: can't be matched: {exc}") from exc
    files = [(path, path.relative_to(base).as_posix()) for path in paths if not path.is_dir()]
    if not files:
        raise SeedError(f"{text}: no file matches")
    _add(text, base, iter(files), found)


def _fixed(pattern: Path) -> Iterator[str]:
    """The parts of a pattern before the first that can match several names."""
    for part in pattern.parts[:-1]:
        if _MAGIC & set(part):
            return
        yield part


def _below(root: Path) -> Iterator[tuple[Path, str]]:
    """The files below a folder, with their names there. Folders that are links are not entered,
    so there is no circle.
    """
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        pending.append(Path(entry.path))
                    else:
                        path = Path(entry.path)
                        yield path, path.relative_to(root).as_posix()
        except OSError as exc:
            raise SeedError(f"{folder}: can't be read: {exc.strerror}") from exc


def _add(source: str, root: Path, files: Iterator[tuple[Path, str]], found: Found) -> None:
    """The files of a folder or pattern that are seeds, by name."""
    others: dict[str, list[str]] = {}
    taken: list[tuple[str, Path]] = []
    for path, name in files:
        if len(taken) >= MAX_FILES:
            raise SeedError(f"{source}: more than {MAX_FILES} files, which is the limit")
        reason = _left_out(path, name, root)
        if reason is None:
            taken.append((name, path))
        else:
            others.setdefault(reason, []).append(name)
    found.notices += [_notice(source, reason, names) for reason, names in others.items()]
    if not taken:
        why = f" ({'; '.join(sorted(others))})" if others else ""
        raise SeedError(f"{source}: there are no seeds in it{why}")
    for name, path in sorted(taken):
        _append(path, str(path), name, found)


def _append(path: Path, shown: str, name: str, found: Found) -> None:
    """A file by its suffix. A document's seeds keep its `name`."""
    rows = row_file(path.name, path)
    if rows is None:
        found.files.append(Document(name=name, place=path))
    else:
        found.files.append(RowFile(name=shown, place=path, kind=rows.kind, packing=rows.packing))


def _left_out(path: Path, name: str, root: Path) -> str | None:
    """Why a file of a folder is no source, None if it is one."""
    if any(part.startswith(".") for part in name.split("/")):
        return "hidden files"
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # a circle, or nothing there
            return "links that lead nowhere"
        if not target.is_relative_to(root.resolve()):
            return "links that lead out of the folder"
    if not path.is_file():
        return "what is no file, or a link to a folder"
    if row_file(name, path) is None and path.suffix.lower() not in DOCUMENT_SUFFIXES:
        return "files of other kinds"
    return None


def _notice(source: str, reason: str, names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{source}: left out {reason}: {shown}" + (f" and {more} more" if more > 0 else "")


def _fetch(seeds: HubSeeds, found: Found, stack: ExitStack) -> None:
    with disk_errors("create"):
        folder = TemporaryDirectory(prefix="seedwright-hub-", ignore_cleanup_errors=True)
    fetched = fetch_seeds(seeds, Path(stack.enter_context(folder)))
    names = ", ".join(name for name, _ in fetched.files[:_SHOWN])
    more = len(fetched.files) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    found.notices.append(f"{seeds}: {names}{rest}, at revision {fetched.revision}")
    for name, path in fetched.files:
        shown = f"{seeds.repository}/{name}"
        found.revisions[shown] = fetched.revision
        _append(path, shown, shown, found)

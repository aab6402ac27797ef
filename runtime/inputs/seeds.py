"""Seeds from what users name and from memory: rows, and a copy of the bytes for the job to keep,
both on the disk.

One plain file is kept as it is. Everything else becomes JSON lines (collecting.py): what is in
memory, too, so a list, a table of Arrow or pandas, and a `.jsonl` file with the same rows are the
same seeds and make the same dataset.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from runtime.domain.errors import SeedError
from runtime.domain.seeds.seeds import FORMATS
from runtime.files.decoding import (
    MARK_BYTES,
    encoding_advice,
    marked_encoding,
    packing_of,
)
from runtime.files.disk import disk_errors, temporary_file
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows
from runtime.inputs.collecting import JSON_LINES, Collected, chunks_in, collect, sniffed_kind
from runtime.inputs.files import is_url
from runtime.inputs.memory import lines_in_memory
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.sources import (
    Found,
    Named,
    RowFile,
    StandardInput,
    find_files,
    row_file,
)

SeedSource = Any
"""What a user names (`str` or `Path`: a file, a folder, a pattern, a dataset's folder, a dataset of
the Hub), a list of such names, a list of mappings, a pandas DataFrame, or anything that gives
itself as an Arrow table: pyarrow's, or one with `__arrow_c_stream__` such as a frame of polars.
"""

IN_MEMORY: Final = JSON_LINES
"""What the copy of seeds is called that are not one plain file."""

_AS_THEY_ARE: Final = SeedReading()
_CHUNK_BYTES: Final = 1024 * 1024
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedFile:
    """Seeds as read: their rows, and a copy of the bytes for the job to keep. Both are on the disk;
    the original may change, or be a pipe that is read once. Equal ones have equal bytes.
    """

    name: str
    copy: BinaryIO = field(compare=False, repr=False)
    sha256: str
    rows: SeedRows = field(compare=False, repr=False)
    notices: tuple[str, ...] = field(default=(), compare=False)
    """What was left out or made of others, a sentence each."""
    made_of: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What they are made of, as JSON has it: sources with bytes and SHA-256, and the options."""

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """Bytes of the copy."""
        return os.fstat(self.copy.fileno()).st_size

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should know before anything is paid for, a sentence each."""
        return (*self.notices, *self.rows.warnings)

    def open(self) -> BinaryIO:
        """The copy from its beginning; one reader at a time. Raises `OSError`."""
        file = os.fdopen(os.dup(self.copy.fileno()), "rb")
        file.seek(0)
        return file

    def write_to(self, writer: BinaryIO) -> None:
        """Write the bytes of the copy. Raises `OSError`."""
        with self.open() as file:
            shutil.copyfileobj(file, writer, _CHUNK_BYTES)

    def close(self) -> None:
        """Give disk and memory back: a job has its own copy."""
        self.copy.close()
        self.rows.close()


def read_seeds(
    source: SeedSource, requirements: Sequence[str], reading: SeedReading = _AS_THEY_ARE
) -> SeedFile:
    """Seeds of which each has what the template needs.

    Raises `SeedError` or another `InputError`, `StorageError` when they can't be kept on the disk,
    and for a dataset of the Hub what keeps it from being fetched.
    """
    reading.checked()
    named = named_sources(source)
    if named is None:
        return _from_memory(source, requirements, reading)
    with ExitStack() as stack:
        found = find_files(named, reading, stack)
        if len(found.files) == 1 and reading.keeps_bytes:
            [file] = found.files
            if isinstance(file, RowFile) and file.dataset is None:
                return _single(file, found, requirements, reading)
        return _made(collect(found, reading, requirements))


def lines_of(source: SeedSource) -> bytes:
    """Seeds in memory as JSON lines. Raises `SeedError`."""
    return b"".join(lines_in_memory(source))


def named_sources(source: SeedSource) -> list[Named] | None:
    """The sources that are named, None for seeds in memory."""
    if isinstance(source, str | Path | StandardInput):
        return [source]
    if not isinstance(source, list | tuple) or not source:
        return None
    named = [each for each in source if isinstance(each, str | Path | StandardInput)]
    return named if len(named) == len(source) else None


def plain_file(source: SeedSource, reading: SeedReading) -> Path | None:
    """The file that is kept as it is, None for all else: what an API can read by itself."""
    named = named_sources(source)
    if named is None or len(named) != 1 or not reading.keeps_bytes or is_url(str(named[0])):
        return None
    if isinstance(named[0], StandardInput):
        return None
    path = Path(named[0])
    if not path.is_file():
        return None
    file = row_file(path.name, path)
    if file is None or file.packing is not None or file.kind not in FORMATS:
        return None
    with disk_errors("read"), path.open("rb") as content:
        head = content.read(MARK_BYTES)
    return None if _is_recoded(head) else path


def _is_recoded(head: bytes) -> bool:
    return marked_encoding(head) not in {None, "utf-8"}


def _from_memory(source: Any, requirements: Sequence[str], reading: SeedReading) -> SeedFile:
    copy, digest, _ = spooled(lines_in_memory(source))
    if reading.explode is None and not reading.unique:
        rows = load_rows(copy, IN_MEMORY, shown="seeds", requirements=requirements)
        return SeedFile(name=IN_MEMORY, copy=copy, sha256=digest, rows=rows)
    file = RowFile(name="seeds", place=StandardInput(stream=copy, name="seeds"), kind="jsonl")
    return _made(collect(Found(files=[file]), reading, requirements))


def _single(
    file: RowFile, found: Found, requirements: Sequence[str], reading: SeedReading
) -> SeedFile:
    """One file: kept as it is, if a job can read it so."""
    copy, digest, size = spooled(chunks_in(file.place))
    with disk_errors("read"):  # past its buffer: a process that reads Parquet shares its place
        head = os.pread(copy.fileno(), _HEAD_BYTES, 0)
    packing = file.packing or (packing_of(head) if file.kind is None else None)
    kind = file.kind or sniffed_kind(head)
    if packing is not None or kind not in FORMATS or _is_recoded(head):
        place = StandardInput(stream=copy, name=file.name)
        again = RowFile(name=file.name, place=place, kind=file.kind, packing=packing)
        found.files = [again]
        return _made(collect(found, reading, requirements))
    own = PurePosixPath(file.name).name if isinstance(file.place, Path) else ""
    known = row_file(own, Path(own))
    name = own if known is not None and known.kind == kind else f"seeds.{kind}"
    shown = file.name if isinstance(file.place, StandardInput) else None
    try:
        rows = load_rows(copy, shown or name, shown=file.name, requirements=requirements, kind=kind)
    except SeedError as exc:
        if isinstance(exc.__cause__, UnicodeDecodeError):
            raise SeedError(encoding_advice(str(exc), exc.__cause__)) from exc.__cause__
        raise
    source = {"name": file.name, "size": size, "sha256": digest}
    return SeedFile(
        name=name,
        copy=copy,
        sha256=digest,
        rows=rows,
        notices=tuple(found.notices),
        made_of={"sources": [source | found.noted(file.name)]},
    )


def _made(collected: Collected) -> SeedFile:
    return SeedFile(
        name=IN_MEMORY,
        copy=collected.copy,
        sha256=collected.sha256,
        rows=load_rows(collected.copy, IN_MEMORY, shown="seeds"),
        notices=collected.notices,
        made_of=collected.made_of,
    )


def spooled(chunks: Iterable[bytes]) -> tuple[BinaryIO, str, int]:
    """Chunks in a temporary file, which is at its beginning; their SHA-256 and their bytes."""
    digest, size = hashlib.sha256(), 0
    copy = temporary_file()
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        with disk_errors("write"):
            copy.write(chunk)
    with disk_errors("write"):
        copy.seek(0)  # writes what is still in memory, too
    return copy, digest.hexdigest(), size

"""Rows of many files, or of one that no job can read as it is, as one file of JSON lines.

files in order ─▶ rows ─▶ a seed of each item ─▶ repeats left out ─▶ JSON lines
                                                                       │
           null where another file has a field, and this one hasn't ◀──┘
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, repeat
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.seeds import readers
from runtime.domain.seeds import seeds as limits
from runtime.domain.seeds.seeds import Row, lacks
from runtime.domain.wording import counted
from runtime.files.decoding import (
    Unpacked,
    as_utf8,
    encoding_advice,
    marked_encoding,
    packing_of,
    peeked,
    stream,
    unpacked,
)
from runtime.files.disk import disk_errors, temporary_file
from runtime.files.documents import DocumentFile, read_documents
from runtime.files.reading import no_seed, read_rows
from runtime.inputs.explode import Explosion, Repeated
from runtime.inputs.files import chunks_of
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.sources import Document, Found, RowFile, StandardInput

JSON_LINES: Final = "seeds.jsonl"
MAX_NAMES: Final = 10_000
"""Fields of all files together that are made null where a file lacks them."""

_CHUNK_BYTES: Final = 1024 * 1024
_PARQUET: Final = b"PAR1"
_MAX_NOTED: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """JSON lines on the disk, and what they were made of."""

    copy: BinaryIO
    sha256: str
    notices: tuple[str, ...]
    made_of: Mapping[str, Any]


def collect(found: Found, reading: SeedReading, requirements: Sequence[str]) -> Collected:
    """The seeds of all files. Raises `SeedError`, `StorageError` when the disk is full."""
    return _Collection(found, reading, requirements).run()


def sniffed_kind(head: bytes) -> str:
    """The format of a file that begins so: JSON lines unless it looks like another one."""
    if head.startswith(_PARQUET):
        return "parquet"
    return "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else "jsonl"


def chunks_in(place: Path | StandardInput) -> Iterator[bytes]:
    """The bytes of a source, within the limit. Raises `SeedError`."""
    if isinstance(place, Path):
        yield from chunks_of(place, limits.MAX_SEED_BYTES, SeedError)
        return
    count = Unpacked(limits.MAX_SEED_BYTES)
    try:
        while chunk := place.stream.read(_CHUNK_BYTES):
            count.add(len(chunk), place.name)
            yield chunk
    except OSError as exc:
        raise SeedError(f"{place.name}: can't be read: {exc.strerror}") from exc


@dataclass(kw_only=True)
class _Part:
    """What one file, or several documents in a row, have given."""

    label: str
    rows: int = 0
    names: dict[str, None] = field(default_factory=dict)


class _Collection:
    """All files on their way into one."""

    def __init__(self, found: Found, reading: SeedReading, requirements: Sequence[str]) -> None:
        self._found = found
        self._reading = reading
        self._requirements = requirements
        self._count = Unpacked(limits.MAX_SEED_BYTES)
        self._written = Unpacked(limits.MAX_SEED_BYTES)
        self._explosion = None if reading.explode is None else Explosion(reading.explode)
        self._repeated = Repeated() if reading.unique else None
        self._parts: list[_Part] = []
        self._position = 0
        self._total = 0
        self._ids: dict[Path, Iterator[str]] = {}
        self._skipped: list[tuple[str, str]] = []
        self._sources: list[dict[str, Any]] = []

    def run(self) -> Collected:
        """Read everything."""
        self._check()
        lines = temporary_file()
        for is_document, files in groupby(
            self._found.files, lambda each: isinstance(each, Document)
        ):
            if is_document:
                self._documents(cast("list[Document]", list(files)), lines)
            else:
                for file in cast("Iterator[RowFile]", files):
                    self._rows(file, lines)
        if self._explosion is not None:
            self._explosion.check()
        if not self._total:
            raise SeedError("there are no seeds: nothing is left of what was named")
        with disk_errors("write"):
            lines.seek(0)
        copy, digest = self._filled(lines)
        return Collected(
            copy=copy,
            sha256=digest,
            notices=(*self._found.notices, *self._notices()),
            made_of={
                "sources": self._sources,
                "options": self._reading.document(),
                "seeds": self._total,
                "left_out": [list(each) for each in self._skipped],
            },
        )

    def _check(self) -> None:
        documents = any(isinstance(each, Document) for each in self._found.files)
        if self._reading.chunk is not None and not documents:
            raise SeedError("--chunk cuts documents, and there are none among these seeds")

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    def _rows(self, file: RowFile, lines: BinaryIO) -> None:
        digest = hashlib.sha256()
        size = 0

        def hashed() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks_in(file.place):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        raw = stream(hashed())
        packing = file.packing or (packing_of(peeked(raw)) if file.kind is None else None)
        content = unpacked(raw, file.name, packing, self._count)
        kind = file.kind or sniffed_kind(peeked(content))
        encoding = None
        if kind != "parquet":
            encoding = marked_encoding(peeked(content)) or self._reading.encoding
            content = as_utf8(content, file.name, self._reading.encoding)
            kind = file.kind or sniffed_kind(peeked(content))
        self._add(file.name, self._read(file, content, kind), lines)
        source: dict[str, Any] = {"name": file.name, "size": size, "sha256": digest.hexdigest()}
        source |= {"packing": packing} if packing else {}
        source |= {"encoding": encoding} if encoding else {}
        self._sources.append(source | self._found.noted(file.name))

    def _read(self, file: RowFile, content: BinaryIO, kind: str) -> Iterator[readers.Found]:
        ids: Iterator[str] = repeat("")
        if file.dataset is not None:  # the rows of several files have ids in one order
            ids = self._ids.setdefault(file.dataset.folder, file.dataset.ids())
        try:
            for number, found in enumerate(read_rows(content, file.name, kind), start=1):
                if found.row is None:
                    raise no_seed(found, number, file.name, kind)
                row = found.row if file.dataset is None else file.dataset.plain(found.row)
                own = next(ids)
                if own and "id" not in row:
                    row = {"id": own, **row}
                yield found._replace(row=row)
        except SeedError as exc:
            if isinstance(exc.__cause__, UnicodeDecodeError):
                raise SeedError(encoding_advice(str(exc), exc.__cause__)) from exc.__cause__
            raise

    def _documents(self, documents: Sequence[Document], lines: BinaryIO) -> None:
        files = [DocumentFile(path=each.place, name=each.name) for each in documents]
        skipped = self._skip if self._reading.skip_unreadable else None
        rows = read_documents(
            files, self._reading.chunking, skipped=skipped, encoding=self._reading.encoding
        )
        label = documents[0].name if len(documents) == 1 else "documents"
        self._add(label, (readers.Found(row, None) for row in rows), lines, documents=True)
        left = {name for name, _ in self._skipped}
        self._sources += [_noted(each) for each in documents if each.name not in left]

    def _skip(self, name: str, reason: str) -> None:
        self._skipped.append((name, reason))

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    def _add(
        self,
        label: str,
        rows: Iterator[readers.Found],
        lines: BinaryIO,
        *,
        documents: bool = False,
    ) -> None:
        """Write the seeds of a file. Raises `SeedError` if one lacks what the template needs."""
        part = _Part(label=label)
        self._parts.append(part)
        first, more = "", -1
        for number, found in enumerate(rows, start=1):
            for seed in self._seeds_of(found.row or {}):
                for _, message in lacks(found._replace(row=seed), self._requirements):
                    place = (found.row or {}).get("file") if documents else None
                    first = first or f"{place or f'{label}, record {number}'}: {message}"
                    more += 1
                self._write(seed, part, lines)
        if first:
            raise SeedError(f"{first} ({more} more like this)" if more else first)

    def _seeds_of(self, row: Row) -> Iterator[Row]:
        position = self._position
        self._position += 1
        items = iter((row,)) if self._explosion is None else self._explosion.of(row, position)
        repeated = self._repeated
        return (each for each in items if repeated is None or not repeated.has(each))

    def _write(self, seed: Row, part: _Part, lines: BinaryIO) -> None:
        line = orjson.dumps(seed, option=orjson.OPT_APPEND_NEWLINE)
        self._written.add(len(line), "seeds")
        with disk_errors("write"):
            lines.write(line)
        part.rows += 1
        self._total += 1
        if self._total > limits.MAX_SEEDS:
            raise SeedError(f"more than {limits.MAX_SEEDS} seeds, which is the limit")
        if len(part.names) <= MAX_NAMES:
            part.names.update(dict.fromkeys(seed))

    def _filled(self, lines: BinaryIO) -> tuple[BinaryIO, str]:
        """The lines with null for what only other files have, and their SHA-256."""
        digest = hashlib.sha256()
        lacking = self._lacking()
        if not any(lacking):
            while chunk := lines.read(_CHUNK_BYTES):
                digest.update(chunk)
            lines.seek(0)
            return lines, digest.hexdigest()
        copy, count = temporary_file(), Unpacked(limits.MAX_SEED_BYTES)
        for part, names in zip(self._parts, lacking, strict=True):
            nulls = dict.fromkeys(names)
            for _ in range(part.rows):
                line = lines.readline()
                if nulls:
                    row = orjson.loads(line) | nulls
                    line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
                count.add(len(line), "seeds")
                digest.update(line)
                with disk_errors("write"):
                    copy.write(line)
        with disk_errors("write"):
            copy.seek(0)
        return copy, digest.hexdigest()

    def _lacking(self) -> list[list[str]]:
        """Which fields of others each part lacks."""
        whole = dict.fromkeys(name for part in self._parts if part.rows for name in part.names)
        if len(whole) > MAX_NAMES and len(self._parts) > 1:
            raise SeedError(
                f"these files have more than {MAX_NAMES} different fields: give them one by one"
            )
        return [[name for name in whole if name not in part.names] for part in self._parts]

    def _notices(self) -> Iterator[str]:
        if self._skipped:
            shown = "; ".join(f"{name}: {reason}" for name, reason in self._skipped[:_MAX_NOTED])
            hidden = len(self._skipped) - _MAX_NOTED
            rest = f"; and {hidden} more" if hidden > 0 else ""
            yield f"left out {counted(len(self._skipped), 'document')}: {shown}{rest}"
        lacking = zip(self._parts, self._lacking(), strict=True)
        filled = [(part.label, names) for part, names in lacking if names and part.rows]
        if filled:
            label, names = filled[0]
            more = f", and other fields in {len(filled) - 1} more" if len(filled) > 1 else ""
            shown = ", ".join(names[:_MAX_NOTED]) + (", …" if len(names) > _MAX_NOTED else "")
            yield f"null for what only other files have: {shown} in {label}{more}"
        if self._explosion is not None:
            yield from self._explosion.notices()
        if self._repeated is not None:
            yield from self._repeated.notices()


def _noted(document: Document) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks_of(document.place, limits.MAX_SEED_BYTES, SeedError):
        digest.update(chunk)
        size += len(chunk)
    return {"name": document.name, "size": size, "sha256": digest.hexdigest()}

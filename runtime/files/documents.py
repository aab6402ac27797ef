"""Documents as seeds: files of text, Markdown, HTML, Word and PDF, whole or cut into chunks.

A process that can be killed reads them (document_process.py): what strangers wrote is not parsed
here.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from runtime.domain.errors import ConfigurationError, SeedError
from runtime.domain.seeds.chunking import Chunking
from runtime.domain.wording import counted
from runtime.files.decoding import check_encoding
from runtime.files.document_process import DocumentProcess, NotReadError

DOCUMENT_SUFFIXES: Final[Mapping[str, str]] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".docx": "word",
    ".pdf": "pdf",
}
"""The kind of a document by its suffix, in small letters. PDF needs the extra `documents`."""
MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MAX_ALL_CHARACTERS: Final = 4 * 1024 * 1024 * 1024
"""Of all rows together; an overlap counts twice."""

_PDF_PACKAGE: Final = "pypdf"
_MOST_NAMED: Final = 20
_MAX_NAME_CHARACTERS: Final = 200
_MAX_TITLE_CHARACTERS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentFile:
    """A document: where it is, and what it is called in messages and in the `file` of its seeds:
    a relative path with "/".
    """

    path: Path
    name: str


def read_documents(
    files: Sequence[DocumentFile],
    chunking: Chunking,
    *,
    skipped: Callable[[str, str], None] | None = None,
    encoding: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """The seeds of documents, file by file and chunk by chunk.

    A seed has `id` (`file#chunk`), `text`, `file`, `title`, `heading` (the headings above, with
    " > " between them), `page` (of PDF), `start` and `end` (characters of the document's text),
    `chunk` (from 1), `chunks` (of the document) and `tokens`; None where a kind has none.

    `skipped` is called with name and reason of each file that can't be read, which is left out;
    without it all such files are named in one error, when the others have been read. Text files are
    read by their byte order mark, else in `encoding`, else in UTF-8. `progress` is called with the
    number of files that are done.

    Raises `ConfigurationError` for PDF files without the extra, `InputError` for an unknown
    encoding, and `SeedError` for files that can't be read and for more text than is taken.
    """
    _check(files, encoding)
    return _rows(files, chunking, skipped, encoding, progress)


def _check(files: Sequence[DocumentFile], encoding: str | None) -> None:
    for file in files:
        if file.path.suffix.lower() not in DOCUMENT_SUFFIXES:
            raise SeedError(
                f"{file.name}: not a document: they end in {', '.join(DOCUMENT_SUFFIXES)}"
            )
    pdf = [file.name for file in files if _kind(file) == "pdf"]
    if pdf and find_spec(_PDF_PACKAGE) is None:
        named = ", ".join(each[:_MAX_NAME_CHARACTERS] for each in pdf[:_MOST_NAMED])
        more = f" and {len(pdf) - _MOST_NAMED} more" if len(pdf) > _MOST_NAMED else ""
        raise ConfigurationError(
            f'PDF files need the extra: pip install "seedwright[documents]" ({named}{more})'
        )
    if encoding is not None:
        check_encoding(encoding)


def _kind(file: DocumentFile) -> str:
    return DOCUMENT_SUFFIXES[file.path.suffix.lower()]


def _rows(
    files: Sequence[DocumentFile],
    chunking: Chunking,
    skipped: Callable[[str, str], None] | None,
    encoding: str | None,
    progress: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    unread: list[tuple[str, str]] = []
    characters = 0
    pdf = any(_kind(file) == "pdf" for file in files)
    with closing(DocumentProcess(pdf=pdf)) as process:
        for number, file in enumerate(files, start=1):
            try:
                # After the first that can't be read, others are asked only whether they can.
                for row in _rows_of(file, process, chunking, encoding, wanted=not unread):
                    characters += len(row["text"])
                    if characters > MAX_ALL_CHARACTERS:
                        raise SeedError(
                            f"{file.name}: more than {MAX_ALL_CHARACTERS} characters of text in"
                            " all: use fewer documents, or less overlap"
                        )
                    yield row
            except NotReadError as exc:
                if skipped is None:
                    unread.append((file.name, str(exc)))
                else:
                    skipped(file.name, str(exc))
            if progress is not None:
                progress(number)
    if unread:
        raise _refusal(unread, len(files))


def _refusal(unread: Sequence[tuple[str, str]], count: int) -> SeedError:
    named = "; ".join(f"{name[:_MAX_NAME_CHARACTERS]}: {why}" for name, why in unread[:_MOST_NAMED])
    more = f"; and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
    return SeedError(
        f"{len(unread)} of {counted(count, 'document')} can't be read; --skip-unreadable leaves"
        f" them out: {named}{more}",
        problems=unread[:_MOST_NAMED],
    )


def _rows_of(
    file: DocumentFile,
    process: DocumentProcess,
    chunking: Chunking,
    encoding: str | None,
    *,
    wanted: bool,
) -> Iterator[dict[str, Any]]:
    """The rows of a file, none if they are not `wanted`. Raises `NotReadError` before the first."""
    request = {
        "kind": _kind(file),
        "title": _valid(file.path.stem)[:_MAX_TITLE_CHARACTERS],
        "tokens": chunking.tokens,
        "overlap": chunking.overlap,
        "encoding": encoding,
        "wanted": wanted,
    }
    name = _valid(file.name)
    with _opened(file.path) as opened:
        chunks, rows = process.read(opened, request)
    for chunk, row in enumerate(rows, start=1):
        yield _seed(name, chunk, chunks, row)


def _valid(name: str) -> str:
    """A name as JSON can hold it: one that is not UTF-8 on the disk has halves of characters."""
    return name.encode(errors="replace").decode()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of the file, if it is one. Raises `NotReadError`."""
    try:
        # Whoever opens a pipe without a writer would wait for one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise NotReadError(f"can't be opened: {exc.strerror}") from exc
    except ValueError as exc:  # a NUL
        raise NotReadError("not the name of a file") from exc
    try:
        _check_file(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _check_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotReadError("not a file")
    if found.st_size > MAX_FILE_BYTES:
        raise NotReadError(f"larger than {MAX_FILE_BYTES // 1024**2} MiB: split it")
    if not found.st_size:
        raise NotReadError("empty")


def _seed(file: str, chunk: int, chunks: int, row: Sequence[Any]) -> dict[str, Any]:
    """A seed of what the child sent. Raises `SeedError` if that is not a row."""
    match row:
        case [
            str(text),
            str() as title,
            str() | None as heading,
            int() | None as page,
            int(start),
            int(end),
            int(tokens),
        ] if len(text) == end - start:
            return {
                "id": f"{file}#{chunk}",
                "text": text,
                "file": file,
                "title": title,
                "heading": heading,
                "page": page,
                "start": start,
                "end": end,
                "chunk": chunk,
                "chunks": chunks,
                "tokens": tokens,
            }
    raise SeedError(f"{file}: damaged, or not what its name says")

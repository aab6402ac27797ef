"""Documents as seeds. A stand-in for text and Markdown, until the real one is merged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.domain.errors import SeedError
from runtime.domain.seeds.chunking import Chunking

DOCUMENT_SUFFIXES: Final = (".txt", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx")
_CHARACTERS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentFile:
    """A document: where it is, and what it is called."""

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
    """A seed for each chunk of each document. Raises `SeedError` for those that can't be read."""
    del progress
    for file in files:
        try:
            text = file.path.read_bytes().decode(encoding or "utf-8-sig")
        except (OSError, ValueError) as exc:
            if skipped is None:
                raise SeedError(
                    f"{file.name}: can't be read: --skip-unreadable leaves it out"
                ) from exc
            skipped(file.name, "can't be read")
            continue
        yield from _chunks(file.name, text, chunking)


def _chunks(name: str, text: str, chunking: Chunking) -> Iterator[dict[str, Any]]:
    size = len(text) if chunking.tokens is None else chunking.tokens * _CHARACTERS
    starts = range(0, len(text), size)
    for number, start in enumerate(starts, start=1):
        part = text[start : start + size]
        yield {
            "id": f"{name}#{number}",
            "text": part,
            "file": name,
            "title": Path(name).stem,
            "heading": None,
            "page": None,
            "start": start,
            "end": start + len(part),
            "chunk": number,
            "chunks": len(starts),
            "tokens": -(-len(part) // _CHARACTERS),
        }

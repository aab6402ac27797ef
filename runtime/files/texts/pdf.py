"""PDF: the text of its pages, by pypdf."""

from typing import BinaryIO, Final

from pypdf import PdfReader

from runtime.files.texts.document import (
    Alive,
    Document,
    UnreadableError,
    check_length,
    clean,
    one_line,
)

MAX_PAGES: Final = 20_000

_PAGES_KEPT: Final = 32
"""How many pages' objects the reader may remember: their pictures are among them."""
_BETWEEN: Final = "\n\n"


def read_pdf(file: BinaryIO, alive: Alive) -> Document:
    """The text of all pages. Raises `UnreadableError`, and whatever pypdf raises over damage."""
    reader = PdfReader(file)
    if reader.is_encrypted:
        raise UnreadableError("encrypted: save it without protection")
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise UnreadableError(f"more than {MAX_PAGES} pages: split it")
    parts: list[str] = []
    pages: list[int] = []
    size = 0
    for number in range(count):
        text = _page_text(reader, number)
        pages.append(size)
        if text:
            parts.append(text + _BETWEEN)
            size += len(parts[-1])
            check_length(size)
        if number % _PAGES_KEPT == _PAGES_KEPT - 1:
            reader.resolved_objects.clear()
        alive()
    if not parts:
        raise UnreadableError("no text in it, only pictures of pages: recognise their text first")
    text = "".join(parts)[: -len(_BETWEEN)]
    return Document(text=text, title=_title(reader), pages=tuple(pages))


def _page_text(reader: PdfReader, number: int) -> str:
    try:
        return clean(reader.pages[number].extract_text()).strip()
    except MemoryError:
        raise
    except Exception as exc:
        raise UnreadableError(f"damaged: page {number + 1} can't be read") from exc


def _title(reader: PdfReader) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
        return one_line(clean(title)) or None if isinstance(title, str) else None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a document can be read without its title
        return None

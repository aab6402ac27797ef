"""The process that reads documents: untrusted, limited, expendable.

    python -m runtime.files.document_child MEMORY_BYTES ROW_BYTES [pdf]

`document_process` is its parent and talks to it over one socket, descriptor 0. A request is JSON
{"kind", "title", "tokens", "overlap", "encoding", "wanted", "cpu_seconds"}, and the file comes
with it as a descriptor; rows are sent if they are wanted. The answer are lines; the first byte says
what a line is:

    p                        the document is still being read
    =7                       it is read, and this many rows follow; nothing can go wrong any more
    r[text, title, …]        the next row: the fields of `ROW` in order
    e"…"                     why the file can't be read; the last line
    .                        the last row has been written; the last line

At the end of the stream, so also when the parent dies, the process ends. Damage in a file may make
a library ask for any amount of memory or time: then the stream ends without a last line.
"""

import mmap
import os
import signal
import socket
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from runtime.confinement import allow_cpu, give_up_privileges, limit_resources
from runtime.domain.seeds.chunking import Chunking, HeadingPaths, Span, chunk_spans
from runtime.domain.texts import count_tokens
from runtime.files.lines import write_all, write_line
from runtime.files.texts.document import MAX_TEXT_CHARACTERS, Alive, Document, UnreadableError
from runtime.files.texts.html import read_html
from runtime.files.texts.markdown import read_markdown
from runtime.files.texts.plain import decoded, read_plain
from runtime.files.texts.word import read_word

ROW: Final = ("text", "title", "heading", "page", "start", "end", "tokens")
"""Fields of a row as it is sent; the parent knows the others."""

MAX_ROWS_CHARACTERS: Final = 8 * MAX_TEXT_CHARACTERS
"""Of all chunks of a document: what stands in several counts as often."""

_REQUEST_BYTES: Final = 64 * 1024
_ALIVE_SECONDS: Final = 1.0
_RESERVE_BYTES: Final = 32 * 1024 * 1024
"""Held back while a document is read, so that its rows can be written."""
_BUFFER_BYTES: Final = 1024 * 1024
_PATH_SEPARATOR: Final = " > "

_TEXTS: Final[Mapping[str, Callable[[str, Alive], Document]]] = {
    "text": read_plain,
    "markdown": read_markdown,
    "html": read_html,
}


class _Pulse:
    """Says that the process is alive, once a second at most."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > _ALIVE_SECONDS:
            self._last = now
            write_line(self._descriptor, b"p")


def _read(file: BinaryIO, request: Mapping[str, Any], alive: Alive) -> Document:
    match request["kind"]:
        case "pdf":
            from runtime.files.texts.pdf import read_pdf  # noqa: PLC0415 - an extra

            return read_pdf(file, alive)
        case "word":
            return read_word(file, alive)
        case kind:
            body = file.read()
            text = decoded(body, request["encoding"])
            del body
            return _TEXTS[kind](text, alive)


def _spans(document: Document, request: Mapping[str, Any], alive: Alive) -> Sequence[Span]:
    chunking = Chunking(tokens=request["tokens"], overlap=request["overlap"])
    spans, characters = [], 0
    for span in chunk_spans(document.text, document.outline, chunking):
        spans.append(span)
        characters += span.end - span.start
        if characters > MAX_ROWS_CHARACTERS:
            raise UnreadableError(
                f"its chunks have more than {MAX_ROWS_CHARACTERS} characters: use less overlap"
            )
        alive()
    return spans


def _row(document: Document, paths: HeadingPaths, span: Span, title: str) -> Sequence[Any]:
    """A row as `ROW` names it."""
    text = document.text[span.start : span.end]
    page = bisect_right(document.pages, span.fresh) if document.pages else None
    return (
        text,
        document.title or title,
        _PATH_SEPARATOR.join(paths.above(span)) or None,
        page,
        span.start,
        span.end,
        count_tokens(text),
    )


def answer(file: BinaryIO, request: Mapping[str, Any], descriptor: int, row_bytes: int) -> None:
    """Read a document and write its lines. Raises what reading raises, before the first row."""
    alive = _Pulse(descriptor)
    reserve = mmap.mmap(-1, _RESERVE_BYTES)  # counts, and costs nothing
    document = _read(file, request, alive)
    if not document.text.strip():
        raise UnreadableError("no text in it")
    spans = _spans(document, request, alive)
    if request["tokens"] is None and len(orjson.dumps(document.text)) > row_bytes:
        raise UnreadableError("its text is too long for one seed: cut it with --chunk")
    paths = HeadingPaths(document.text, document.outline)
    reserve.close()
    allow_cpu(request["cpu_seconds"])
    write_line(descriptor, b"=", len(spans))
    lines: list[bytes] = []
    size = 0
    for span in spans if request["wanted"] else ():
        lines.append(b"r%b\n" % orjson.dumps(_row(document, paths, span, request["title"])))
        size += len(lines[-1])
        if size > _BUFFER_BYTES:
            allow_cpu(request["cpu_seconds"])
            write_all(descriptor, b"".join(lines))
            lines, size = [], 0
    write_all(descriptor, b"".join([*lines, b".\n"]))


def explain(exc: Exception) -> str:
    """Why the file can't be read, in words for its owner and without any of it."""
    return str(exc) if isinstance(exc, UnreadableError) else "damaged, or not what its name says"


def serve(connection: socket.socket, *, row_bytes: int) -> None:
    """Answer until the parent has no more files."""
    while True:
        body, descriptors, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 1)
        if not body or not descriptors:
            return
        request = orjson.loads(body)
        allow_cpu(request["cpu_seconds"])
        with open(descriptors[0], "rb") as file:  # noqa: PTH123 - it is open already
            try:
                answer(file, request, connection.fileno(), row_bytes)
            except (BrokenPipeError, ConnectionError, MemoryError):
                return  # the parent has read enough, or a fresh process may have room
            except Exception as exc:  # noqa: BLE001 - whatever it is, the parent has to hear of it
                write_line(connection.fileno(), b"e", explain(exc))


def main() -> None:
    """Read what comes over descriptor 0."""
    # Ctrl-C and a polite kill are the parent's business.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    memory_bytes, row_bytes = (int(argument) for argument in sys.argv[1:3])
    if "pdf" in sys.argv[3:]:
        import runtime.files.texts.pdf  # noqa: F401, PLC0415 - an extra
    give_up_privileges()
    limit_resources(memory_bytes, more=True, opens_files=True)
    serve(socket.socket(fileno=0), row_bytes=row_bytes)
    os._exit(0)  # no clean-up of what a damaged file may have left


if __name__ == "__main__":
    main()

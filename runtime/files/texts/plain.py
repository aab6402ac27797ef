"""Text files, and the characters of all files that are text."""

import codecs
from typing import Final

from runtime.files.texts.document import Alive, Document, UnreadableError, check_length, clean_whole

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the next one
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_USUAL: Final = "utf-8"


def decoded(body: bytes, encoding: str | None) -> str:
    """The characters of a file: by its byte order mark, else in `encoding`, else in UTF-8.

    Raises `UnreadableError` with the place of the first byte that is no text.
    """
    mark, codec = next(
        ((mark, codec) for mark, codec in _MARKS if body.startswith(mark)),
        (b"", encoding or _USUAL),
    )
    body = body[len(mark) :]
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as exc:
        place = _place(body[: exc.start].decode(codec, "replace"))
        raise UnreadableError(
            f"not {codec} text at {place}: say its encoding with --encoding, or save it as UTF-8"
        ) from exc
    except UnicodeError as exc:
        raise UnreadableError(f"not {codec} text") from exc
    check_length(len(text))
    nul = text.find("\0")
    if nul >= 0:
        raise UnreadableError(
            f"not a text: a NUL at {_place(text[:nul])}; if it is UTF-16, say so with --encoding"
        )
    return clean_whole(text)


def _place(before: str) -> str:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"line {line}, column {column}"


def read_plain(text: str, alive: Alive) -> Document:
    """A text file: its text as it is."""
    alive()
    return Document(text=text)

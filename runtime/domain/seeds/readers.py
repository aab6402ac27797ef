"""Readers of text files with seeds. They stream: a file of any size is read in the memory of one
row. Parquet is read elsewhere (runtime/files/parquet.py), as rows of the same kind.

What a reader can't go on after is a `SeedError` with line and column: text that is not UTF-8, JSON
or CSV syntax, a number that no JSON parser keeps, a row that is too large. A row that is read, and
is no seed, is given with its problem, and the next one follows.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.fields import is_within
from runtime.domain.wording import counted

MAX_ROW_CHARACTERS: Final = 4 * 1024 * 1024
"""Largest row of a text file: no prompt can be rendered from more."""
MAX_DEPTH: Final = 1000
"""Levels of lists and objects up to which JSON is read at all; the parser has its own limit close
above.
"""
MAX_LEVELS: Final = 200
"""Levels of a row: what is deeper can't be written again for the disk and for the render child."""

_CHUNK_BYTES: Final = 256 * 1024
Row = Mapping[str, Any]


class Found(NamedTuple):
    """One row of a file and the line it begins in (None: the format has no lines). Without a `row`
    there is a `problem`. `unread` is what rows lack because it can't be read: type by dotted path.
    """

    row: Row | None
    line: int | None
    problem: str = ""
    unread: Mapping[str, str] = MappingProxyType({})


def read_json(file: BinaryIO, name: str) -> Iterator[Found]:
    """The elements of one JSON array."""
    source = _JsonText(_pieces(file, name), name)
    opening = source.peek()
    if opening == "":
        return
    if opening != "[":
        source.value()
        raise SeedError(f"{name}: expected an array of objects, or one object a line in .jsonl")
    source.take()
    if source.peek() == "]":
        source.take()
    else:
        separator = ","
        while separator == ",":
            source.peek()
            line = source.line
            value = source.value()
            yield _found(value, line)
            separator = source.peek()
            if separator not in (",", "]"):
                raise source.invalid("expected a comma or the end of the array")
            source.take()
    if source.peek() != "":
        raise source.invalid("expected nothing after the array")


def read_jsonl(file: BinaryIO, name: str) -> Iterator[Found]:
    """One JSON value a line; blank lines are skipped."""
    # Only "\n" separates lines: str.splitlines would cut at U+2028 inside a string.
    for number, line in enumerate(_lines(_pieces(file, name), name, newline="\n"), start=1):
        if line.strip():
            text = line.removesuffix("\n").removesuffix("\r")
            yield _found(parse_json(text, name, number, 1), number)


def read_csv(file: BinaryIO, name: str, *, separator: str = ",") -> Iterator[Found]:
    """Rows of cells under a header; every cell is a text. First columns without a name are an index
    that pandas has written, and ignored.
    """
    # The module has one limit for all readers of a process.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_CHARACTERS))
    text = _RowText(_lines(_pieces(file, name), name, newline=""), name)
    reader = csv.reader(text, strict=True, delimiter=separator)
    header: Sequence[str] = ()
    index = 0
    try:
        for cells in reader:
            line = text.begin()
            if not header:
                header = cells
                index = _index_columns(header)
                _check_header(header, index, name, line)
            elif cells and len(cells) != len(header):
                problem = f"{counted(len(cells), 'cell')} where the header has {len(header)}"
                yield Found(None, line, problem)
            elif cells:
                yield Found(dict(zip(header[index:], cells[index:], strict=True)), line)
    except csv.Error as exc:
        line = text.begin()
        raise SeedError(f"{name}, line {line}, column 1: not a valid CSV row: {exc}") from exc


# ── text ───────────────────────────────────────────────────────────────────────────────────────


def _pieces(file: BinaryIO, name: str) -> Iterator[str]:
    """The file's text, without a byte order mark. What comes before damage is still given."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, column = 1, 1
    damage: UnicodeDecodeError | None = None
    chunk = b"-"
    while chunk and damage is None:
        chunk = file.read(_CHUNK_BYTES)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as exc:
            # `exc.object` is what `exc.start` counts in: this chunk behind what was left over.
            text, damage = exc.object[: exc.start].decode(), exc
        if text:
            yield text
        line, column = _after(text, 0, len(text), line, column)
    if damage is not None:
        raise SeedError(f"{name}, line {line}, column {column}: not UTF-8 text") from damage


def _lines(pieces: Iterator[str], name: str, *, newline: str) -> Iterator[str]:
    """Lines with their ends; `newline` as `io.StringIO` takes it."""
    rest, count = "", 0
    for piece in pieces:
        # The last line may go on, and "\r" may be the first half of "\r\n".
        *whole, rest = io.StringIO(rest + piece, newline=newline)
        yield from whole
        count += len(whole)
        if len(rest) > MAX_ROW_CHARACTERS:
            raise row_too_large(name, count + 1)
    if rest:
        yield rest


def _after(text: str, start: int, end: int, line: int, column: int) -> tuple[int, int]:
    """The place behind `text[start:end]`, which begins at this one. Columns count characters."""
    ends = text.count("\n", start, end)
    if ends:
        return line + ends, end - text.rfind("\n", start, end)
    return line, column + end - start


def row_too_large(name: str, line: int) -> SeedError:
    """Why nothing more is read of a row that begins in `line`."""
    return SeedError(
        f"{name}, line {line}, column 1: a row has more than {MAX_ROW_CHARACTERS} characters"
    )


def _invalid_json(name: str, line: int, column: int, reason: str) -> SeedError:
    return SeedError(f"{name}, line {line}, column {column}: not valid JSON: {reason}")


def parse_json(text: str, name: str, line: int, column: int) -> Any:
    """The JSON value of `text`, which begins at that place. Raises `SeedError`."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        # The parser stops behind the sign of -Infinity.
        word = _NO_NUMBER.match(text, max(exc.pos - 1, 0)) or _NO_NUMBER.match(text, exc.pos)
        reason = exc.msg if word is None else f"{word[0]} is not a number there: write null"
        line, column = _after(text, 0, exc.pos, line, column)
        raise _invalid_json(name, line, column, reason) from exc
    if text.count("[") + text.count("{") > MAX_LEVELS and not is_within(value, MAX_LEVELS):
        raise _invalid_json(name, line, column, f"nested deeper than {MAX_LEVELS} levels")
    if _LONG_INTEGER.search(text) is not None:
        _check_integers(text, name, line, column)
    return value


_NO_NUMBER: Final = re.compile(r"[+-]?(?:NaN|Infinity|nan|inf(?:inity)?)")
_LONG_INTEGER: Final = re.compile(r"[0-9]{19}")
_STRING_OR_NUMBER: Final = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+', re.DOTALL
)
_LEAST_INTEGER: Final = -(2**63)
_GREATEST_INTEGER: Final = 2**64 - 1
_MAX_DIGITS: Final = 20


def _check_integers(text: str, name: str, line: int, column: int) -> None:
    """The parser makes a float of an integer above 64 bits, which is another number."""
    for found in _STRING_OR_NUMBER.finditer(text):
        digits = found[0].removeprefix("-")
        if digits.isdigit() and (
            len(digits) > _MAX_DIGITS or not _LEAST_INTEGER <= int(found[0]) <= _GREATEST_INTEGER
        ):
            line, column = _after(text, 0, found.start(), line, column)
            raise SeedError(
                f"{name}, line {line}, column {column}: an integer of more than 64 bits: write it"
                " as a text"
            )


def _found(value: object, line: int) -> Found:
    if isinstance(value, dict):
        return Found(value, line)
    return Found(None, line, "expected an object")


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────

_SPACE: Final = re.compile(r"[ \t\n\r]*+")
_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_BRACKET: Final = re.compile(rf'[^"\[\]{{}}]*+(?:{_STRING}[^"\[\]{{}}]*+)*+', re.DOTALL)
"""As far as no bracket stands outside a string; ends before a string that isn't complete yet."""
_TO_END: Final = re.compile(rf'(?:{_STRING}|[^ \t\n\r,\[\]{{}}"]++)?+', re.DOTALL)
"""A text, number or word."""


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a match that begins at `at` ends."""
    found = pattern.match(text, at)
    return at if found is None else found.end()


class _JsonText:
    """JSON that arrives in pieces. It is cut into values at their brackets, and a parser judges
    each: the same text up to the first error, so the error and its place are those of the file.
    """

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._text = ""
        self._at = 0
        self.line = 1
        self._column = 1

    def peek(self) -> str:
        """Skip white space; the next character, empty at the end of the file."""
        while True:
            self._advance(_end(_SPACE, self._text, self._at))
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self) -> None:
        """Step over the character that `peek` gave."""
        self._advance(self._at + 1)

    def value(self) -> Any:
        """The value that begins where `peek` ended."""
        length = self._length()
        text = self._text[self._at : self._at + length]
        value = parse_json(text, self._name, self.line, self._column)
        self._advance(self._at + length)
        return value

    def invalid(self, reason: str) -> SeedError:
        """An error at the place that is reached."""
        return _invalid_json(self._name, self.line, self._column, reason)

    def _length(self) -> int:
        """Characters of the next value; of what there is when the file ends inside it."""
        if self._text[self._at : self._at + 1] not in ("{", "["):
            return self._scalar_length()
        length, depth = 0, 0
        while True:
            length = _end(_TO_BRACKET, self._text, self._at + length) - self._at
            bracket = self._text[self._at + length : self._at + length + 1]
            if bracket in ("", '"'):
                if not self._more():
                    return len(self._text) - self._at
                continue
            length += 1
            depth += 1 if bracket in "{[" else -1
            if depth == 0:
                return length
            if depth > MAX_DEPTH:
                raise self.invalid(f"nested deeper than {MAX_DEPTH} levels")

    def _scalar_length(self) -> int:
        while True:
            end = _end(_TO_END, self._text, self._at)
            # Behind a complete text, number or word there is something else.
            if end < len(self._text) and (end > self._at or self._text[end] != '"'):
                # One character that begins no value, for the parser to refuse.
                return max(end - self._at, 1)
            if not self._more():
                return len(self._text) - self._at

    def _advance(self, end: int) -> None:
        self.line, self._column = _after(self._text, self._at, end, self.line, self._column)
        self._at = end

    def _more(self) -> bool:
        """Forget what is behind and read on; False at the end of the file."""
        piece = next(self._pieces, "")
        self._text, self._at = self._text[self._at :] + piece, 0
        if piece and len(self._text) - len(piece) > MAX_ROW_CHARACTERS:
            raise row_too_large(self._name, self.line)
        return piece != ""


# ── CSV and Parquet ────────────────────────────────────────────────────────────────────────────


class _RowText:
    """The lines of a CSV file, for its reader. Knows where a row begins: quoted cells may hold line
    ends, and one that is never closed would hold the rest of the file.
    """

    def __init__(self, lines: Iterator[str], name: str) -> None:
        self._lines = lines
        self._name = name
        self._line = 1
        self._next = 1
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        for each in self._lines:
            self._next += 1
            self._size += len(each)
            if self._size > MAX_ROW_CHARACTERS:
                raise row_too_large(self._name, self._line)
            yield each

    def begin(self) -> int:
        """The line in which the row began that has just been read. The next one begins behind."""
        line, self._line, self._size = self._line, self._next, 0
        return line


def _index_columns(header: Sequence[str]) -> int:
    """How many first columns have no name; none where no column would be left."""
    return next((number for number, column in enumerate(header) if column), 0)


def _check_header(header: Sequence[str], index: int, name: str, line: int) -> None:
    seen: set[str] = set()
    for position, column in enumerate(header[index:], start=index + 1):
        if not column.strip():
            raise SeedError(f"{name}, line {line}: column {position} of the header has no name")
        if column in seen:
            raise SeedError(f"{name}, line {line}: the header names {column!r} twice")
        seen.add(column)

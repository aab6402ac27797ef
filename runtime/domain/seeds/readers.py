"""Readers of seed files. They stream: a file of any size is read in the memory of one row.

What a reader can't go on after is a `SeedError` with line and column: text that is not UTF-8, JSON
or CSV syntax, a damaged Parquet file, a row that is too large. A row that is read, and is no seed,
is given with its problem, and the next one follows.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from runtime.domain.errors import SeedError

MAX_ROW_CHARACTERS: Final = 4 * 1024 * 1024
"""Largest row of a text file: no prompt can be rendered from more."""
MAX_DEPTH: Final = 1000
"""Levels of lists and objects in a row; the JSON parser has its own limit close above."""

_CHUNK_BYTES: Final = 1024 * 1024
_BATCH_ROWS: Final = 256
_MAX_VALUES: Final = 50_000_000
"""Values in a row group of a Parquet file, which compression makes as small as it likes."""

Row = Mapping[str, Any]


class Found(NamedTuple):
    """One row of a file and the line it begins in (None: the format has no lines). Without a `row`
    there is a `problem`.
    """

    row: Row | None
    line: int | None
    problem: str = ""


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


def load_json(body: bytes) -> list[Row] | None:
    """The rows of a JSON array that is in memory, at once: three times as fast as `read_json`.

    None where that has something to say: damage, no array, a row that is no object, is too large or
    very deep.
    """
    try:
        rows = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return None
        # Written again, a row has no more characters than bytes, and no more levels than 254.
        largest = max((len(orjson.dumps(row)) for row in rows), default=0)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return rows if largest <= MAX_ROW_CHARACTERS else None


def read_jsonl(file: BinaryIO, name: str) -> Iterator[Found]:
    """One JSON value a line; blank lines are skipped."""
    # Only "\n" separates lines: str.splitlines would cut at U+2028 inside a string.
    for number, line in enumerate(_lines(_pieces(file, name), name, newline="\n"), start=1):
        if line.strip():
            text = line.removesuffix("\n").removesuffix("\r")
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as exc:
                raise _invalid_json(name, number, exc.colno, exc.msg) from exc
            yield _found(value, number)


def read_csv(file: BinaryIO, name: str) -> Iterator[Found]:
    """Rows of cells under a header; every cell is a text."""
    reader = csv.reader(_lines(_pieces(file, name), name, newline=""), strict=True)
    header: Sequence[str] = ()
    line = 1  # where the current row begins: quoted cells may hold line ends
    try:
        for cells in reader:
            if not header:
                header = cells
                _check_header(header, name, line)
            elif cells and len(cells) != len(header):
                problem = f"{len(cells)} cells where the header has {len(header)}"
                yield Found(None, line, problem)
            elif cells:
                yield Found(dict(zip(header, cells, strict=True)), line)
            line = reader.line_num + 1
    except csv.Error as exc:
        raise SeedError(f"{name}, line {line}, column 1: not a valid CSV row: {exc}") from exc


def read_parquet(file: BinaryIO, name: str) -> Iterator[Found]:
    """Rows of a Parquet file, which has to be seekable. Values arrive as JSON has them."""
    # pyarrow takes longer to import than a small job takes to run.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(file) as parquet:
            groups = [parquet.metadata.row_group(n) for n in range(parquet.num_row_groups)]
            if any(_values_in(group) > _MAX_VALUES for group in groups):
                raise SeedError(
                    f"{name}: a row group has more than {_MAX_VALUES} values: write smaller ones"
                )
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                # Prompts are rendered from JSON: times and decimals become text here, once.
                for row in orjson.loads(orjson.dumps(batch.to_pylist(), default=json_value)):
                    yield Found(row, None)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as exc:
        raise SeedError(f"{name}: not a Parquet file of texts, numbers, times and lists") from exc


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
            raise _too_large(name, count + 1)
    if rest:
        yield rest


def _after(text: str, start: int, end: int, line: int, column: int) -> tuple[int, int]:
    """The place behind `text[start:end]`, which begins at this one. Columns count characters."""
    ends = text.count("\n", start, end)
    if ends:
        return line + ends, end - text.rfind("\n", start, end)
    return line, column + end - start


def _too_large(name: str, line: int) -> SeedError:
    return SeedError(
        f"{name}, line {line}, column 1: a row has more than {MAX_ROW_CHARACTERS} characters"
    )


def _invalid_json(name: str, line: int, column: int, reason: str) -> SeedError:
    return SeedError(f"{name}, line {line}, column {column}: not valid JSON: {reason}")


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
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as exc:
            line, column = _after(text, 0, exc.pos, self.line, self._column)
            raise _invalid_json(self._name, line, column, exc.msg) from exc
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
            raise _too_large(self._name, self.line)
        return piece != ""


# ── CSV and Parquet ────────────────────────────────────────────────────────────────────────────


def _check_header(header: Sequence[str], name: str, line: int) -> None:
    seen: set[str] = set()
    for position, column in enumerate(header, start=1):
        if not column.strip():
            raise SeedError(f"{name}, line {line}: column {position} of the header has no name")
        if column in seen:
            raise SeedError(f"{name}, line {line}: the header names {column!r} twice")
        seen.add(column)


def _values_in(group: Any) -> int:
    return max((group.column(n).num_values for n in range(group.num_columns)), default=0)


def json_value(value: object) -> str:
    """The text of a value that JSON has no type for: a time, a decimal. Raises `TypeError`."""
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, date | time):  # subclasses: where pandas is installed, its Timestamp
        return value.isoformat()
    raise TypeError

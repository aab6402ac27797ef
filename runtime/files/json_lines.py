"""JSON lines as seeds, at the speed of their parser: the bytes stay as they are, on the disk, and
each row is parsed once to be checked.

    file ──pieces──▶ spool
              └────▶ lines ──▶ parser ──▶ checks, ids, where each row begins

What is refused, and in which words, is what `readers.read_jsonl` refuses: a line that this reader
can't take is given to that one's parser.
"""

import codecs
from array import array
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final

import orjson

from runtime.domain.errors import SeedError
from runtime.domain.jobs.record import RECORD_FIELDS
from runtime.domain.seeds import readers, seeds
from runtime.domain.seeds.ids import Ids
from runtime.domain.seeds.readers import Found, Row, parse_json, row_too_large
from runtime.domain.seeds.seeds import has_path, lacks, seed_id
from runtime.files.disk import check_room, disk_errors, shared_file, size_left, temporary_file
from runtime.files.records import as_record
from runtime.files.rows import SeedRows

CHUNK_BYTES: Final = 1024 * 1024

_BLANK: Final = object()
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * 19


def load_json_lines(
    file: BinaryIO,
    name: str,
    *,
    shown: str,
    requirements: Sequence[str],
    on_bytes: Callable[[int], object],
    on_row: Callable[[Row], object] | None,
) -> SeedRows:
    """All seeds of a file, each with what the template needs. A file of `temporary_file` is used
    where it is, any other is copied. Raises `SeedError`, `StorageError`, and what `on_bytes` and
    `on_row` raise.
    """
    shared = shared_file(file)
    spool = temporary_file() if shared is None else shared
    reading = _Reading(name, shown, requirements, on_row)
    try:
        if shared is None:
            check_room(spool, size_left(file) or 0)
        end = rest_at = 0 if shared is None else file.tell()
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            if shared is None:
                with disk_errors("write"):
                    spool.write(chunk)
            end += len(chunk)
            body = rest + chunk if rest else chunk
            *lines, rest = body.split(b"\n")
            reading.read(lines, rest_at, long=_LONG_INTEGER in body.translate(_DIGITS))
            rest_at = end - len(rest)
            reading.check_rest(rest)
            on_bytes(len(chunk))
        reading.read([rest], rest_at, long=True)
        with disk_errors("write"):
            spool.flush()
        return reading.rows(spool, end)
    except BaseException:
        spool.close()
        raise


def line_of(body: bytes) -> Row:
    """The row whose line `body` begins with; empty lines may follow."""
    return as_record(orjson.loads(body.partition(b"\n")[0]))


class _Reading:
    """What is known of the lines that were read."""

    def __init__(
        self,
        name: str,
        shown: str,
        requirements: Sequence[str],
        on_row: Callable[[Row], object] | None,
    ) -> None:
        self._name = name
        self._shown = shown
        self._requirements = requirements
        self._names = tuple(path for path in requirements if "." not in path)
        self._paths = tuple(path for path in requirements if "." in path)
        self._on_row = on_row
        self._index = array("Q")
        self._ids = Ids()
        self._line = 0
        self._lacking = ""
        self._more = -1

    def read(  # noqa: C901, PLR0912 - one loop: a call for each row would take as long as parsing it
        self, lines: Sequence[bytes], start: int, *, long: bool
    ) -> None:
        """Whole lines without their ends, of which the first begins at `start`. `long`: there may
        be integers of more than 64 bits.
        """
        if self._line == 0 and lines and lines[0].startswith(codecs.BOM_UTF8):
            lines = [lines[0].removeprefix(codecs.BOM_UTF8), *lines[1:]]
            start += len(codecs.BOM_UTF8)
        # Half a million times a second: what is rare is left to other functions.
        loads, record = orjson.loads, len(RECORD_FIELDS)
        shallow = 2 * readers.MAX_LEVELS  # what is nested deeper has as many brackets
        named, paths, on_row = self._names, self._paths, self._on_row
        place, ids, count = self._index.append, list[str](), len(self._index)
        for number, line in enumerate(lines, start=self._line + 1):
            if line:
                try:
                    row: Any = loads(line)
                except orjson.JSONDecodeError:
                    row = self._refused(line, number)
                if row is not _BLANK:
                    if long or type(row) is not dict or len(line) > shallow:
                        self._check(row, line, number, long=long)
                    if len(row) == record:
                        row = as_record(row)
                    for each in named:
                        if each not in row:
                            self._find_lacks(row, number, count)
                            break
                    else:
                        if paths and not all(has_path(row, path) for path in paths):
                            self._find_lacks(row, number, count)
                    if on_row is not None:
                        on_row(row)
                    own = row.get("id")
                    ids.append(own if type(own) is str and own else seed_id(row, count))
                    place(start)
                    count += 1
            start += len(line) + 1
        self._line += len(lines)
        self._ids.extend(ids)
        if count > seeds.MAX_SEEDS:
            raise SeedError(f"{self._name}: more than {seeds.MAX_SEEDS} seeds, which is the limit")

    def _check(self, row: Any, line: bytes, number: int, *, long: bool) -> None:
        """What makes a file unusable. Raises `SeedError`."""
        if long or line.count(b"{") + line.count(b"[") > readers.MAX_LEVELS:
            parse_json(_text(line), self._name, number, 1)
        if type(row) is not dict:
            raise SeedError(f"{self._name}, line {number}: expected an object")

    def _find_lacks(self, row: Row, number: int, count: int) -> None:
        for _, message in lacks(Found(row, number), self._requirements):
            self._lacking = self._lacking or f"{self._shown}, record {count + 1}: {message}"
            self._more += 1

    def _refused(self, line: bytes, number: int) -> Any:
        """A line that is not JSON: it may be blank. Raises `SeedError` with its place."""
        try:
            text = _text(line)
        except UnicodeDecodeError as exc:
            column = len(line[: exc.start].decode()) + 1
            place = f"line {number}, column {column}"
            raise SeedError(f"{self._name}, {place}: not UTF-8 text") from exc
        return parse_json(text, self._name, number, 1) if text.strip() else _BLANK

    def check_rest(self, rest: bytes) -> None:
        """Whether a line that has no end yet is too long. Raises `SeedError`."""
        most = readers.MAX_ROW_CHARACTERS
        # The bytes of a character beyond its first one have the bits 10 in front.
        if len(rest) > most and len(rest.decode(errors="ignore")) > most:
            raise row_too_large(self._name, self._line + 1)

    def rows(self, spool: BinaryIO, end: int) -> SeedRows:
        """What was read, up to `end`. Raises `SeedError`."""
        if not self._index:
            raise SeedError(f"{self._name}: there are no seeds in it")
        if self._lacking:
            more = f" ({self._more} more like this)" if self._more else ""
            raise SeedError(self._lacking + more)
        self._index.append(end)
        return SeedRows(spool, self._index, line_of, self._ids.repeats())


def _text(line: bytes) -> str:
    return line.decode().removesuffix("\r")

"""Seed files as UTF-8 text without compression, whatever they were: a stream in constant memory.

    file ─▶ unpacked, its bytes counted ─▶ UTF-8

A few bytes may unpack to any number of them. So what counts is what comes out, up to a limit, and
never how well something was packed.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final, cast

from runtime.domain.errors import InputError, SeedError

PACKED: Final[Mapping[str, str]] = {".gz": "gzip", ".zst": "zstd"}
"""How a file is packed, by its last suffix."""

_CHUNK_BYTES: Final = 256 * 1024
_MAGIC: Final[Mapping[bytes, str]] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UTF_8: Final = "utf-8"
_MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (codecs.BOM_UTF8, _UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MARK_BYTES: Final = 4
"""Of the longest mark, byte order or packing."""
_EXAMPLE: Final = "windows-1252"
_NO_ENCODINGS: Final = frozenset(
    {"charmap", "idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "unicode-escape"}
)
"""What Python takes for encodings of text and no file is in: of names in the net, of its own
source, without a table, or another one on each machine.
"""


class Unpacked:
    """Counts what comes out of all files that are read together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def add(self, size: int, name: str) -> None:
        """Raises `SeedError` when it is more than the limit."""
        self._taken += size
        if self._taken > self._limit:
            raise SeedError(f"{name}: larger than {self._limit // 1024} KiB, which is the limit")


def packing_of(head: bytes) -> str | None:
    """How a file that begins with these bytes is packed."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark says, None without one."""
    return next((kind for mark, kind in _MARKS if head.startswith(mark)), None)


def check_encoding(name: str) -> str:
    """An encoding of text by the name that Python has for it. Raises `InputError`."""
    problem: Exception | None = None
    try:
        found = codecs.lookup(name).name
        "a".encode(name)  # refuses what is no encoding of text
    except (LookupError, ValueError) as exc:
        found, problem = "", exc
    if not found or found in _NO_ENCODINGS:
        raise InputError(
            f"--encoding {name[:40]!r} is unknown: use a name such as {_EXAMPLE} or utf-16-le"
        ) from problem
    return found


def unpacked(file: BinaryIO, name: str, packing: str | None, count: Unpacked) -> BinaryIO:
    """The bytes that a file was packed from, up to a limit. They are read as they are asked for,
    which raises `SeedError` for damage.
    """
    chunks = _UNPACK[packing](file) if packing is not None else _plain(file)
    return stream(_counted(_damage_told(chunks, name, packing), name, count))


def as_utf8(file: BinaryIO, name: str, encoding: str | None) -> BinaryIO:
    """The text of a file as UTF-8: by its byte order mark, else in `encoding`. What is UTF-8 is
    given as it is. Reading raises `SeedError` with the place of what can't be decoded.
    """
    head = file.read(MARK_BYTES)
    found = marked_encoding(head) or encoding or _UTF_8
    whole = stream(_with_head(head, file))
    if codecs.lookup(found).name == _UTF_8:
        return whole
    return stream(_recoded(whole, name, found))


def encoding_advice(name: str, error: UnicodeDecodeError) -> str:
    """What to do about text that is not what it was taken for. `name` says where."""
    return (
        f"{name} (byte 0x{error.object[error.start]:02x}): save it as UTF-8, or say what it is, "
        f"for example --encoding {_EXAMPLE}"
    )


def stream(chunks: Iterator[bytes]) -> BinaryIO:
    """Chunks as a file that is read once."""
    return io.BufferedReader(_Chunks(chunks), _CHUNK_BYTES)


def peeked(file: BinaryIO) -> bytes:
    """What a `stream` begins with, which is still to be read."""
    return file.peek() if isinstance(file, io.BufferedReader) else b""


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _with_head(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head + file.read(_CHUNK_BYTES)  # as one: who peeks sees the first chunk only
    yield from _plain(file)


def _ungzipped(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file, mode="rb") as whole:
        while chunk := whole.read(_CHUNK_BYTES):
            yield chunk


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    # Python has zstd from 3.14 on; Arrow, which is here for Parquet, has it before.
    import pyarrow as pa  # noqa: PLC0415 - it takes longer to import than a small job to run

    source = pa.PythonFile(cast("io.IOBase", file), mode="r")
    with pa.CompressedInputStream(source, "zstd") as whole:
        while chunk := whole.read(_CHUNK_BYTES):
            yield chunk


_UNPACK: Final[Mapping[str, Callable[[BinaryIO], Iterator[bytes]]]] = {
    "gzip": _ungzipped,
    "zstd": _unzstd,
}


def _damage_told(chunks: Iterator[bytes], name: str, packing: str | None) -> Iterator[bytes]:
    try:
        yield from chunks
    except (EOFError, zlib.error, OSError) as exc:
        if packing is None or (isinstance(exc, OSError) and exc.errno):
            raise SeedError(f"{name}: can't be read: {getattr(exc, 'strerror', exc)}") from exc
        raise SeedError(
            f"{name}: damaged: it is cut, or not {packing} up to its end: fetch or pack it again"
        ) from exc


def _counted(chunks: Iterator[bytes], name: str, count: Unpacked) -> Iterator[bytes]:
    for chunk in chunks:
        count.add(len(chunk), name)
        yield chunk


def _recoded(file: BinaryIO, name: str, encoding: str) -> Iterator[bytes]:
    """What comes before damage is still given: the reader may find an earlier fault."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, column = 1, 1
    chunk = b"-"
    while chunk:
        chunk = file.read(_CHUNK_BYTES)
        damage: UnicodeError | None = None
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as exc:
            text, damage = _before(exc, encoding), exc
        yield text.encode(errors="surrogatepass")
        ends = text.count("\n")
        line, column = line + ends, len(text) - text.rfind("\n") if ends else column + len(text)
        if damage is not None:
            raise _undecoded(name, encoding, line, column, damage)


def _before(error: UnicodeError, encoding: str) -> str:
    """The text of a chunk before what can't be decoded."""
    if not isinstance(error, UnicodeDecodeError):
        return ""
    # The mark, and with it the order of bytes, may have stood in an earlier chunk.
    exact = error.encoding if error.encoding != encoding else encoding
    return error.object[: error.start].decode(exact, errors="ignore")


def _undecoded(name: str, encoding: str, line: int, column: int, damage: UnicodeError) -> SeedError:
    place = f"{name}, line {line}, column {column}: not {encoding} text"
    if isinstance(damage, UnicodeDecodeError):
        return SeedError(encoding_advice(place, damage))
    return SeedError(f"{place}: say what it is, for example --encoding {_EXAMPLE}")

"""Moves files between this machine and signed URLs, which need no token: in constant memory, from
and to the disk, and a file appears under its name only when it is whole.

A signed URL is a secret as long as it is valid: no message quotes one.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.filepost import encode_multipart_formdata
from urllib3.util import parse_url

from runtime.client.http import Pauses, make_pool
from runtime.disk import replacing
from runtime.domain.errors import (
    ConfigurationError,
    ForbiddenError,
    InputError,
    NotFoundError,
    SeedwrightError,
    StorageError,
    StorageUnavailableError,
)
from runtime.inputs.seeds import SeedFile

ATTEMPTS: Final = 4

_CHUNK_BYTES: Final = 256 * 1024
_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN})

OnBytes = Callable[[int], object]
"""Is called with every number of bytes that moved; a negative one takes back a lost attempt."""

ResultT = TypeVar("ResultT")

_UNITS: Final = ("KB", "MB", "GB", "TB")
_STEP: Final = 1000


def size_text(size: int) -> str:
    """Bytes as people read them: `812 B`, `1.2 MB`."""
    if size < _STEP:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / _STEP**power:.1f} {_UNITS[power - 1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryFile:
    """Content in memory that is uploaded as if it were a file."""

    name: str
    body: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


Source = Path | MemoryFile | SeedFile
"""What can be uploaded."""


def open_source(source: Source) -> BinaryIO:
    """The content of a source from its beginning. Raises `OSError`."""
    if isinstance(source, MemoryFile):
        return BytesIO(source.body)
    return source.open("rb") if isinstance(source, Path) else source.open()


class Form:
    """A multipart form whose last field is a file, as chunks for an HTTP client."""

    def __init__(
        self, fields: Mapping[str, str], name: str, file: BinaryIO, on_bytes: OnBytes
    ) -> None:
        boundary = uuid.uuid4().hex
        whole, self.content_type = encode_multipart_formdata(
            [*fields.items(), ("file", (name, b"", "application/octet-stream"))], boundary
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._head = whole.removesuffix(self._tail)
        self._file = file
        self._on_bytes = on_bytes
        self._file_size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.moved = 0
        """Bytes of the file that were read so far."""
        self.size = len(self._head) + self._file_size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Head, file, tail. The file has to have the size that is announced: what is added
        meanwhile stays out. Raises `InputError` when it has become shorter.
        """
        yield self._head
        while left := self._file_size - self.moved:
            chunk = self._file.read(min(_CHUNK_BYTES, left))
            if not chunk:
                raise InputError("the file was changed while it was sent: upload it again")
            self.moved += len(chunk)
            self._on_bytes(len(chunk))
            yield chunk
        yield self._tail


class Transfer:
    """Uploads and downloads. Raises errors of the tree."""

    def __init__(self, url: str, *, pauses: Pauses | None = None) -> None:
        """`url` is the API's: signed URLs are near it, or HTTPS."""
        self._origin = _origin(url)
        self._pool = make_pool(url)
        self._pauses = pauses or Pauses()

    def upload(
        self, url: str, fields: Mapping[str, str], source: Source, on_bytes: OnBytes
    ) -> None:
        """Post a file with the fields of a signed form. Sending it again only replaces it.

        Raises `InputError` when the form is refused, `StorageUnavailableError`.
        """
        self._check_url(url)

        def post() -> None:
            with open_source(source) as file:
                form = Form(fields, source.name, file, on_bytes)
                headers = {"content-type": form.content_type, "content-length": str(form.size)}
                try:
                    response = self._pool.request(
                        "POST", url, body=form, headers=headers, redirect=False
                    )
                    self._check(response, f"the upload of {source.name}")
                except BaseException:
                    on_bytes(-form.moved)
                    raise

        self._again(post, f"the upload of {source.name}")

    def download(
        self, url: str, target: Path, on_bytes: OnBytes, *, size: int | None = None
    ) -> int:
        """Stream a file to `target`, which appears when it is complete; its size in bytes. One
        that is longer than `size` is not taken.

        Raises `ForbiddenError` when the URL is no longer valid, `NotFoundError`, `StorageError`,
        `ConfigurationError` for a URL that is not followed.
        """
        self._check_url(url)
        what = f"the download of {target.name}"
        return self._again(lambda: self._fetch(url, target, on_bytes, what, size), what)

    def _check_url(self, url: str) -> None:
        """A server may send files anywhere over HTTPS, and in the clear only from itself."""
        origin = _origin(url)
        if origin is None or (origin[0] != "https" and origin != self._origin):
            raise ConfigurationError(
                "the API gave a URL that is neither HTTPS nor its own, which is refused"
            )

    def _fetch(self, url: str, target: Path, on_bytes: OnBytes, what: str, size: int | None) -> int:
        moved = 0
        response = self._pool.request("GET", url, redirect=False, preload_content=False)
        try:
            self._check(response, what)
            with replacing(target) as file:
                for chunk in response.stream(_CHUNK_BYTES):
                    file.write(chunk)
                    moved += len(chunk)
                    _check_size(moved, size, what)
                    on_bytes(len(chunk))
        except BaseException:
            on_bytes(-moved)
            response.close()
            raise
        response.release_conn()
        return moved

    def _check(self, response: urllib3.BaseHTTPResponse, what: str) -> None:
        status = response.status
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status in _BUSY:
            raise StorageUnavailableError(f"{what} failed with HTTP {status}: try again")
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"{what}: the file is gone")
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise InputError(f"{what}: the file is larger than is taken")
        if status == HTTPStatus.INSUFFICIENT_STORAGE:
            raise StorageError(f"{what}: the server's disk has no room for it: free some")
        if status in _REFUSED:
            raise ForbiddenError(f"{what} was refused (HTTP {status}): the URL may be too old")
        raise ConfigurationError(f"{what} failed with HTTP {status}")

    def _again(self, act: Callable[[], ResultT], what: str) -> ResultT:
        """Do something that may be repeated until it works, or stays broken."""
        for attempt in range(ATTEMPTS):
            last: SeedwrightError
            try:
                return act()
            except StorageUnavailableError as error:
                last = error
            except HTTPError as exc:
                last = StorageUnavailableError(f"{what}: the connection failed: try again")
                last.__cause__ = exc
            if attempt < ATTEMPTS - 1:
                self._pauses.before(attempt)
        raise last


def _check_size(moved: int, announced: int | None, what: str) -> None:
    if announced is not None and moved > announced:
        raise StorageError(f"{what}: it is longer than the API said: try again")


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port as the pool would use them; None for no such URL."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.host or parts.auth:
        return None
    return parts.scheme, parts.host, parts.port

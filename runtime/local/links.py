"""Signed addresses of objects, which the API server on this machine answers itself.

    POST {base_url}/objects               multipart form: the fields of the upload form, then `file`
    GET  {base_url}/objects/{key}?expires=…&file_name=…&signature=…

They work for a client as those of S3 do. The signature is an HMAC-SHA256 over method, key, expiry
and size limit or file name: whoever holds an address can do with it what it was made for and
nothing else. The key of the HMAC stays in the storage directory, so addresses outlive a restart.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from runtime.disk import disk_errors, exclusive, write_private
from runtime.domain.errors import ConfigurationError, ForbiddenError
from runtime.domain.ports import Clock
from runtime.domain.service_ports import UploadForm

OBJECTS_PATH: Final = "/objects"
"""Where the server takes and gives objects."""

SECRET_BYTES: Final = 32

_UPLOAD: Final = "POST"
_DOWNLOAD: Final = "GET"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """What a form allows: one object under this key, of at most that many bytes."""

    key: str
    max_bytes: int


class LocalLinks:
    """Implements `service_ports.ObjectLinks`, and checks what it gave when it comes back."""

    def __init__(self, *, base_url: str, secret: bytes, clock: Clock) -> None:
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._clock = clock

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> UploadForm:
        expires, size = self._expiry(seconds), str(max_bytes)
        return UploadForm(
            url=f"{self._base_url}{OBJECTS_PATH}",
            fields={
                "key": key,
                "max_bytes": size,
                "expires": expires,
                "signature": self._sign(_UPLOAD, key, expires, size),
            },
        )

    def download_url(self, key: str, *, file_name: str, seconds: int) -> str:
        expires = self._expiry(seconds)
        query = urlencode(
            {
                "expires": expires,
                "file_name": file_name,
                "signature": self._sign(_DOWNLOAD, key, expires, file_name),
            }
        )
        return f"{self._base_url}{OBJECTS_PATH}/{quote(key)}?{query}"

    def check_upload(self, fields: Mapping[str, str]) -> Upload:
        """What the fields of a form allow. Raises `ForbiddenError`."""
        key, size = fields.get("key", ""), fields.get("max_bytes", "")
        self._check(_UPLOAD, key, size, fields)
        return Upload(key=key, max_bytes=int(size))

    def check_download(self, key: str, query: Mapping[str, str]) -> str:
        """The file name under which the object may be read. Raises `ForbiddenError`."""
        file_name = query.get("file_name", "")
        self._check(_DOWNLOAD, key, file_name, query)
        return file_name

    def _check(self, method: str, key: str, detail: str, given: Mapping[str, str]) -> None:
        expires = given.get("expires", "")
        expected = self._sign(method, key, expires, detail)
        if not hmac.compare_digest(_bytes(expected), _bytes(given.get("signature", ""))):
            raise ForbiddenError("the signature doesn't fit this address: ask for a new one")
        # Signed by us, so it is a number.
        if self._clock.now().timestamp() >= int(expires):
            raise ForbiddenError("this address has expired: ask for a new one")

    def _expiry(self, seconds: int) -> str:
        return str(int(self._clock.now().timestamp()) + seconds)

    def _sign(self, *parts: str) -> str:
        # As JSON, because two lists of parts must not read as the same text.
        return hmac.new(self._secret, _bytes(json.dumps(parts)), "sha256").hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _random_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def signing_secret(directory: Path, *, new: Callable[[], bytes] = _random_secret) -> bytes:
    """The secret of an opened storage directory, made on first use and readable by its owner only.
    Raises `ConfigurationError` when it is damaged, or `StorageError`.
    """
    path = directory / "links.key"
    # One of two processes that start together makes it.
    with exclusive(directory / "locks" / "open"), disk_errors(f"open {path}"):
        if not path.exists():
            write_private(path, new())
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ConfigurationError(f"{path} is damaged: delete it, addresses given so far end then")
    return secret

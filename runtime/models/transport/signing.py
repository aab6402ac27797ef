"""Signature version 4 of a request, as botocore writes it, without its objects.

A property test compares every header with botocore's. What is left out is what model calls have no
need of: query strings, bodies that are not signed, and headers that are sent twice.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNSIGNED: Final = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
"""Headers that something on the way may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Credentials as they are at one moment. `token` comes with those that expire."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signs requests to one service in one region."""

    def __init__(self, *, region: str, service: str) -> None:
        self._region = region
        self._service = service

    def sign(
        self,
        keys: Keys,
        *,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
    ) -> dict[str, str]:
        """The headers with their signature. `path` is as it goes over the wire, `headers` have a
        Host, `now` is UTC.
        """
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        signed = {**headers, "X-Amz-Date": stamp}
        if keys.token:
            signed["X-Amz-Security-Token"] = keys.token
        named = sorted(
            (lower, " ".join(value.split()))
            for name, value in signed.items()
            if (lower := name.lower()) not in _UNSIGNED
        )
        names = ";".join(name for name, _ in named)
        lines = "".join(f"{name}:{value}\n" for name, value in named)
        digest = hashlib.sha256(body).hexdigest()
        request = f"{method}\n{_canonical_path(path)}\n\n{lines}\n{names}\n{digest}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        hashed = hashlib.sha256(request.encode()).hexdigest()
        key = _signing_key(keys.secret_key, stamp[:8], self._region, self._service)
        signature = hmac.digest(key, f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashed}".encode(), "sha256")
        signed["Authorization"] = (
            f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names},"
            f" Signature={signature.hex()}"
        )
        return signed


@lru_cache(maxsize=256)
def _canonical_path(path: str) -> str:
    # There is one for each model. The import is botocore's smallest part with its rule in it.
    from botocore.utils import normalize_url_path  # noqa: PLC0415

    return quote(normalize_url_path(path), safe="/~")


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Good for a day, so that it is derived once."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

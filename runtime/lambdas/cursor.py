"""Opaque cursors of lists. A cursor holds its operation, a mark of its user and a position, so that
one that was made for another list or another user is refused. It gives no access: a list is always
the caller's own.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Final

import orjson
from pydantic import Field

from runtime.domain.errors import InputError
from runtime.lambdas.http import ApiModel

MAX_CURSOR_CHARACTERS: Final = 1024
MAX_LIMIT: Final = 100


class PageQuery(ApiModel):
    """Which page of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 20
    """Entries of a page, at most."""
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] | None = None
    """`next_cursor` of the page before."""


def encode_cursor(position: str | None, *, operation: str, caller: str) -> str | None:
    """The cursor of a position; None for the end of the list."""
    if position is None:
        return None
    document = orjson.dumps([operation, _mark(caller), position])
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


def decode_cursor(cursor: str | None, *, operation: str, caller: str) -> str | None:
    """Inverse of `encode_cursor`. Raises `InputError`."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found, mark, position = orjson.loads(
            base64.b64decode(padded, altchars=b"-_", validate=True)
        )
    except (ValueError, TypeError, binascii.Error) as exc:
        raise _not_a_cursor() from exc
    if found != operation or mark != _mark(caller) or not isinstance(position, str):
        raise _not_a_cursor()
    return position


def _not_a_cursor() -> InputError:
    return InputError("cursor: take it from `next_cursor` of the page before, unchanged")


def _mark(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest()[:16]

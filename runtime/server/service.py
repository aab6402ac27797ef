"""What the connections of a local server work with."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from runtime.domain.ports import Clock, ObjectStore
from runtime.local.links import LocalLinks
from runtime.server.pages import Page

MAX_BODY_BYTES: Final = 10 * 2**20
"""Of a request to an operation, as with API Gateway; the operations take less."""


class Dispatch(Protocol):
    """Answers an event: `statusCode`, `headers` and `body` as a Lambda function gives them. It is
    asked only for what `methods_of` allows, from several threads at once.
    """

    def __call__(self, method: str, path: str, event: dict[str, Any], /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What a connection works with."""

    dispatch: Dispatch
    methods_of: Callable[[str], Sequence[str]]
    """The methods of a path (still quoted); none: there is no such path."""
    claims_of: Callable[[str], Mapping[str, str] | None]
    """The claims of a bearer token; None: it is not one of ours."""
    links: LocalLinks
    objects: ObjectStore
    clock: Clock
    new_id: Callable[[], str]
    is_own_name: Callable[[str], bool]
    """Whether a Host header names this server."""
    pages: Mapping[str, Page] = field(default_factory=dict)
    """What is read without a token, by path."""
    max_body_bytes: int = MAX_BODY_BYTES


def one_token(token: str, *, user: str) -> Callable[[str], Mapping[str, str] | None]:
    """`Service.claims_of` for a single user. It takes as long for any wrong token."""

    def claims_of(given: str) -> Mapping[str, str] | None:
        if not token or not hmac.compare_digest(_bytes(given), _bytes(token)):
            return None
        return {"sub": user}

    return claims_of


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")

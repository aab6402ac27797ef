"""Who is allowed to ask: keys that sign, or a token. Keys that expire are renewed off the loop."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol, cast

from runtime.models.transport.off_loop import off_loop
from runtime.models.transport.signing import Keys, Signer
from runtime.models.wire import WireRequest

Headers = dict[str, str]
Authorize = Callable[[WireRequest, Headers], Headers]
"""The headers of a request with the proof that it may be made."""

LOOK_SECONDS: Final = 60.0
"""How often the provider of credentials is asked whether there are new ones."""

TRUSTED_SECONDS: Final = 300.0
"""So old, keys are still good: botocore renews those that have 10 minutes left."""


class Authorization(Protocol):
    """Belongs to the thread of a loop."""

    def prepare(
        self, ready: Callable[[Authorize], None], failed: Callable[[Exception], None]
    ) -> None:
        """Call one of them, now or as soon as it is known."""
        ...


class FixedHeaders:
    """The same headers for every request, such as a bearer token."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def prepare(
        self,
        ready: Callable[[Authorize], None],
        failed: Callable[[Exception], None],  # noqa: ARG002 - the protocol's
    ) -> None:
        ready(lambda _, headers: {**headers, **self._headers})


class SignedByKeys:
    """Signature version 4. `fetch` gives the keys of this moment and may take its time or raise;
    `expires` says whether they ever change.
    """

    def __init__(
        self,
        signer: Signer,
        fetch: Callable[[], Keys],
        *,
        expires: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._signer = signer
        self._fetch = fetch
        self._expires = expires
        self._now = now
        self._keys: Keys | None = None
        self._fetched_at = 0.0
        self._fetching: asyncio.Future[Keys] | None = None
        self._waiting: list[tuple[Callable[[Authorize], None], Callable[[Exception], None]]] = []

    def prepare(
        self, ready: Callable[[Authorize], None], failed: Callable[[Exception], None]
    ) -> None:
        if not self._is_trusted(TRUSTED_SECONDS):
            self._waiting.append((ready, failed))
            self._look()
            return
        if not self._is_trusted(LOOK_SECONDS):
            self._look()
        ready(self._sign)

    def _is_trusted(self, seconds: float) -> bool:
        age = asyncio.get_running_loop().time() - self._fetched_at
        return self._keys is not None and (not self._expires or age < seconds)

    def _look(self) -> None:
        if self._fetching is None:
            self._fetching = off_loop(self._fetch)
            self._fetching.add_done_callback(self._found)

    def _found(self, fetching: asyncio.Future[Keys]) -> None:
        self._fetching = None
        waiting, self._waiting = self._waiting, []
        if fetching.cancelled():
            return
        error = fetching.exception()
        if error is None:
            self._keys = fetching.result()
            self._fetched_at = asyncio.get_running_loop().time()
        for ready, failed in waiting:
            if error is None:
                ready(self._sign)
            else:
                failed(cast("Exception", error))

    def _sign(self, wire: WireRequest, headers: Headers) -> Headers:
        return self._signer.sign(
            cast("Keys", self._keys),
            method=wire.method,
            path=wire.path,
            headers=headers,
            body=wire.body,
            now=self._now(),
        )

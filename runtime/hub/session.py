"""The HTTP client of huggingface_hub while this thread pushes: it waits for a time and no longer,
takes answers up to a size, and writes nothing to the terminal.

Where hf_xet is installed it moves the bytes of large files itself, by limits of its own.

The client, its loggers and its bars belong to the whole process. So nothing is replaced: hooks and
a filter are added once, and act in a thread that pushes and in no other.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import httpx2
from huggingface_hub import get_session
from huggingface_hub.utils.tqdm import disable_progress_bars

from runtime.domain.errors import StorageError

_MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
_CONNECT_SECONDS: Final = 10.0
_REPLY_SECONDS: Final = 120.0
"""A commit of many files takes the Hub a minute."""

_pushing: ContextVar[bool] = ContextVar("pushing", default=False)
_most: ContextVar[int] = ContextVar("most", default=_MAX_REPLY_BYTES)


@contextmanager
def hub_session(most: int = _MAX_REPLY_BYTES) -> Iterator[None]:
    """For the length of the block, this thread's requests are bounded, and nothing is printed. An
    answer has at most `most` bytes.
    """
    mark = _pushing.set(True)
    limit = _most.set(most)
    for handler in logging.getLogger("huggingface_hub").handlers:
        if _is_ours not in handler.filters:
            handler.addFilter(_is_ours)
    try:
        with disable_progress_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            guard_client()
            yield
    finally:
        _pushing.reset(mark)
        _most.reset(limit)


def guard_client() -> None:
    """Add the hooks to the client, which huggingface_hub makes anew after a failure: to be called
    before each of its operations.
    """
    client = get_session()
    hooks = client.event_hooks
    if _on_request not in hooks["request"]:
        client.event_hooks = {
            "request": [*hooks["request"], _on_request],
            "response": [*hooks["response"], _on_response],
        }


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether somebody else's record, which is to be written."""
    del record
    return not _pushing.get()


def _on_request(request: httpx2.Request) -> None:
    if _pushing.get():
        waits = dict.fromkeys(("read", "write", "pool"), _REPLY_SECONDS)
        request.extensions = {
            **request.extensions,
            "timeout": {**waits, "connect": _CONNECT_SECONDS},
        }
        request.headers["accept-encoding"] = "identity"


def _on_response(response: httpx2.Response) -> None:
    """What is compressed was not asked for, and may be larger than it looks."""
    if not _pushing.get():
        return
    if response.headers.get("content-encoding", "identity") != "identity":
        raise StorageError("the Hub gave a compressed answer, which was not asked for")
    assert isinstance(response.stream, httpx2.SyncByteStream)  # noqa: S101 - the client is no async one
    response.stream = _Bounded(response.stream)


class _Bounded(httpx2.SyncByteStream):
    """The bytes of an answer, up to a limit."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream
        self._most = _most.get()

    def __iter__(self) -> Iterator[bytes]:
        taken = 0
        for chunk in self._stream:
            taken += len(chunk)
            if taken > self._most:
                raise StorageError("the Hub gave an answer without an end: check the endpoint")
            yield chunk

    def close(self) -> None:
        self._stream.close()

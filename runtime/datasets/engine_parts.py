"""What `generate` and the worker of `serve` have in common: which models, and where logs go."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from runtime.bootstrap import BEDROCK, bedrock_models, embedded_model
from runtime.disk import disk_errors
from runtime.domain.models.calls import ModelClient
from runtime.logs import configure

BEDROCK_CONCURRENCY: Final = 32
LOCAL_CONCURRENCY: Final = 2
"""Slots of the embedded model: more only share the same cores."""

LOCAL_CHECKPOINT_INTERVAL: Final = 500
"""The journal keeps every finished record at once, so batches may be larger than on AWS."""


def open_models(backend: str, concurrency: int | None) -> tuple[int, ModelClient]:
    """How many calls at a time, and the client that makes them. Raises `ConfigurationError`."""
    if backend == BEDROCK:
        calls = concurrency or BEDROCK_CONCURRENCY
        return calls, bedrock_models(calls)
    calls = concurrency or LOCAL_CONCURRENCY
    return calls, embedded_model(calls)


@contextmanager
def log_to(path: Path) -> Iterator[TextIO]:
    """Append what the engine logs to a file, which is open for the length of the block."""
    with disk_errors(f"open {path}"):
        stream: TextIO = path.open("a", encoding="utf-8")
    # On a full disk it is the error that counts, not that it could not be logged.
    shown, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        configure(stream)
        yield stream
    finally:
        logging.raiseExceptions = shown
        with suppress(OSError):
            stream.close()

"""What a dataset's run and the worker of `serve` have in common: which models, where logs go."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from runtime.bootstrap import BEDROCK, bedrock_models, embedded_model
from runtime.domain.errors import InputError
from runtime.domain.models.calls import ModelClient
from runtime.local.database import disk_errors
from runtime.logs import logged_to

BACKENDS: Final = ("local", BEDROCK)
"""Where models run: embedded in this process, or Amazon Bedrock."""

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


def check_backend(name: str) -> str:
    """Where models run, by its name. Raises `InputError`."""
    if name not in BACKENDS:
        raise InputError(f"backend {name!r} is unknown: use {', '.join(BACKENDS)}")
    return str(name)


@contextmanager
def log_to(path: Path, *, job_id: str | None = None) -> Iterator[TextIO]:
    """Append what the engine logs to a file, which is open for the length of the block. With
    `job_id`, lines of other jobs are left out. Logging is afterwards as it was.
    """
    with disk_errors(f"open {path}"):
        stream: TextIO = path.open("a", encoding="utf-8")
    try:
        with logged_to(stream, job_id=job_id):
            yield stream
    finally:
        with suppress(OSError):
            stream.close()

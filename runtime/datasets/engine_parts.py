"""What `generate` and the worker of `serve` have in common: batch size, and where logs go."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from runtime.disk import disk_errors
from runtime.logs import configure

LOCAL_CHECKPOINT_INTERVAL: Final = 500
"""The journal keeps every finished record at once, so batches may be larger than on AWS."""


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

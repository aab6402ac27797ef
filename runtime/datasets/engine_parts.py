"""What a dataset's run and the worker of `serve` have in common: batch size, where logs go."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from runtime.disk import disk_errors
from runtime.logs import logged_to

LOCAL_CHECKPOINT_INTERVAL: Final = 500
"""The journal keeps every finished record at once, so batches may be larger than on AWS."""


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

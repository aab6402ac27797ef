"""What a dataset's run, its worker processes and that of `serve` have in common: batch size, how
often they say that they live, where logs go.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from runtime.disk import disk_errors
from runtime.logs import logged_to
from runtime.models.registry import OpenedModels
from runtime.worker.settings import WorkerSettings

LOCAL_CHECKPOINT_INTERVAL: Final = 500
"""The journal keeps every finished record at once, so batches may be larger than on AWS."""

_HEARTBEAT_SECONDS: Final = 2.0
"""How soon a cancelled job stops; in SQLite a heartbeat costs next to nothing."""

_FLUSH_SECONDS: Final = 2.0
"""How old the progress that users see may be. The journal keeps every record at once anyway."""


def process_settings(models: OpenedModels) -> WorkerSettings:
    """Of a worker in a process of its own, whose progress is read from the storage."""
    return WorkerSettings(
        checkpoint_interval=LOCAL_CHECKPOINT_INTERVAL,
        flush_seconds=_FLUSH_SECONDS,
        heartbeat_seconds=_HEARTBEAT_SECONDS,
        concurrency=models.concurrency,
        limits=models.limits,
    )


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

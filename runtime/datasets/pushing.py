"""A dataset's folder on its way to the Hub: whole, and nobody generating into it meanwhile."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from runtime.bootstrap import SystemClock
from runtime.datasets.folder import PARTIAL, DatasetFolder
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.job import JobStatus
from runtime.hub.observer import Pushed, PushObserver
from runtime.hub.push import push
from runtime.hub.selection import select_files
from runtime.hub.target import read_target
from runtime.local.storage import open_storage


def push_dataset(
    path: Path,
    repo: object,
    observer: PushObserver,
    *,
    private: bool = True,
    token: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Push the dataset in the folder `path` to the repository `owner/name`.

    Raises `InputError` for a dataset that is not complete or has no card or no rows, and what
    `read_target` and `push` raise.
    """
    target = read_target(
        repo,
        os.environ,
        private=private,
        revision=revision,
        message=message,
        endpoint=endpoint,
    )
    with _complete(path):
        return push(select_files(path), target, token=token, observer=observer)


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Hold the folder's lock, if it was generated here, for as long as its files are read."""
    go_on = f"before a push run `seedwright resume {path}`"
    if (path / PARTIAL).exists():
        raise InputError(f"the dataset in {path} is not complete: {go_on}")
    folder = DatasetFolder(path)
    if not folder.state.is_dir():
        yield  # it was downloaded or copied, and has no state
        return
    job_id, _ = folder.begun()
    with folder.locked():
        with closing(open_storage(folder.state, clock=SystemClock())) as storage:
            try:
                status = storage.jobs.get_job(job_id).status
            except NotFoundError:
                status = JobStatus.QUEUED
        if status is not JobStatus.COMPLETED:
            more = " with a larger --budget" if status is JobStatus.BUDGET_EXCEEDED else ""
            raise InputError(f"the dataset in {path} is not complete: {go_on}{more}")
        yield

"""File locks that prove whether the process that claimed work is still alive.

A claim takes the lock file `<work id>.<fence>.lock` and keeps it open; the kernel frees the lock
when the process ends, by SIGKILL too, so a rerun recovers at once and needn't watch heartbeats.
A fence is claimed once, so a lock file is never shared by two claims and may be removed with its
claim. Locks belong to an open file description (flock), so threads of a process exclude each other.
"""

import os
import weakref
from contextlib import suppress
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from runtime.disk import disk_errors, open_lock, try_lock
from runtime.domain.errors import StorageUnavailableError


class Owner(Enum):
    """Who holds the lock of a claim."""

    GONE = "gone"
    THIS_PROCESS = "this process"
    OTHER_PROCESS = "other process"


class WorkLocks:
    """The lock files of one directory. Every method raises `StorageError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[tuple[str, int], int] = {}
        with disk_errors(f"create {directory}"):
            directory.mkdir(parents=True, exist_ok=True)
        _instances.add(self)

    def take(self, work_id: str, fence: int) -> None:
        """Hold the lock until `drop` or the end of the process."""
        path = self._path(work_id, fence)
        with disk_errors(f"lock {path}"):
            descriptor = open_lock(path)
            try:
                held = try_lock(descriptor)
                if held:
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, b"%d" % os.getpid())
            except BaseException:
                os.close(descriptor)
                raise
        if not held:
            # Another process claimed this fence, could not commit it and is about to let go.
            os.close(descriptor)
            raise StorageUnavailableError(f"{path} is held: try again")
        self._held[work_id, fence] = descriptor

    def drop(self, work_id: str, fence: int) -> None:
        """Let go of a lock; fine when it isn't held."""
        descriptor = self._held.pop((work_id, fence), None)
        if descriptor is not None:
            os.close(descriptor)

    def remove(self, work_id: str, fence: int) -> None:
        """Delete the lock file of a claim that has ended; whoever holds it counts as gone."""
        with suppress(OSError):  # a file left behind costs nothing
            self._path(work_id, fence).unlink()

    def owner(self, work_id: str, fence: int) -> Owner:
        """Who holds the lock. It is asked with a shared lock, so that two askers don't see
        each other.
        """
        path = self._path(work_id, fence)
        with disk_errors(f"inspect {path}"):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return Owner.GONE
            try:
                if try_lock(descriptor, shared=True):
                    return Owner.GONE
                pid = os.read(descriptor, 32)
                return Owner.THIS_PROCESS if pid == b"%d" % os.getpid() else Owner.OTHER_PROCESS
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Let go of every lock."""
        for work_id, fence in tuple(self._held):
            self.drop(work_id, fence)

    def _path(self, work_id: str, fence: int) -> Path:
        return self._directory / f"{quote(work_id, safe='')}.{fence}.lock"


_instances: weakref.WeakSet[WorkLocks] = weakref.WeakSet()


def _close_in_child() -> None:
    # A forked child shares the lock; without this it would keep a dead parent's work locked.
    for locks in tuple(_instances):
        locks.close()


os.register_at_fork(after_in_child=_close_in_child)

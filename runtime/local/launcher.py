"""Starting a worker on a laptop: one runs already, and is notified that there is work."""

import threading
from collections.abc import Callable
from datetime import datetime

from runtime.domain.errors import LaunchError
from runtime.domain.service_ports import WorkItem


class LocalLauncher:
    """Implements `service_ports.Launcher`. Thread safe.

    `on_launch` is called in the thread that launches, so it should return at once: set an event, or
    start a process. It is called once for each launch; what it raises means that nothing started.
    """

    def __init__(self, on_launch: Callable[[WorkItem], None]) -> None:
        self._on_launch = on_launch
        self._lock = threading.Lock()
        self._launched: dict[tuple[str, datetime], int] = {}

    def launch(
        self,
        item: WorkItem,
        *,
        number: int,
        created_at: datetime,
        on_demand: bool,  # noqa: ARG002 - a laptop costs the same
    ) -> None:
        work = item.work_id, created_at
        with self._lock:
            if number <= self._launched.get(work, 0):
                return
            try:
                self._on_launch(item)
            except Exception as exc:
                raise LaunchError("the worker of this process could not be started") from exc
            self._launched[work] = number

    def stop(self, owner: str) -> int:  # noqa: ARG002 - see below
        """Nothing: work is taken from a worker here only when its process has died, which the lock
        on its file proves, and a machine of one's own has no quota to free.
        """
        return 0

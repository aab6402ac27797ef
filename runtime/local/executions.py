"""Sharded jobs on a laptop: the worker that is there takes shards from the queue by itself."""

from collections.abc import Callable
from datetime import datetime

from runtime.domain.errors import LaunchError
from runtime.domain.service_ports import WorkItem


class LocalExecutions:
    """Implements `service_ports.Executions`: there are none. `on_launch` is as in `LocalLauncher`:
    whoever takes work from the queue is told that there is some.
    """

    def __init__(self, on_launch: Callable[[WorkItem], None]) -> None:
        self._on_launch = on_launch

    def begin_execution(
        self,
        item: WorkItem,
        *,
        number: int,  # noqa: ARG002 - to be told twice does no harm
        created_at: datetime,  # noqa: ARG002
    ) -> None:
        try:
            self._on_launch(item)
        except Exception as exc:
            raise LaunchError("the worker of this process could not be started") from exc

    def is_running(
        self,
        job_id: str,  # noqa: ARG002
        *,
        number: int,  # noqa: ARG002
        created_at: datetime,  # noqa: ARG002
    ) -> bool:
        """Never: there is nothing that anybody would have to wait for."""
        return False

    def stop(self, job_id: str, *, number: int, created_at: datetime) -> bool:  # noqa: ARG002
        """Nothing: workers look by themselves whether their job was cancelled."""
        return False

"""What the sweeper does on AWS for jobs whose deletion takes longer than a request: a thread."""

import logging
import threading
from typing import Final

from runtime.domain.errors import SeedwrightError
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.events.sweep_queue import go_on_deleting
from runtime.logs import event

POLL_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Deletions:
    """Goes on with deletions of this folder, those of an earlier start too."""

    def __init__(self, ports: ApiPorts, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._ports = ports
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deletions", daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End soon. What is not gone then goes on at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                go_on_deleting(self._ports, enough=self._stopping.is_set)
            except SeedwrightError as error:
                event(_log, logging.ERROR, "deletions not found", error=error.code)

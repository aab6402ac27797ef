"""When what waits is saved, and how often that is tried."""

from typing import Final

from runtime.domain.ports import Clock
from runtime.worker.settings import WorkerSettings

MAX_FLUSH_ATTEMPTS: Final = 5
FLUSH_RETRY_SECONDS: Final = 1.0
"""First pause after a batch could not be saved; it doubles. The SDK has retried before that."""


class FlushTimes:
    """Of one claim. `failed` counts the attempts since something was saved."""

    def __init__(self, clock: Clock, settings: WorkerSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._began_at = clock.monotonic()
        self.failed = 0

    def begin(self) -> None:
        """What waits is saved now."""
        self._began_at = self._clock.monotonic()

    def seconds_left(self, waiting: int) -> float:
        """Until so many lines are to be saved; 0 or less is now."""
        since = self._clock.monotonic() - self._began_at
        if self.failed:
            return FLUSH_RETRY_SECONDS * 2.0 ** (self.failed - 1) - since
        if waiting >= self._settings.checkpoint_interval:
            return 0.0
        return self._settings.flush_seconds - since

    def room(self, waiting: int) -> int | None:
        """How many more records may be begun; None: as many as there are. Limited only while a
        batch can't be saved: then one batch beyond the failed one is the most that is paid for
        (requirement S6.4).
        """
        if not self.failed:
            return None
        return max(2 * self._settings.checkpoint_interval - waiting, 0)

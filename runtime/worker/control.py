"""Why a worker has to stop, notified by any thread or signal handler to the owner thread."""

from collections.abc import Callable
from enum import IntEnum


class StopReason(IntEnum):
    """Ordered by force: a stronger reason replaces a weaker one."""

    SHUTDOWN = 1
    """SIGTERM or Ctrl-C: finish what is paid for, hand the rest back."""
    CANCELLED = 2
    """The user cancelled the job: keep what is paid for, end it."""
    LEASE_LOST = 3
    """Somebody else owns the work: write nothing more."""


class Control:
    """Holds the strongest reason so far. A handler may call `stop`, even inside another `stop`."""

    def __init__(self) -> None:
        # Appending is atomic. To compare and then assign would let a weaker reason, notified at the
        # same moment, replace a stronger one.
        self._reasons: list[StopReason] = []
        self._wake: Callable[[], None] | None = None
        self.lease_trusted: Callable[[], bool] = lambda: True
        """Whether nobody else can have taken the work by now; set by whoever renews the lease."""

    @property
    def reason(self) -> StopReason | None:
        """The strongest reason to stop, if any."""
        return max(self._reasons, default=None)

    def stop(self, reason: StopReason) -> None:
        """Ask the owner thread to stop; safe to call again."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        if self._wake is not None:
            self._wake()

    def on_stop(self, wake: Callable[[], None] | None) -> None:
        """What interrupts the owner's wait."""
        self._wake = wake

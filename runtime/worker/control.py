"""Why a worker has to stop, told from any thread or signal handler to the owner thread."""

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
    """Holds the strongest reason so far. Assignments are atomic; a handler may call `stop`."""

    def __init__(self) -> None:
        self._reason: StopReason | None = None
        self._wake: Callable[[], None] | None = None

    @property
    def reason(self) -> StopReason | None:
        """The strongest reason to stop, if any."""
        return self._reason

    def stop(self, reason: StopReason) -> None:
        """Ask the owner thread to stop; safe to call again."""
        if self._reason is None or reason > self._reason:
            self._reason = reason
        if self._wake is not None:
            self._wake()

    def on_stop(self, wake: Callable[[], None] | None) -> None:
        """What interrupts the owner's wait."""
        self._wake = wake

"""How a run is asked to stop."""

from collections.abc import Callable


class StopRequest:
    """Asks a run to begin nothing new, to keep what is paid for, and to end.

    `request` may be called from any thread or signal handler, again, and before the run begins.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listener: Callable[[], None] | None = None

    def request(self) -> None:
        """Ask. The run ends when the calls in flight have ended."""
        # Each side writes first and reads second, so one of them sees the other.
        self.requested = True
        if self._listener is not None:
            self._listener()

    def connect(self, listener: Callable[[], None]) -> None:
        """Call `listener`, which may be repeated, when there is a request or was one."""
        self._listener = listener
        if self.requested:
            listener()

"""Nobody listens on a laptop: whoever runs a job there watches it."""

from collections.abc import Callable


class NoAnnouncer:
    """Implements `service_ports.Announcer`. Nothing is kept to be announced."""

    def announce(self, *, enough: Callable[[], bool]) -> int:  # noqa: ARG002 - see the module
        return 0

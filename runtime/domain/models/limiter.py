"""How many calls of one model may be in flight: additive increase, multiplicative decrease.

One limiter is shared by all calls of a model, so the first refusal slows every dispatch. The SDK's
own adaptive mode limits per client object and wakes up only after a throttle.
"""

from typing import Final

DECREASE: Final = 0.7
"""Factor on a refusal. Gentler than TCP's 0.5, since a refused call costs a round trip only."""

QUIET_SECONDS: Final = 0.5
"""Refusals this close to the last decrease belong to the same burst and decrease nothing."""


class AdaptiveLimiter:
    """A window of 1..`maximum` calls. It begins fully open: a quota is found by meeting it."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._window = float(maximum)
        self._last_decrease = float("-inf")

    @property
    def window(self) -> int:
        """Calls that may be in flight now."""
        return int(self._window)

    def succeeded(self) -> None:
        """One more call for every window of successes."""
        self._window = min(self._maximum, self._window + 1.0 / self._window)

    def refused(self, now: float) -> None:
        """Shrink, once a burst. `now` is monotonic seconds."""
        if now - self._last_decrease >= QUIET_SECONDS:
            self._window = max(1.0, self._window * DECREASE)
            self._last_decrease = now

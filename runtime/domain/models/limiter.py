"""How many calls of one model may be in flight: it grows with every reply, and shrinks when the
service refuses.

One limiter is shared by all calls of a model, so the first refusal slows every dispatch. The SDK's
own adaptive mode limits per client object and wakes up only after a throttle.

The window comes back as CUBIC, the usual congestion control of TCP, does it: quickly to near the
size at which it was refused, slowly past it, and ever faster the longer nothing is refused, since
then the quota must be another. CUBIC's curve is in segments; this one is in parts of the window,
so that it takes as long whatever the quota is.

    at a refusal        to 0.7 of the window
    after 1.4 s         back to the window that was refused, and level there
    after 4.2 s         three times that window, if nothing is refused
"""

import math
from typing import Final

MAX_CONCURRENCY: Final = 1024
"""More calls at a time nobody may ask for."""

DECREASE: Final = 0.7
"""Factor on a refusal. Gentler than TCP's 0.5, since a refused call costs a round trip only."""

QUIET_SECONDS: Final = 0.5
"""Refusals this close to the last decrease belong to the same burst and decrease nothing."""

GROWTH: Final = 0.1
"""How steep the curve is: with it a window has tripled within 4.4 s of the last refusal."""

_LEVEL_SECONDS: Final = ((1.0 - DECREASE) / GROWTH) ** (1.0 / 3.0)
"""After so long the curve is level, at the size that was refused."""

REPLIES: Final = 30
STEP: Final = 0.2
CREDIT: Final = 0.4
FIRST: Final = 0.5
MAX_STRETCH: Final = math.log(16.0)
SMOOTHING: Final = 0.1
MAX_PAUSE: Final = 8.0


class AdaptiveLimiter:
    """A window of 1..`maximum` calls. It begins fully open: a quota is found by meeting it. Times
    are monotonic seconds.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._window = float(maximum)
        self._refused_at = float(maximum)
        self._last_decrease = float("-inf")
        self._age = float("inf")
        """How far on the curve the window is, in stretched seconds since the last decrease."""
        self._stretch = 0.0
        """Natural logarithm of the factor by which the curve takes longer."""
        self._last_reply = float("-inf")
        self._interval = 0.0
        """Seconds between two replies, smoothed."""
        self._carry = 0.0
        """Parts of a call that replies have left over: each whole one is a call more."""
        self._bursts = 0
        """Of refusals, without a reply between."""
        self.opens_at = float("-inf")
        """No call before: the place of a refused one is not filled at once."""

    @property
    def window(self) -> int:
        """Calls that may be in flight now."""
        return int(self._window)

    def has_room(self, now: float, *, in_flight: int) -> bool:
        """Whether one more call may be sent."""
        return in_flight < self.window + int(self._carry) and now >= self.opens_at

    def succeeded(self, now: float) -> None:
        self._bursts = 0
        since = now - max(self._last_reply, self._last_decrease)
        if self._last_reply > float("-inf"):
            self._interval += SMOOTHING * (now - self._last_reply - self._interval)
        self._last_reply = now
        self._stretch = max(-CREDIT, self._stretch - STEP / REPLIES)
        slower = math.exp(-max(0.0, self._stretch))
        self._age += since * slower
        curve = self._refused_at * (1.0 + GROWTH * (self._age - _LEVEL_SECONDS) ** 3)
        growth = max(slower / self._window, min(1.0, curve - self._window))
        self._window = min(self._maximum, self._window + growth)
        self._carry = self._carry % 1.0 + self._window % 1.0

    def refused(self, now: float, *, jitter: float) -> None:
        """Shrink, once a burst."""
        if now - self._last_decrease >= QUIET_SECONDS:
            self._bursts += 1
            self._stretch = min(MAX_STRETCH, self._stretch + STEP)
            # Refused below the last refusal: the quota is falling, and the curve levels lower.
            is_falling = self._window < self._refused_at
            self._refused_at = self._window * ((1.0 + DECREASE) / 2.0 if is_falling else 1.0)
            self._window = max(1.0, self._window * DECREASE)
            self._last_decrease = now
            self._age = 0.0
            self._carry = 0.0
            pause = min(MAX_PAUSE, (self._interval or FIRST) * 2.0 ** min(self._bursts, 8))
            self.opens_at = now + pause * jitter
        else:
            self.opens_at = max(self.opens_at, now + self._interval * jitter)

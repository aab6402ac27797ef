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

Where several workers share a quota, or calls take long, few replies come in such a time, and the
next refusal is due after a handful. So the curve is stretched in time until a worker has some 50
replies between two bursts of refusals: each burst stretches it, each reply takes a part of that
back. That needs no word from the other workers.
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

REPLIES_A_BURST: Final = 50
"""Replies for each burst of refusals, at which the stretch stays as it is. A burst is often more
than one refusal, so that this keeps them below 5 % of the calls, and not at 2 %."""

STRETCH_STEP: Final = 0.2
"""By how much, as a natural logarithm, a burst stretches the curve."""

STRETCH_LEAST: Final = -2 * STRETCH_STEP
"""What replies in a row can save up: two bursts after a long quiet stretch nothing."""

STRETCH_MOST: Final = math.log(16.0)
"""With it the curve is level after 23 s, so that a quota that grew is found within a minute."""

SMALL_WINDOW: Final = 3.0
LARGE_WINDOW: Final = 5.0
"""Up to a small window nothing is stretched, from a large one on all is: one call of two or three
more or less is a good part of the quota, and a refusal costs less than not to use it."""

MAX_PAUSE: Final = 8.0
"""Most seconds without a call while the service only refuses."""

_LEVEL_SECONDS: Final = ((1.0 - DECREASE) / GROWTH) ** (1.0 / 3.0)
"""After so long the curve is level, at the size that was refused."""


class AdaptiveLimiter:
    """A window of 1..`maximum` calls. It begins fully open: a quota is found by meeting it. Times
    are monotonic seconds.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._window = float(maximum)
        self._refused_at = float(maximum)
        self._last_decrease = float("-inf")
        self._age_at = float("-inf")
        self._age = float("inf")
        """Where on the curve the window is: seconds since the last decrease, as it counts them."""
        self._stretch = STRETCH_LEAST
        """Natural logarithm of how much longer the curve takes; below 0 it is saved up."""
        self._bursts = 0
        """Of refusals, since the last reply."""
        self._has_replies = False
        self.opens_at = float("-inf")
        """No call may be sent before: the service only refuses."""

    @property
    def window(self) -> int:
        """Calls that may be in flight now."""
        return int(self._window)

    def has_room(self, now: float, *, in_flight: int) -> bool:
        """Whether one more call may be sent while so many are out."""
        return in_flight < self.window and now >= self.opens_at

    def succeeded(self, now: float) -> None:
        """Grow along the curve: at least by one call for every window of successes, or for as many
        windows as the curve is stretched by, at most by one for each, so that calls that take long
        are not many more before the first of them is back.
        """
        self._has_replies = True
        self._bursts = 0
        self._stretch = max(STRETCH_LEAST, self._stretch - STRETCH_STEP / REPLIES_A_BURST)
        pace = self._pace()
        if self._age_at > float("-inf"):
            self._age += (now - self._age_at) * pace
        self._age_at = now
        curve = self._refused_at * (1.0 + GROWTH * (self._age - _LEVEL_SECONDS) ** 3)
        growth = max(pace / self._window, min(1.0, curve - self._window))
        self._window = min(self._maximum, self._window + growth)

    def refused(self, now: float, *, jitter: float) -> None:
        """Shrink, once a burst. `jitter` is uniform in [0, 1): it spreads the workers of a quota
        that takes nothing at all now.
        """
        if now - self._last_decrease >= QUIET_SECONDS:
            self._bursts += 1
            if self._bursts == 1:
                # Those without a reply between are no probes: the service takes nothing now.
                self._stretch = min(STRETCH_MOST, self._stretch + STRETCH_STEP)
            # Refused below the last refusal: the quota is falling, and the curve levels lower.
            is_falling = self._window < self._refused_at
            self._refused_at = self._window * ((1.0 + DECREASE) / 2.0 if is_falling else 1.0)
            self._window = max(1.0, self._window * DECREASE)
            self._last_decrease = self._age_at = now
            self._age = 0.0
            if self._bursts > 1 or not self._has_replies:
                # Places of refused calls would be filled, and refused again, ten times a second.
                pause = min(MAX_PAUSE, QUIET_SECONDS * 2.0 ** min(self._bursts, 8))
                self.opens_at = now + pause * jitter

    def _pace(self) -> float:
        """Seconds of the curve in a second."""
        part = (self._window - SMALL_WINDOW) / (LARGE_WINDOW - SMALL_WINDOW)
        return math.exp(-max(0.0, self._stretch) * min(1.0, max(0.0, part)))

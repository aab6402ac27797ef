"""Tells whoever shows a run what it waits for, so that a run that waits doesn't look hung."""

from collections.abc import Callable
from typing import Final

from runtime.domain.errors import ModelErrorKind
from runtime.domain.jobs.activity import REASONS, Activity, WaitReason
from runtime.domain.ports import Clock

ACTIVITY_SECONDS: Final = 1.0
"""Between two reports."""


class ActivityReport:
    """Owned by the thread that generates."""

    def __init__(self, clock: Clock, on_activity: Callable[[Activity], None]) -> None:
        self._clock = clock
        self._on_activity = on_activity
        self._due = float("-inf")
        self._reason = WaitReason.FAILING

    def failed(self, kind: ModelErrorKind) -> None:
        """A call failed and will be made again."""
        self._reason = REASONS.get(kind, WaitReason.FAILING)

    def report(
        self,
        *,
        in_flight: int,
        waiting_until: float | None,
        probe_at: float | None,
        last_reply: float,
    ) -> None:
        """Say how it stands, if that is due. `probe_at` is when a model that is down is asked."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + ACTIVITY_SECONDS
        reason = None if waiting_until is None else self._reason
        if probe_at is not None:
            reason, waiting_until = WaitReason.OUTAGE, probe_at
        self._on_activity(
            Activity(
                in_flight=in_flight,
                last_reply=last_reply,
                reason=reason,
                waiting_until=waiting_until,
            )
        )

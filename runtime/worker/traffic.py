"""The calls of one model: how many are out, and how many may be."""

from typing import Final

from runtime.domain.models.limiter import AdaptiveLimiter
from runtime.domain.models.outage import Outage
from runtime.domain.models.retry import RetryRule
from runtime.engine.record_task import RecordTask


class Traffic:
    """A limiter, which finds out how many calls a model takes, and a look-out for its outages.
    Times are monotonic seconds.
    """

    def __init__(self, concurrency: int) -> None:
        self._limiter = AdaptiveLimiter(concurrency)
        self.outage: Final = Outage()
        self.in_flight = 0
        self._replies = 0
        self._closed_until = float("-inf")

    def has_room(self, now: float) -> bool:
        """Whether one more call may be sent."""
        if now < self._closed_until:
            return False
        has_room = self._limiter.has_room(now, in_flight=self.in_flight)
        return has_room and self.outage.may_send(now, in_flight=self.in_flight)

    @property
    def next_probe(self) -> float | None:
        """When to ask whether the model is back; None while it is not down, or is being asked."""
        return self.outage.probe_at if self.outage.is_on and not self.in_flight else None

    def answered(self, now: float) -> None:
        """A call came back with a reply."""
        self._replies += 1
        self._limiter.succeeded(now)
        self.outage.answered()

    def refused(
        self,
        task: RecordTask,
        rule: RetryRule,
        now: float,
        *,
        jitter: float,
        retry_after: float | None = None,
    ) -> None:
        """A call failed, and this is the rule for how it did. Where others were answered between
        two failures of one record, the second says nothing about the model. `retry_after` is how
        many seconds the provider wants no more calls of this model.
        """
        if retry_after is not None:
            self._closed_until = max(self._closed_until, now + retry_after)
        is_own = task.attempts.total > 0 and self._replies > task.replies_seen
        task.replies_seen = self._replies
        if rule.slows_dispatch:
            self._limiter.refused(now, jitter=jitter)
        if rule.is_outage and not is_own:
            self.outage.failed(now, jitter=jitter, is_suspect=task.is_suspect)

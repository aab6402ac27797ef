"""When a model seems to be down: one call at a time asks whether it is back.

    answering ── FAILURES_OF_AN_OUTAGE without a reply between ──▶ down ── a reply ──▶ answering

So an outage costs at most the calls that were in flight when it began, and one call a probe,
however many records wait and whatever the service bills for a call that it did not answer.
"""

from typing import Final

FAILURES_OF_AN_OUTAGE: Final = 5
"""Failures of the service, with no reply between, after which a model counts as down."""

FIRST_PROBE_SECONDS: Final = 1.0
MAX_PROBE_SECONDS: Final = 20.0
"""Longest pause between two probes: what is lost at most once the model is back."""
SUSPECT_PROBE_SECONDS: Final = 2.0
"""The same after a record that an earlier pass failed, too. Where only such are left, the reason is
rather in them, and each has one attempt."""


class Outage:
    """One model's outages. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._probes = 0
        self._probe_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the model counts as down."""
        return self._failures >= FAILURES_OF_AN_OUTAGE

    @property
    def probe_at(self) -> float:
        """When the next probe may be sent, while the model is down."""
        return self._probe_at

    def may_send(self, now: float, *, in_flight: int) -> bool:
        """Whether one more call may be sent while `in_flight` calls of this model are out."""
        return not self.is_on or (in_flight == 0 and now >= self._probe_at)

    def answered(self) -> None:
        """The model is up."""
        self._failures = self._probes = 0

    def failed(self, now: float, *, jitter: float, is_suspect: bool = False) -> None:
        """A call failed by the service; `is_suspect` says that an earlier pass failed its record.
        `jitter` is uniform in [0, 1): a pause is spread over its upper half, so that many workers
        don't probe at once and none probes in a rush.
        """
        self._failures += 1
        # Calls that were in flight when it began fail together: they are one sign, not many.
        if self.is_on and now >= self._probe_at:
            longest = SUSPECT_PROBE_SECONDS if is_suspect else MAX_PROBE_SECONDS
            pause = min(FIRST_PROBE_SECONDS * 2.0 ** min(self._probes, 16), longest)
            self._probe_at = now + pause * (0.5 + 0.5 * jitter)
            self._probes += 1

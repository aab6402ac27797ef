"""When failures end a run: nothing was answered for long, or record after record has failed."""

from runtime.domain.errors import ModelsFailingError, RecordsFailingError, SeedwrightError
from runtime.domain.jobs.record import Failure
from runtime.domain.models.retry import (
    MAX_CONSECUTIVE_FAILURES,
    STALL_SECONDS,
    is_service_failure,
)
from runtime.domain.ports import Clock


class LosingStreak:
    """What has gone wrong since something went right.

    `longest_wait` is seconds for one call: nobody is given up before two such calls could end.
    """

    def __init__(self, clock: Clock, *, longest_wait: float) -> None:
        self._clock = clock
        self._stall_seconds = max(STALL_SECONDS, 2 * longest_wait)
        self._failed = 0
        self._own = 0
        self._last_record = clock.monotonic()
        self.last_reply = self._last_record
        """When some model gave a reply, or the run began; monotonic seconds."""

    def answered(self) -> None:
        """Some model gave a reply."""
        self.last_reply = self._clock.monotonic()

    def finished(self) -> None:
        """A record is complete."""
        self._failed = self._own = 0
        self._last_record = self._clock.monotonic()

    def failed(self, failure: Failure) -> SeedwrightError | None:
        """A record has failed. What ends the run, if this is one too many."""
        self._failed += 1
        last = f"the last with {failure.kind}: {failure.message}"
        if not is_service_failure(failure.kind):
            self._own += 1
            if self._own >= MAX_CONSECUTIVE_FAILURES:
                return RecordsFailingError(
                    f"{self._own} records failed one after the other, {last}"
                )
        stalled = self._clock.monotonic() - self._last_record >= self._stall_seconds
        if stalled and self._failed >= MAX_CONSECUTIVE_FAILURES:
            return ModelsFailingError(
                f"no record was finished for {self._minutes}, and {self._failed} failed, {last}"
            )
        return None

    def stalled(self) -> SeedwrightError | None:
        """What ends the run when no model has answered for too long, and no record was finished
        without one, since it skipped all its steps.
        """
        last = max(self.last_reply, self._last_record)
        if self._clock.monotonic() - last < self._stall_seconds:
            return None
        return ModelsFailingError(
            f"no model has answered for {self._minutes}: check quota and service health, then"
            " run the job again; everything generated is kept"
        )

    @property
    def _minutes(self) -> str:
        return f"{self._stall_seconds / 60:.0f} minutes"

"""When failures end a run: nothing was answered for long, record after record has failed, or checks
have rejected try after try.
"""

from collections import Counter

from runtime.domain.checks.acceptance import NONE_ACCEPTED_TRIES
from runtime.domain.errors import (
    ModelsFailingError,
    NoneAcceptedError,
    RecordsFailingError,
    SeedwrightError,
)
from runtime.domain.jobs.check_counts import counted_tries, rates_by_check
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
        self._has_record = False
        self._rejected_by: Counter[str] = Counter()
        self._failed_tries = 0
        self._last_record = clock.monotonic()
        self.last_reply = self._last_record
        """When some model gave a reply, or the run began; monotonic seconds."""

    def answered(self) -> None:
        """Some model gave a reply."""
        self.last_reply = self._clock.monotonic()

    def finished(self) -> None:
        """A record is complete, and has passed its checks."""
        self._has_record = True
        self._goes_on()

    def rejected(self, check: str) -> SeedwrightError | None:
        """A try is complete, and this check has rejected it. What ends the run, if no record has
        passed in too many tries since it began.
        """
        self._goes_on()
        self._rejected_by[check] += 1
        tries = self._rejected_by.total() + self._failed_tries
        if self._has_record or tries < NONE_ACCEPTED_TRIES:
            return None
        return NoneAcceptedError(
            f"none of {counted_tries(tries)} passed the checks"
            f"{rates_by_check(self._rejected_by, tries)}: see rejected.jsonl, and make the checks"
            " easier or the prompts better; what there is is kept"
        )

    def _goes_on(self) -> None:
        self._failed = self._own = 0
        self._last_record = self._clock.monotonic()

    def failed(self, failure: Failure) -> SeedwrightError | None:
        """A record has failed. What ends the run, if this is one too many."""
        self._failed += 1
        last = f"the last with {failure.kind}: {failure.message}"
        if not is_service_failure(failure.kind):
            self._own += 1
            self._failed_tries += 1
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

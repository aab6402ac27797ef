"""What has become of every index: a record, rejected in every try, a failure, or a failure that is
tried again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from runtime.domain.checks.totals import CheckTotals
from runtime.domain.jobs.checkpoint import Checkpoint
from runtime.domain.models.retry import is_service_failure


class Postponed(NamedTuple):
    """A failure that is tried again: its kind, and the try that has failed."""

    kind: str
    attempt: int


class Outcomes:
    """The finished indices of a job, or of the shard whose `ranges` are given, and the counters
    that follow from them.

    A postponed index has failed and is not finished: it counts as failed until a record or another
    failure takes its place, or the try that has failed, made again, is rejected: that is one try.
    A rejected try counts once, whoever has saved it, and finishes its index only if it was the last
    of `attempts`.
    """

    def __init__(
        self,
        size: int,
        stored: Checkpoint | None = None,
        *,
        ranges: Sequence[range] | None = None,
        attempts: int = 1,
    ) -> None:
        stored = stored or Checkpoint(job_id="")
        self.finished: Final = stored.finished(size, ranges)
        self.generated = stored.records_generated
        self.postponed: dict[int, Postponed] = {}
        """By index; changed by the methods alone."""
        self._postponed_kinds: Counter[str] = Counter()
        # What the checkpoint counts as postponed is listed again from the failure parts.
        postponed = stored.postponed or {}
        self._failed = stored.failed_records - sum(postponed.values())
        self._kinds = Counter(stored.failures_by_kind)
        self._kinds.subtract(postponed)
        self.attempts: Final = attempts
        self._rejected = stored.checks.rejected
        self._rejected_by = Counter(stored.checks.rejected_by)
        # Of an unfinished index the tries that were rejected, a bit each.
        self._tries = {
            index: (1 << partial.attempt) - 1
            for index, partial in stored.partials.items()
            if partial.attempt and index < size and index not in self.finished
        }

    @property
    def failed(self) -> int:
        """Indices whose last word is a failure."""
        return self._failed + len(self.postponed)

    @property
    def service_failures(self) -> int:
        """How many failed by the service."""
        kinds = self._postponed_kinds.items()
        return sum(count for kind, count in kinds if is_service_failure(kind))

    @property
    def postponed_by_kind(self) -> dict[str, int]:
        """How many are tried again, by kind."""
        return dict(+self._postponed_kinds)

    @property
    def failures_by_kind(self) -> dict[str, int]:
        """All failures by kind."""
        return dict(self._kinds + self._postponed_kinds)

    @property
    def tries(self) -> int:
        """Tries that have ended: each made a record, was rejected, or failed."""
        return self.generated + self.failed + self._rejected_by.total()

    @property
    def ended(self) -> int:
        """Indices that are done for now, failures that are tried again included."""
        return self.generated + self.failed + self._rejected

    def checks(self) -> CheckTotals:
        """What the checks of records have done. For a job that has some."""
        return CheckTotals(
            tries=self.tries, rejected=self._rejected, rejected_by=dict(+self._rejected_by)
        )

    def record(self, index: int) -> bool:
        """The index is a record now; False if it was finished before."""
        if not self._finish(index):
            return False
        self.generated += 1
        return True

    def fail(self, index: int, kind: str, attempt: int | None = None) -> bool:
        """The index has failed at a try, for good if by its own fault. False if it was finished
        before, or that try was rejected: then it doesn't count. Of a line that does not say which
        try has failed it is the present one.
        """
        if is_service_failure(kind):
            return self.postpone(index, kind, attempt)
        if self._is_behind(index, attempt) or not self._finish(index):
            return False
        self._failed += 1
        self._kinds[kind] += 1
        return True

    def postpone(self, index: int, kind: str, attempt: int | None = None) -> bool:
        """The index has failed at a try, which is made again. False as of `fail`."""
        if index in self.finished or self._is_behind(index, attempt):
            return False
        self._settle(index)
        failed = self.attempt(index) if attempt is None else attempt
        self.postponed[index] = Postponed(kind, failed)
        self._postponed_kinds[kind] += 1
        return True

    def reopen(
        self, index: int, kind: str, attempt: int | None = None, *, tries: Iterable[int] = ()
    ) -> None:
        """A failure that was final is tried again, behind the `tries` of it that were rejected."""
        if self.finished.discard(index):
            self._failed -= 1
            self._kinds[kind] -= 1
            mask = sum({1 << each for each in tries})
            if mask:
                self._tries[index] = mask
            self.postpone(index, kind, attempt)

    # ── tries ──────────────────────────────────────────────────────────────────────────────────

    def reject(self, index: int, attempt: int, check: str) -> bool:
        """A check has rejected one try of the index. False if that is known, or the index is
        finished: then it doesn't count. What follows for the index is `end_rejected`.
        """
        bit, known = 1 << attempt, self._tries.get(index, 0)
        if index in self.finished or known & bit:
            return False
        self._tries[index] = known | bit
        self._rejected_by[check] += 1
        failed = self.postponed.get(index)
        if failed is not None and failed.attempt <= attempt:
            self._settle(index)
        return True

    def end_rejected(self, index: int) -> bool:
        """Finish the index if its last try was rejected; whether it was that."""
        if self.attempt(index) < self.attempts or not self._finish(index):
            return False
        self._rejected += 1
        return True

    def attempt(self, index: int) -> int:
        """The try that an unfinished index is at, from 0."""
        return self._tries.get(index, 0).bit_length()

    def _is_behind(self, index: int, attempt: int | None) -> bool:
        """Whether the try was rejected, or one after it."""
        return attempt is not None and attempt < self.attempt(index)

    def tried(self) -> list[int]:
        """The unfinished indices that have a rejected try."""
        return list(self._tries)

    def _finish(self, index: int) -> bool:
        if not self.finished.add(index):
            return False
        self._settle(index)
        self._tries.pop(index, None)
        return True

    def _settle(self, index: int) -> None:
        failed = self.postponed.pop(index, None)
        if failed is not None:
            self._postponed_kinds[failed.kind] -= 1

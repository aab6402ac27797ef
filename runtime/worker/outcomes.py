"""What has become of every index: a record, a failure, or a failure that is tried again."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from runtime.domain.jobs.checkpoint import Checkpoint
from runtime.domain.models.retry import is_service_failure


class Outcomes:
    """The finished indices of a job, or of the shard whose `ranges` are given, and the counters
    that follow from them.

    A postponed index has failed and is not finished: it counts as failed until a record or another
    failure takes its place.
    """

    def __init__(
        self,
        size: int,
        stored: Checkpoint | None = None,
        *,
        ranges: Sequence[range] | None = None,
    ) -> None:
        stored = stored or Checkpoint(job_id="")
        self.finished: Final = stored.finished(size, ranges)
        self.generated = stored.records_generated
        self.postponed: dict[int, str] = {}
        """The kind of failure by index; changed by the methods alone."""
        self._postponed_kinds: Counter[str] = Counter()
        # What the checkpoint counts as postponed is listed again from the failure parts.
        postponed = stored.postponed or {}
        self._failed = stored.failed_records - sum(postponed.values())
        self._kinds = Counter(stored.failures_by_kind)
        self._kinds.subtract(postponed)

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

    def record(self, index: int) -> bool:
        """The index is a record now; False if it was finished before."""
        if not self.finished.add(index):
            return False
        self._settle(index)
        self.generated += 1
        return True

    def fail(self, index: int, kind: str) -> bool:
        """The index has failed, for good if by its own fault; False if it was finished before."""
        if is_service_failure(kind):
            return self.postpone(index, kind)
        if not self.finished.add(index):
            return False
        self._settle(index)
        self._failed += 1
        self._kinds[kind] += 1
        return True

    def postpone(self, index: int, kind: str) -> bool:
        """The index has failed and is tried again; False if it is finished."""
        if index in self.finished:
            return False
        self._settle(index)
        self.postponed[index] = kind
        self._postponed_kinds[kind] += 1
        return True

    def reopen(self, index: int, kind: str) -> None:
        """A failure that was final is tried again."""
        if self.finished.discard(index):
            self._failed -= 1
            self._kinds[kind] -= 1
            self.postpone(index, kind)

    def _settle(self, index: int) -> None:
        kind = self.postponed.pop(index, None)
        if kind is not None:
            self._postponed_kinds[kind] -= 1

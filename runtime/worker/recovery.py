"""Finds where a job stands: what its checkpoint says, and what was saved after it.

    checkpoint ─▶ rejected tries ─▶ records of later batches ─▶ failures ─▶ failures to try again

A record beats any failure line of its index, and that all its tries were rejected; the last failure
of an index beats the ones before, and that a try was rejected beats that it failed. Failures are
tried again when the service was at fault, or when a mark gives their parts back. A rejected try is
not made again: its index goes on with the next one.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from runtime.domain.jobs.checkpoint import Checkpoint, Partial
from runtime.domain.jobs.record import failed_try_of
from runtime.domain.models.retry import is_service_failure
from runtime.domain.ports import Claim
from runtime.export.batches import Batch, Batches, StoredBatches
from runtime.worker.checkpoints import Checkpoints
from runtime.worker.outcomes import Outcomes
from runtime.worker.rejections import begin_next_try, rejections_in

Failed = tuple[str, int | None]
"""The kind of a failure and the try that has failed, as its line says them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered:
    """Where a job stands. `gave_back` says that failures which were final are tried again now."""

    checkpoint: Checkpoint
    outcomes: Outcomes
    partials: dict[int, Partial]
    gave_back: bool


class Recovery:
    """Recovers one work item of a job whose indices are below `size`, which generates `ranges` of
    them; None: all. Each has so many `attempts`. Used once.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        size: int,
        ranges: Sequence[range] | None = None,
        attempts: int = 1,
        checkpoints: Checkpoints,
        batches: Batches,
        failure_parts: Batches,
        rejected_parts: Batches,
        retries: Batches,
    ) -> None:
        self._claim = claim
        self._size = size
        self._batches = batches
        self._parts = failure_parts
        self._rejected = rejected_parts
        self._stored = checkpoints.load_checkpoint(claim)
        self._outcomes = Outcomes(size, self._stored, ranges=ranges, attempts=attempts)
        self._partials = dict(self._stored.partials)
        self._voided = max(self._stored.voided, self._listed(retries, 1).last_number)

    def run(self) -> Recovered:
        """Read what there is. Raises storage errors: going on blind would pay again for what can't
        be seen now.
        """
        checkpoint = replace(self._stored, voided=self._voided)
        for part in self._listed(self._rejected, self._stored.current_rejected):
            self._adopt_rejected(part)
            checkpoint = replace(checkpoint, current_rejected=part.number + 1)
        for batch in self._listed(self._batches, self._stored.current_batch):
            self._adopt_records(batch)
            checkpoint = replace(checkpoint, current_batch=batch.number + 1)
        final: dict[int, Failed] = {}
        for part in self._listed(self._parts, self._first_part()):
            if part.number < self._stored.current_part:
                final |= self._look_into(part)
            else:
                self._adopt_failures(part)
                checkpoint = replace(checkpoint, current_part=part.number + 1)
        self._give_back(final)
        for index in self._outcomes.tried():
            self._outcomes.end_rejected(index)
            begin_next_try(self._outcomes, self._partials, index)
        return Recovered(
            checkpoint=checkpoint,
            outcomes=self._outcomes,
            partials=self._partials,
            gave_back=bool(final) or self._voided > self._stored.voided,
        )

    def _first_part(self) -> int:
        """The first part to read: only the lines know which failures are tried again."""
        stored = self._stored
        old = stored.postponed is None and stored.failed_records > 0
        return 1 if old or stored.postponed or self._voided > stored.voided else stored.current_part

    def _adopt_rejected(self, part: Batch) -> None:
        """Rejected tries that no checkpoint has counted. Whether one was the last of its index is
        decided when all is read.
        """
        for each in rejections_in(part, self._size):
            self._outcomes.reject(each.index, each.attempt, each.check)

    def _adopt_records(self, batch: Batch) -> None:
        for index in batch.indices:
            self._partials.pop(index, None)
            if index < self._size:
                self._outcomes.record(index)

    def _adopt_failures(self, part: Batch) -> None:
        """Failures that no checkpoint has counted."""
        for index, failed in _failures_in(part, self._size):
            if part.number <= self._voided:
                self._outcomes.postpone(index, *failed)
            elif self._outcomes.fail(index, *failed) and index in self._outcomes.finished:
                self._partials.pop(index, None)

    def _look_into(self, part: Batch) -> dict[int, Failed]:
        """List again what the checkpoint counted as postponed. Returns the failures that it counted
        as final and that are so no more.
        """
        final: dict[int, Failed] = {}
        for index, failed in _failures_in(part, self._size):
            if index in self._outcomes.finished:
                final[index] = failed
            else:
                self._outcomes.postpone(index, *failed)
        if self._stored.voided < part.number <= self._voided:
            return final
        if self._stored.postponed is not None:
            return {}
        return {index: failed for index, failed in final.items() if is_service_failure(failed[0])}

    def _give_back(self, final: dict[int, Failed]) -> None:
        """Reopen failures, but no index that has a record, or was rejected in all its tries, since
        it was tried again: batches and rejected tries alone know that.
        """
        if not final:
            return
        batches = self._listed(self._batches, 1)
        recorded = {index for batch in batches for index in batch.indices if index in final}
        tries = self._tries_of(final.keys() - recorded)
        for index, failed in final.items():
            own = tries.get(index, set())
            if index not in recorded and len(own) < self._outcomes.attempts:
                self._outcomes.reopen(index, *failed, tries=own)

    def _tries_of(self, indices: Collection[int]) -> dict[int, set[int]]:
        """The rejected tries of indices that had failed: those are counted already."""
        tries: dict[int, set[int]] = {}
        for part in self._listed(self._rejected, 1):
            for each in rejections_in(part, self._size):
                if each.index in indices:
                    tries.setdefault(each.index, set()).add(each.attempt)
        return tries

    def _listed(self, kind: Batches, first: int) -> StoredBatches:
        listed = kind.load_all_batches(
            self._claim.job_id, shard=self._claim.shard, from_number=first
        )
        if listed.error is not None:
            raise listed.error
        return listed


def _failures_in(part: Batch, size: int) -> Iterator[tuple[int, Failed]]:
    """Every failure of an index below `size`."""
    for index, line in zip(part.indices, part.lines, strict=True):
        if index < size:
            yield index, failed_try_of(line)

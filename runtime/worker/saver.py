"""Makes finished work durable, in an order in which a crash at any point loses and repeats nothing.

    record finished ─▶ journal (where there is one) ─▶ buffer
    flush: failure list ─▶ batch ─▶ checkpoint ─▶ journal reset ─▶ budget, progress, cost

Batches and failure lists are truth; a checkpoint is a shortcut to them. What was written after the
last checkpoint is found and adopted by `recover`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.checkpoint import Checkpoint, Partial, partial_of
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.record import Failure, Record, kind_of
from runtime.domain.jobs.sharding import size_of
from runtime.domain.jobs.step_totals import Tally
from runtime.domain.ports import Claim, Clock, Journal
from runtime.export.batches import Batch, Batches
from runtime.logs import event
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.checkpoints import Checkpoints
from runtime.worker.costs import Costs
from runtime.worker.crash_points import CrashPoint
from runtime.worker.outcomes import Outcomes
from runtime.worker.recovery import Recovery
from runtime.worker.settings import WorkerSettings
from runtime.worker.status_writer import Jobs

_log = logging.getLogger(__name__)

MAX_FLUSH_ATTEMPTS: Final = 5
FLUSH_RETRY_SECONDS: Final = 1.0
"""First pause after a batch could not be saved; it doubles. The SDK has retried before that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """The components through which a job is saved."""

    batches: Batches
    failure_parts: Batches
    retries: Batches
    checkpoints: Checkpoints
    jobs: Jobs
    costs: Costs
    journal: Journal | None
    clock: Clock
    crash_point: CrashPoint


class Saver:
    """Owns the set of finished indices and what of it is not saved yet: of a whole job, or of the
    shard that has `ranges` of its indices.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        num_records: int,
        ranges: Sequence[range] | None = None,
        stores: Stores,
        guard: BudgetGuard,
        settings: WorkerSettings,
    ) -> None:
        self._claim = claim
        self._stores = stores
        self._guard = guard
        self._settings = settings
        self._checkpoint = Checkpoint(job_id=claim.job_id)
        self._ranges = ranges
        self._outcomes = Outcomes(num_records, ranges=ranges)
        self.partials: dict[int, Partial] = {}
        """Paid steps of unfinished records, as the last run left them."""
        self._records: list[bytes] = []
        self._failures: list[bytes] = []
        self._tokens = 0
        self._cost_by_model: Counter[str] = Counter()
        self.tally = Tally()
        """What the calls of each step did, of earlier claims too."""
        self._costs_serial = 0
        self._earlier_nano = self._recorded_nano = 0
        self._recorded_tokens = 0
        self._gave_back = False
        self._flushed_at = stores.clock.monotonic()
        self._flush_attempts = 0

    @property
    def finished(self) -> IndexSet:
        """Every index that is a record or has failed for good."""
        return self._outcomes.finished

    @property
    def asked(self) -> int:
        """How many records there are to be."""
        return self.finished.size if self._ranges is None else size_of(self._ranges)

    @property
    def postponed(self) -> Collection[int]:
        """The indices that have failed and are tried again."""
        return self._outcomes.postponed.keys()

    # ── going on ───────────────────────────────────────────────────────────────────────────────

    def recover(self) -> Checkpoint:
        """Load the checkpoint and adopt whatever was saved after it. Call once, first."""
        recovered = Recovery(
            self._claim,
            num_records=self.finished.size,
            ranges=self._ranges,
            checkpoints=self._stores.checkpoints,
            batches=self._stores.batches,
            failure_parts=self._stores.failure_parts,
            retries=self._stores.retries,
        ).run()
        stored = recovered.checkpoint
        self._checkpoint = replace(stored, started_at=stored.started_at or self._stores.clock.now())
        self._outcomes, self.partials = recovered.outcomes, recovered.partials
        self._gave_back = recovered.gave_back
        self._tokens = self._recorded_tokens = stored.tokens_used
        self._cost_by_model.update(stored.cost_by_model)
        self.tally.add(stored.steps)
        # What a predecessor left in doubt was booked just now and belongs into the cost table too.
        self._earlier_nano = self._recorded_nano = (
            self._guard.spent_nano - self._guard.claim_nano
            if self._claim.shard is None
            else stored.cost_nano  # others spend out of the account, too
        )
        self._replay()
        return self._checkpoint

    def _adopt(self, batch: Batch, take: Callable[[int, bytes], object]) -> None:
        """Count what an earlier owner saved under a number that was to be ours."""
        for index, line in zip(batch.indices, batch.lines, strict=True):
            self.partials.pop(index, None)
            if index < self.finished.size:
                take(index, line)

    def _replay(self) -> None:
        if self._stores.journal is None:
            return
        for entry in self._stores.journal.replay():
            document = orjson.loads(entry)
            index, line = document["index"], document.get("line")
            if index >= self.finished.size or index in self.finished:
                continue
            self._tokens += document["tokens"]
            if line is None:
                self.partials[index] = partial_of(document)
            elif not document["failed"]:
                self._take_record(index, line.encode())
            elif not self._gave_back:  # else it was written before the mark that gives it back
                self._take_failure(index, line.encode())

    # ── finished work ──────────────────────────────────────────────────────────────────────────

    def spent(self, model: str, nano: int) -> None:
        """A call to `model` cost `nano`, or is presumed to."""
        self._cost_by_model[model] += nano

    def paid(self, index: int, partial: Partial | None, tokens: int) -> None:
        """A reply was paid for and its record goes on: keep the reply."""
        self._tokens += tokens
        if partial is not None:
            self._write_journal(index, tokens, partial.document())

    def record(self, record: Record, tokens: int) -> None:
        """A record is finished; its last reply used `tokens`."""
        self._tokens += tokens
        line = record.line()
        self._write_journal(record.index, tokens, {"failed": False, "line": line.decode()})
        self._take_record(record.index, line)

    def failure(self, failure: Failure, tokens: int) -> None:
        """A record has failed: for good by its own fault, else for this run."""
        self._tokens += tokens
        line = failure.line()
        self._write_journal(failure.index, tokens, {"failed": True, "line": line.decode()})
        self._take_failure(failure.index, line)

    def _take_record(self, index: int, line: bytes) -> None:
        if self._outcomes.record(index):
            self._records.append(line)

    def _take_failure(self, index: int, line: bytes) -> None:
        if self._outcomes.fail(index, kind_of(line)):
            self._failures.append(line)

    def _write_journal(self, index: int, tokens: int, fields: Mapping[str, Any]) -> None:
        if self._stores.journal is not None:
            self._stores.journal.append(orjson.dumps({"index": index, "tokens": tokens, **fields}))

    # ── saving ─────────────────────────────────────────────────────────────────────────────────

    @property
    def progress(self) -> Progress:
        """Counters as of now, saved or not."""
        return Progress(
            records_generated=self._outcomes.generated,
            failed_records=self._outcomes.failed,
            service_failures=self._outcomes.service_failures,
            tokens_used=self._tokens,
            cost_nano=self._earlier_nano + self._guard.claim_nano,
            failures_by_kind=self._outcomes.failures_by_kind,
            cost_by_model=dict(self._cost_by_model),
            steps=self.tally.totals(),
        )

    @property
    def room(self) -> int:
        """How many more records may be begun. Limited only while a batch can't be saved: then one
        batch beyond the failed one is the most that is paid for (requirement S6.4).
        """
        if self._flush_attempts == 0:
            return self.finished.size
        waiting = len(self._records) + len(self._failures)
        return max(2 * self._settings.checkpoint_interval - waiting, 0)

    def seconds_to_flush(self) -> float | None:
        """Until `flush` is due; 0 or less is now, None when nothing waits to be saved."""
        waiting = len(self._records) + len(self._failures)
        if not waiting:
            return 0.0 if self._gave_back else None
        since = self._stores.clock.monotonic() - self._flushed_at
        if self._flush_attempts:
            return FLUSH_RETRY_SECONDS * 2.0 ** (self._flush_attempts - 1) - since
        if waiting >= self._settings.checkpoint_interval:
            return 0.0
        return self._settings.flush_seconds - since

    def flush(
        self, open_records: Callable[[], tuple[int, Mapping[int, Partial | None]]], *, last: bool
    ) -> None:
        """Save everything that waits.

        `open_records` gives the next index and the unfinished records below it with their paid
        steps. A store that is down is asked again later, unless this is the `last` flush; after
        `MAX_FLUSH_ATTEMPTS` the error is raised.
        """
        if not (last or self._records or self._failures or self._gave_back):
            return
        self._flushed_at = self._stores.clock.monotonic()
        try:
            self._save_failures()
            self._save_batch()
        except StorageUnavailableError:
            self._flush_attempts += 1
            event(
                _log,
                logging.WARNING,
                "batch not saved",
                job_id=self._claim.job_id,
                batch=self._checkpoint.current_batch,
                attempt=self._flush_attempts,
            )
            if last or self._flush_attempts >= MAX_FLUSH_ATTEMPTS:
                raise
            return
        self._flush_attempts = 0
        next_index, unfinished = open_records()
        self._save_checkpoint(next_index, unfinished)
        self._gave_back = False
        self._publish()

    def _save_failures(self) -> None:
        while self._failures:
            number = self._checkpoint.current_part
            others = self._stores.failure_parts.save_batch(
                self._claim.job_id, number, self._failures, shard=self._claim.shard
            )
            self._checkpoint = replace(self._checkpoint, current_part=number + 1)
            if others is None:
                self._failures = []
                self._stores.crash_point("after_failures_put")
            else:
                self._adopt(others, lambda index, line: self._outcomes.fail(index, kind_of(line)))

    def _save_batch(self) -> None:
        while self._records:
            number = self._checkpoint.current_batch
            self._stores.crash_point("before_batch_put")
            others = self._stores.batches.save_batch(
                self._claim.job_id, number, self._records, shard=self._claim.shard
            )
            self._checkpoint = replace(self._checkpoint, current_batch=number + 1)
            if others is None:
                self._records = []
                self._stores.crash_point("after_batch_put")
            else:
                # An earlier owner's batch under this number: its records are paid for and stay,
                # ours go under the next number, and the export keeps each index once.
                self._adopt(others, lambda index, _line: self._outcomes.record(index))

    def _save_checkpoint(self, next_index: int, unfinished: Mapping[int, Partial | None]) -> None:
        self._checkpoint = self._stores.checkpoints.save_checkpoint(
            self._claim,
            replace(
                self._checkpoint,
                records_generated=self._outcomes.generated,
                failed_records=self._outcomes.failed,
                next_index=next_index,
                pending=tuple(sorted(unfinished)),
                tokens_used=self._tokens,
                cost_nano=self._earlier_nano + self._guard.claim_nano,
                failures_by_kind=self._outcomes.failures_by_kind,
                postponed=self._outcomes.postponed_by_kind,
                cost_by_model=dict(self._cost_by_model),
                steps=self.tally.totals(),
                partials={
                    index: partial for index, partial in unfinished.items() if partial is not None
                },
            ),
        )
        self._stores.crash_point("after_checkpoint")
        if self._stores.journal is not None:
            self._stores.journal.reset()

    def _publish(self) -> None:
        try:
            self._guard.book()
        except StorageUnavailableError:
            # The hold covers it; the next flush books it.
            event(_log, logging.WARNING, "cost not booked", job_id=self._claim.job_id)
        progress = self.progress
        self._stores.jobs.update_job_progress(self._claim, progress)
        cost = progress.cost_nano - self._recorded_nano
        tokens = progress.tokens_used - self._recorded_tokens
        if cost or tokens:
            self._costs_serial += 1
            self._stores.costs.update_cost_tracking(
                self._claim, serial=self._costs_serial, cost_nano=cost, tokens=tokens
            )
            self._recorded_nano, self._recorded_tokens = progress.cost_nano, progress.tokens_used

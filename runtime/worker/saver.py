"""Makes finished work durable, in an order in which a crash at any point loses and repeats nothing.

    record finished, try rejected ─▶ journal (where there is one) ─▶ buffer
    flush: rejected tries ─▶ failure list ─▶ batch ─▶ checkpoint ─▶ journal reset
                                                               ─▶ budget, progress, cost

Batches and the lists of failures and rejected tries are truth; a checkpoint is a shortcut to them.
What was written after the last checkpoint is found and adopted by `recover`. Of a try that is
stored those before it are.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from runtime.domain.checks.totals import CheckTotals
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.checkpoint import Checkpoint, Partial, partial_of
from runtime.domain.jobs.config import JobConfig
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.record import Failure, Record, failed_try_of
from runtime.domain.jobs.step_totals import Tally
from runtime.domain.ports import Claim
from runtime.export.batches import Batch
from runtime.logs import event
from runtime.worker.budget_guard import BudgetGuard
from runtime.worker.flush_times import MAX_FLUSH_ATTEMPTS, FlushTimes
from runtime.worker.line_buffer import LineBuffer
from runtime.worker.outcomes import Outcomes
from runtime.worker.publisher import Publisher
from runtime.worker.recovery import Recovery
from runtime.worker.rejections import begin_next_try, rejection_of, rejections_in
from runtime.worker.settings import WorkerSettings
from runtime.worker.stores import Stores

_log = logging.getLogger(__name__)


class Saver:
    """Owns the set of finished indices and what of it is not saved yet: of a whole job, or of the
    shard that has `ranges` of its indices.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        config: JobConfig,
        ranges: Sequence[range] | None = None,
        stores: Stores,
        guard: BudgetGuard,
        settings: WorkerSettings,
    ) -> None:
        self._claim = claim
        self._stores = stores
        self._guard = guard
        self._checkpoint = Checkpoint(job_id=claim.job_id)
        self._config = config
        self._ranges = ranges
        self._outcomes = Outcomes(config.size, ranges=ranges, attempts=config.acceptance.attempts)
        self.partials: dict[int, Partial] = {}
        """Paid steps of unfinished records, as the last run left them."""
        self._failures = LineBuffer(
            stores.failure_parts,
            claim,
            adopt=self._adopt_failures,
            after=lambda: stores.crash_point("after_failures_put"),
        )
        self._rejected = LineBuffer(
            stores.rejected_parts,
            claim,
            adopt=self._adopt_rejected,
            after=lambda: stores.crash_point("after_rejected_put"),
        )
        self._records = LineBuffer(
            stores.batches,
            claim,
            adopt=self._adopt_records,
            before=lambda: stores.crash_point("before_batch_put"),
            after=lambda: stores.crash_point("after_batch_put"),
        )
        self.left_out: Mapping[str, int] = {}
        """Records that the dataset's own checks are likely to leave out, by check."""
        self._tokens = 0
        self._cost_by_model: Counter[str] = Counter()
        self.tally = Tally()
        """What the calls of each step did, of earlier claims too."""
        self._publisher = Publisher(claim, guard=guard, jobs=stores.jobs, costs=stores.costs)
        self._gave_back = False
        self._times = FlushTimes(stores.clock, settings)

    @property
    def finished(self) -> IndexSet:
        """Every index that is a record or has failed for good."""
        return self._outcomes.finished

    @property
    def outcomes(self) -> Outcomes:
        """What has become of every index; others only look at it."""
        return self._outcomes

    @property
    def unsaved_records(self) -> Sequence[bytes]:
        """The lines of records that no batch has yet."""
        return self._records.lines

    @property
    def postponed(self) -> Collection[int]:
        """The indices that have failed and are tried again."""
        return self._outcomes.postponed.keys()

    # ── going on ───────────────────────────────────────────────────────────────────────────────

    def recover(self) -> Checkpoint:
        """Load the checkpoint and adopt whatever was saved after it. Call once, first."""
        recovered = Recovery(
            self._claim,
            size=self.finished.size,
            ranges=self._ranges,
            attempts=self._config.acceptance.attempts,
            checkpoints=self._stores.checkpoints,
            batches=self._stores.batches,
            failure_parts=self._stores.failure_parts,
            rejected_parts=self._stores.rejected_parts,
            retries=self._stores.retries,
        ).run()
        stored = recovered.checkpoint
        self._checkpoint = replace(stored, started_at=stored.started_at or self._stores.clock.now())
        self._outcomes, self.partials = recovered.outcomes, recovered.partials
        self._gave_back = recovered.gave_back
        self._take_numbers()
        self._tokens = stored.tokens_used
        self._cost_by_model.update(stored.cost_by_model)
        self.tally.add(stored.steps)
        self._publisher.begin(tokens=stored.tokens_used)
        self._replay()
        return self._checkpoint

    def _adopt_records(self, batch: Batch) -> None:
        for index in batch.indices:
            self.partials.pop(index, None)
            if index < self.finished.size:
                self._outcomes.record(index)

    def _adopt_failures(self, part: Batch) -> None:
        for index, line in zip(part.indices, part.lines, strict=True):
            if index >= self.finished.size:
                continue
            if self._outcomes.fail(index, *failed_try_of(line)):
                self.partials.pop(index, None)
            begin_next_try(self._outcomes, self.partials, index)

    def _adopt_rejected(self, part: Batch) -> None:
        for each in rejections_in(part, self.finished.size):
            self._outcomes.reject(each.index, each.attempt, each.check)
            self._end_try(each.index)

    def _end_try(self, index: int) -> None:
        """A try was rejected: the index goes on with the next one, or is rejected as a whole."""
        self._outcomes.end_rejected(index)
        begin_next_try(self._outcomes, self.partials, index)

    def _take_numbers(self) -> None:
        self._failures.number = self._checkpoint.current_part
        self._rejected.number = self._checkpoint.current_rejected
        self._records.number = self._checkpoint.current_batch

    def _replay(self) -> None:
        if self._stores.journal is None:
            return
        for entry in self._stores.journal.replay():
            document = orjson.loads(entry)
            index, line = document["index"], document.get("line")
            if index >= self.finished.size or index in self.finished:
                continue
            if (rejected := document.get("rejected")) is not None:
                self._tokens += document["tokens"] if self._take_rejected(rejected.encode()) else 0
                continue
            self._tokens += document["tokens"]
            if line is None:
                self.partials[index] = partial_of(document)
                begin_next_try(self._outcomes, self.partials, index)  # if that try was rejected
            elif not document["failed"]:
                self._take_record(index, line.encode())
            elif not self._gave_back:  # else it was written before the mark that gives it back
                self._take_failure(index, line.encode())
            if index in self.finished:
                self.partials.pop(index, None)

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

    def failure(self, failure: Failure, tokens: int) -> bool:
        """A record has failed: for good by its own fault, else for this run. False if it has not,
        since an earlier owner has ended it, or that try of it.
        """
        self._tokens += tokens
        line = failure.line()
        self._write_journal(failure.index, tokens, {"failed": True, "line": line.decode()})
        return self._take_failure(failure.index, line)

    def reject(self, record: Record, tokens: int) -> None:
        """A check has rejected a try, whose last reply used `tokens`: `rejected_by` says which. Its
        index goes on with the next try, or is rejected as a whole.
        """
        self._tokens += tokens
        line = record.line()
        self._write_journal(record.index, tokens, {"rejected": line.decode()})
        self._take_rejected(line)

    def _take_rejected(self, line: bytes) -> bool:
        each = rejection_of(line)
        is_new = self._outcomes.reject(each.index, each.attempt, each.check)
        if is_new:
            self._rejected.lines.append(line)
        self._end_try(each.index)
        return is_new

    def _take_record(self, index: int, line: bytes) -> None:
        if self._outcomes.record(index):
            self._records.lines.append(line)

    def _take_failure(self, index: int, line: bytes) -> bool:
        is_new = self._outcomes.fail(index, *failed_try_of(line))
        if is_new:
            self._failures.lines.append(line)
        return is_new

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
            cost_nano=self._guard.spent_nano,
            failures_by_kind=self._outcomes.failures_by_kind,
            cost_by_model=dict(self._cost_by_model),
            steps=self.tally.totals(),
            checks=self._checks(),
        )

    def _checks(self) -> CheckTotals:
        if not self._config.has_checks:
            return CheckTotals()
        return replace(self._outcomes.checks(), left_out=dict(self.left_out))

    @property
    def _waiting(self) -> int:
        return len(self._records) + len(self._failures) + len(self._rejected)

    @property
    def is_failing(self) -> bool:
        """Whether what waits could not be saved when that was tried last."""
        return self._times.failed > 0

    @property
    def is_saved(self) -> bool:
        """Whether nothing waits to be saved."""
        return not self._waiting

    @property
    def room(self) -> int:
        """How many more records may be begun: see `FlushTimes.room`."""
        room = self._times.room(self._waiting)
        return self.finished.size if room is None else room

    def seconds_to_flush(self) -> float | None:
        """Until `flush` is due; 0 or less is now, None when nothing waits to be saved."""
        if not self._waiting:
            return 0.0 if self._gave_back else None
        return self._times.seconds_left(self._waiting)

    def flush(
        self, open_records: Callable[[], tuple[int, Mapping[int, Partial | None]]], *, last: bool
    ) -> None:
        """Save everything that waits.

        `open_records` gives the next index and the unfinished records below it with their paid
        steps. A store that is down is asked again later, unless this is the `last` flush; after
        `MAX_FLUSH_ATTEMPTS` the error is raised.
        """
        if not (last or self._waiting or self._gave_back):
            return
        self._times.begin()
        try:
            self._rejected.save()
            self._failures.save()
            self._records.save()
        except StorageUnavailableError:
            self._times.failed += 1
            event(
                _log,
                logging.WARNING,
                "batch not saved",
                job_id=self._claim.job_id,
                batch=self._records.number,
                attempt=self._times.failed,
            )
            if last or self._times.failed >= MAX_FLUSH_ATTEMPTS:
                raise
            return
        self._times.failed = 0
        next_index, unfinished = open_records()
        self._save_checkpoint(next_index, unfinished)
        self._gave_back = False
        self._publisher.publish(self.progress)

    def _save_checkpoint(self, next_index: int, unfinished: Mapping[int, Partial | None]) -> None:
        self._checkpoint = self._stores.checkpoints.save_checkpoint(
            self._claim,
            replace(
                self._checkpoint,
                current_part=self._failures.number,
                current_rejected=self._rejected.number,
                current_batch=self._records.number,
                records_generated=self._outcomes.generated,
                failed_records=self._outcomes.failed,
                next_index=next_index,
                pending=tuple(sorted(unfinished)),
                tokens_used=self._tokens,
                cost_nano=self._guard.spent_nano,
                failures_by_kind=self._outcomes.failures_by_kind,
                postponed=self._outcomes.postponed_by_kind,
                cost_by_model=dict(self._cost_by_model),
                steps=self.tally.totals(),
                checks=self._checks(),
                partials={
                    index: partial for index, partial in unfinished.items() if partial is not None
                },
            ),
        )
        self._take_numbers()
        self._stores.crash_point("after_checkpoint")
        if self._stores.journal is not None:
            self._stores.journal.reset()

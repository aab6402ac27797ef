"""Export: the batches of a job become one dataset in JSONL, Parquet and CSV, in constant memory.

    batches ─▶ distinct, counted records ─▶ the writers of all formats at once ─▶ published

Memory holds one batch, one row group and one bit per record. The writers publish after the last
record, and only if the count is right; an error before that leaves every object as it was. An
export can be repeated at will: it reads batches and calls no model.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import chain, islice

from runtime.contract.keys import (
    FAILURE_PARTS,
    JSON_LINES,
    REJECTED_PARTS,
    export_name,
    exports_prefix,
    failures_key,
)
from runtime.domain.checks.check import Checks
from runtime.domain.errors import ExportError, StorageError
from runtime.domain.jobs.delivery import OutputFormat, PartitionStrategy
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Job
from runtime.domain.ports import ObjectStore
from runtime.export.batches import LINES_AT_ONCE, Batches, StoredBatches
from runtime.export.distinct import DistinctRecords, absent_indices
from runtime.export.formats import (
    Days,
    ExportRecord,
    Write,
    open_csv,
    open_jsonl,
    open_parquet,
)
from runtime.export.rejected import RejectedTries, write_rejected
from runtime.export.row_export import RowExport, WriteSome
from runtime.export.selection import Chosen, ChosenRecords, MakeIndex, choose
from runtime.logs import event

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """What was published: keys per format (none without records), and what was counted."""

    keys: Mapping[OutputFormat, tuple[str, ...]]
    records: int
    failures: int
    duplicates_dropped: int
    rejected: int = 0
    """Tries and records that checks have kept out."""


class Exporter:
    """Writes the dataset of a job. Every failure is an `ExportError`; the batches stay."""

    def __init__(self, objects: ObjectStore, *, logger: logging.Logger = _log) -> None:
        self._objects = objects
        self._batches = Batches(objects, logger=logger)
        self._failure_parts = Batches(objects, FAILURE_PARTS, logger=logger)
        self._rejected_parts = Batches(objects, REJECTED_PARTS, logger=logger)
        self._logger = logger

    def export_data(
        self,
        job: Job,
        *,
        expected: int | None,
        progress: Callable[[int], None] | None = None,
        observe: Write | None = None,
        rows: Sequence[RowExport] = (),
        chosen: Chosen | None = None,
    ) -> ExportResult:
        """Export every requested format, the rows, and the failures beside them. Of a job with
        checks the records that were `chosen`, and beside them what was rejected.

        `expected` is the number of records the checkpoint counted, None if it is unknown.
        `progress` is notified of the number of records written so far; what it raises stops the
        export, publishes nothing and reaches the caller as it is. `observe` is given each record
        once, as it is written.
        """
        stored = self._batches.load_all_batches(job.job_id)
        parts = self._failure_parts.load_all_batches(job.job_id)
        if error := stored.error or parts.error:
            raise ExportError(f"the batches could not be listed: {error}") from error
        records = DistinctRecords(
            stored,
            job.config.size,
            expected=expected,
            logger=self._logger,
            progress=progress,
        )
        kept = records if chosen is None else ChosenRecords(records, chosen)
        try:
            absent, size = None, stored.size
            if chosen is not None:
                absent, size = chosen.others, chosen.share_of(size)
            elif rows:
                absent = absent_indices(parts, records.seen.size, expected)
            keys = self.write(
                job,
                kept,
                job.config.delivery.output_formats,
                rows=[each.opened(stored_bytes=size, absent=absent) for each in rows],
                observe=observe,
            )
            failures = self.write_failures(job, parts, records.seen)
            duplicates = records.duplicates
            rejected = 0
            if isinstance(kept, ChosenRecords):
                rejected = self._write_rejected(job, kept.left_out())
        except (StorageError, OSError) as exc:
            raise ExportError(f"the dataset could not be written: {exc}") from exc
        return ExportResult(
            keys=keys,
            records=len(records.seen) if chosen is None else chosen.selection.accepted,
            failures=failures,
            duplicates_dropped=duplicates,
            rejected=rejected,
        )

    def choose(
        self, job: Job, checks: Checks, make_index: MakeIndex, *, expected: int | None = None
    ) -> Chosen:
        """Which of the records that are saved are in the dataset. `expected` as of `export_data`.
        Raises `ExportError`, `ConfigurationError`.
        """
        records = self.records(job, expected=expected)
        try:
            return choose(records, checks, wanted=job.config.num_records, make_index=make_index)
        except (StorageError, OSError) as exc:
            raise ExportError(f"the records could not be chosen: {exc}") from exc

    def records(self, job: Job, *, expected: int | None = None) -> DistinctRecords:
        """The records that are saved, each once, to be read as often as needed. Raises
        `ExportError`.
        """
        stored = self._batches.load_all_batches(job.job_id)
        if stored.error is not None:
            raise ExportError(f"the batches could not be listed: {stored.error}") from stored.error
        return DistinctRecords(
            stored, job.config.size, expected=expected, logger=self._logger, progress=None
        )

    def export_failures(self, job: Job) -> int:
        """List the failures of a job whose dataset is not exported, and what was rejected; how many
        failures there are.
        """
        stored = self._batches.load_all_batches(job.job_id)
        parts = self._failure_parts.load_all_batches(job.job_id)
        if error := stored.error or parts.error:
            raise ExportError(f"the batches could not be listed: {error}") from error
        records = IndexSet(job.config.size)
        try:
            for batch in stored:
                for index in batch.indices:
                    if index < records.size:
                        records.add(index)
            if job.config.has_checks:
                self._write_rejected(job)
            return self.write_failures(job, parts, records)
        except (StorageError, OSError) as exc:
            raise ExportError(f"the failures could not be listed: {exc}") from exc

    def export_jsonl(self, job: Job, records: Iterable[ExportRecord]) -> tuple[str, ...]:
        """Write only JSONL, one key or one a day. Raises `StorageError`, `ExportError`.

        More than MAX_OPEN_DAYS days need `records` that can be iterated again.
        """
        return self.write(job, records, (OutputFormat.JSONL,)).get(OutputFormat.JSONL, ())

    def export_parquet(self, job: Job, records: Iterable[ExportRecord]) -> tuple[str, ...]:
        """Write only Parquet. Raises `StorageError`, `ExportError`."""
        return self.write(job, records, (OutputFormat.PARQUET,)).get(OutputFormat.PARQUET, ())

    def export_csv(self, job: Job, records: Iterable[ExportRecord]) -> tuple[str, ...]:
        """Write only CSV. Raises `StorageError`, `ExportError`."""
        return self.write(job, records, (OutputFormat.CSV,)).get(OutputFormat.CSV, ())

    def write(
        self,
        job: Job,
        records: Iterable[ExportRecord],
        formats: Iterable[OutputFormat],
        *,
        exports: str | None = None,
        rows: Iterable[AbstractContextManager[WriteSome]] = (),
        observe: Write | None = None,
    ) -> dict[OutputFormat, tuple[str, ...]]:
        """Write `records` in `formats` below `exports`, by default those of the job, with `rows`;
        the keys. Raises `StorageError`, `ExportError`.
        """
        exports = exports or exports_prefix(job.job_id)
        chunks = filter(None, _some(records))
        first = next(chunks, None)
        if first is None:
            event(self._logger, logging.WARNING, "no records to export", job_id=job.job_id)
            return {}
        days = Days(self._objects, job.job_id)
        keys: dict[OutputFormat, tuple[str, ...]] = {}
        with ExitStack() as publishing:
            row_writes = [publishing.enter_context(each) for each in rows]
            writes: list[Write] = [] if observe is None else [observe]
            for output_format in dict.fromkeys(formats):
                if self._by_day(job, output_format):
                    writes.append(publishing.enter_context(days.one_pass()))
                    continue
                key = exports + export_name(output_format.lower())
                keys[output_format] = (key,)
                opened = self._opened(job, output_format, key)
                writes.append(publishing.enter_context(opened))
            for some in chain((first,), chunks):
                for write_some in row_writes:
                    write_some(some)
                for write in writes:
                    for record in some:
                        write(record)
        days.finish(records)
        if days.keys:
            keys[OutputFormat.JSONL] = tuple(key for _, key in sorted(days.keys.items()))
        return keys

    def _opened(
        self, job: Job, output_format: OutputFormat, key: str
    ) -> AbstractContextManager[Write]:
        checked = job.config.has_checks
        match output_format:
            case OutputFormat.JSONL:
                return open_jsonl(self._objects, key)
            case OutputFormat.PARQUET:
                return open_parquet(self._objects, key, checked=checked)
            case OutputFormat.CSV:
                mark = job.config.delivery.byte_order_mark
                return open_csv(self._objects, key, byte_order_mark=mark, checked=checked)

    def _by_day(self, job: Job, output_format: OutputFormat) -> bool:
        if job.config.delivery.partition_strategy is not PartitionStrategy.TIMESTAMP:
            return False
        if output_format is OutputFormat.JSONL:
            return True
        event(
            self._logger,
            logging.WARNING,
            "only JSONL is partitioned, writing one file",
            job_id=job.job_id,
            output_format=output_format,
        )
        return False

    def _write_rejected(self, job: Job, left_out: Iterable[bytes] = ()) -> int:
        parts = self._rejected_parts.load_all_batches(job.job_id)
        if parts.error is not None:
            raise parts.error
        return write_rejected(
            self._objects, job.job_id, parts, size=job.config.size, left_out=left_out
        )

    def _rejected_tries(self, job: Job) -> RejectedTries:
        """What was rejected may have failed before, and been tried again."""
        config = job.config
        parts = self._rejected_parts.load_all_batches(job.job_id) if config.has_checks else None
        return RejectedTries(parts, config.size, attempts=config.acceptance.attempts)

    def write_failures(self, job: Job, parts: StoredBatches, records: IndexSet) -> int:
        """List the failures of `parts` that have no record, and whose try was not rejected since;
        how many there are. Raises `StorageError`.
        """
        key = failures_key(job.job_id)
        lines = _last_failures(parts, records, self._rejected_tries(job))
        first = next(lines, None)
        if first is None:
            # An earlier export may have listed failures that a retry turned into records since.
            self._objects.delete([stat.key for stat in self._objects.list(key)])
            return 0
        written = 0
        with self._objects.open_writer(key, content_type=JSON_LINES) as stream:
            for line in chain((first,), lines):
                stream.write(line + b"\n")
                written += 1
        return written


def _some(records: Iterable[ExportRecord]) -> Iterator[Sequence[ExportRecord]]:
    if isinstance(records, DistinctRecords | ChosenRecords):
        return records.some()
    iterator = iter(records)
    return iter(lambda: list(islice(iterator, LINES_AT_ONCE)), [])


def _last_failures(
    parts: StoredBatches, records: IndexSet, rejected: RejectedTries
) -> Iterator[bytes]:
    """The last line of every index that has no record, whose try was not `rejected` since, in the
    order in which they were written.

    Parts are read two or three times. Memory holds a bit an index, and a number for each index
    that failed more than once.
    """
    failed = IndexSet(records.size)
    again: dict[int, int] = {}
    for index, _ in _lines_of(parts, records, rejected):
        if not failed.add(index):
            again[index] = 0
    if again:
        for position, (index, _) in enumerate(_lines_of(parts, records, rejected)):
            if index in again:
                again[index] = position
    for position, (index, line) in enumerate(_lines_of(parts, records, rejected)):
        if again.get(index, position) == position:
            yield line


def _lines_of(
    parts: StoredBatches, records: IndexSet, rejected: RejectedTries
) -> Iterator[tuple[int, bytes]]:
    """Index and line of every failure that is the last word on its index."""
    for part in parts:
        for index, line in zip(part.indices, part.lines, strict=True):
            if index >= records.size or index in records:
                continue
            if not rejected.overrule(index, line):
                yield index, line

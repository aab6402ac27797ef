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
from typing import Final

from runtime.contract.keys import (
    FAILURE_PARTS,
    JSON_LINES,
    export_name,
    exports_prefix,
    failures_key,
)
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
from runtime.export.row_export import RowExport, WriteSome
from runtime.logs import event

_log = logging.getLogger(__name__)


_WRITERS: Final[
    Mapping[OutputFormat, Callable[[ObjectStore, str], AbstractContextManager[Write]]]
] = {
    OutputFormat.JSONL: open_jsonl,
    OutputFormat.PARQUET: open_parquet,
    OutputFormat.CSV: open_csv,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """What was published: keys per format (none without records), and what was counted."""

    keys: Mapping[OutputFormat, tuple[str, ...]]
    records: int
    failures: int
    duplicates_dropped: int


class Exporter:
    """Writes the dataset of a job. Every failure is an `ExportError`; the batches stay."""

    def __init__(self, objects: ObjectStore, *, logger: logging.Logger = _log) -> None:
        self._objects = objects
        self._batches = Batches(objects, logger=logger)
        self._failure_parts = Batches(objects, FAILURE_PARTS, logger=logger)
        self._logger = logger

    def export_data(
        self,
        job: Job,
        *,
        expected: int | None,
        progress: Callable[[int], None] | None = None,
        observe: Write | None = None,
        rows: Sequence[RowExport] = (),
    ) -> ExportResult:
        """Export every requested format, the rows, and the failures beside them.

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
            job.config.num_records,
            expected=expected,
            logger=self._logger,
            progress=progress,
        )
        try:
            absent = absent_indices(parts, records.seen.size, expected) if rows else None
            keys = self.write(
                job,
                records,
                job.config.delivery.output_formats,
                rows=[each.opened(stored_bytes=stored.size, absent=absent) for each in rows],
                observe=observe,
            )
            failures = self.write_failures(job, parts, records.seen)
        except (StorageError, OSError) as exc:
            raise ExportError(f"the dataset could not be written: {exc}") from exc
        return ExportResult(
            keys=keys,
            records=len(records.seen),
            failures=failures,
            duplicates_dropped=records.duplicates,
        )

    def records(self, job: Job) -> DistinctRecords:
        """The records that are saved, each once, to be read as often as needed. Raises
        `ExportError`.
        """
        stored = self._batches.load_all_batches(job.job_id)
        if stored.error is not None:
            raise ExportError(f"the batches could not be listed: {stored.error}") from stored.error
        return DistinctRecords(
            stored, job.config.num_records, expected=None, logger=self._logger, progress=None
        )

    def export_failures(self, job: Job) -> int:
        """List the failures of a job whose dataset is not exported; how many there are."""
        stored = self._batches.load_all_batches(job.job_id)
        parts = self._failure_parts.load_all_batches(job.job_id)
        if error := stored.error or parts.error:
            raise ExportError(f"the batches could not be listed: {error}") from error
        records = IndexSet(job.config.num_records)
        try:
            for batch in stored:
                for index in batch.indices:
                    if index < records.size:
                        records.add(index)
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
        if output_format is OutputFormat.CSV and job.config.delivery.byte_order_mark:
            return open_csv(self._objects, key, byte_order_mark=True)
        return _WRITERS[output_format](self._objects, key)

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

    def write_failures(self, job: Job, parts: StoredBatches, records: IndexSet) -> int:
        """List the failures of `parts` that have no record; how many there are. Raises
        `StorageError`.
        """
        key = failures_key(job.job_id)
        lines = _last_failures(parts, records)
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
    if isinstance(records, DistinctRecords):
        return records.some()
    iterator = iter(records)
    return iter(lambda: list(islice(iterator, LINES_AT_ONCE)), [])


def _last_failures(parts: StoredBatches, records: IndexSet) -> Iterator[bytes]:
    """The last line of every index that has no record, in the order in which they were written.

    Parts are read two or three times. Memory holds a bit an index, and a number for each index
    that failed more than once.
    """
    failed = IndexSet(records.size)
    again: dict[int, int] = {}
    for index, _ in _lines_of(parts, records):
        if not failed.add(index):
            again[index] = 0
    if again:
        for position, (index, _) in enumerate(_lines_of(parts, records)):
            if index in again:
                again[index] = position
    for position, (index, line) in enumerate(_lines_of(parts, records)):
        if again.get(index, position) == position:
            yield line


def _lines_of(parts: StoredBatches, records: IndexSet) -> Iterator[tuple[int, bytes]]:
    """Index and line of every failure of an index that has no record."""
    for part in parts:
        for index, line in zip(part.indices, part.lines, strict=True):
            if index < records.size and index not in records:
                yield index, line

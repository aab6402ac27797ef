"""The records of batches, each index once: what every export begins with."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

from runtime.domain.errors import ExportError
from runtime.domain.jobs.indices import IndexSet
from runtime.export.batches import Lines, StoredBatches
from runtime.export.formats import ExportRecord
from runtime.logs import event

PROGRESS_RECORDS: Final = 2000

_log = logging.getLogger(__name__)


class DistinctRecords:
    """The first record of each index, in batch order; each iteration reads the batches anew.

    An iteration that ends has seen `expected` records (unless None), or raises `ExportError`.
    """

    def __init__(
        self,
        batches: StoredBatches,
        size: int,
        *,
        expected: int | None = None,
        logger: logging.Logger = _log,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._batches = batches
        self._expected = expected
        self._logger = logger
        self._progress = progress
        self.seen = IndexSet(size)
        self.duplicates = 0

    def __iter__(self) -> Iterator[ExportRecord]:
        return chain.from_iterable(self.some())

    def some(self) -> Iterator[Sequence[ExportRecord]]:
        """Some of them at a time."""
        self.seen = IndexSet(self.seen.size)
        self.duplicates = 0
        told = 0
        for key, lines in self._batches.lines():
            yield self._distinct(key, lines)
            while told + PROGRESS_RECORDS <= len(self.seen):
                told += PROGRESS_RECORDS
                self._report(told)
        self._report(len(self.seen))
        if self._expected is not None and len(self.seen) != self._expected:
            raise ExportError(
                f"the batches hold {len(self.seen)} distinct records but {self._expected} were "
                "counted: nothing was exported; run the job again"
            )

    def _distinct(self, key: str, lines: Lines) -> Sequence[ExportRecord]:
        found: Sequence[ExportRecord | None]
        try:
            records = found = ExportRecord.of(lines.lines, lines.documents)
            if self.seen.add_all(lines.indices):
                return records
        except ValueError:  # one of them is not a whole record: None stands for it
            found = list(map(_record, lines.lines, lines.documents))
        some = []
        for index, record in zip(lines.indices, found, strict=True):
            if index >= self.seen.size:
                self._warn("index out of range", key, index)
            elif record is None:
                self._warn("damaged record skipped", key, index)
            elif not self.seen.add(index):
                self.duplicates += 1
            else:
                some.append(record)
        return some

    def _warn(self, what: str, key: str, index: int) -> None:
        event(self._logger, logging.WARNING, what, key=key, index=index)

    def _report(self, records: int) -> None:
        if self._progress is not None:
            self._progress(records)


def _record(line: bytes, document: dict[str, Any]) -> ExportRecord | None:
    try:
        return ExportRecord.of((line,), (document,))[0]
    except ValueError:
        return None


def absent_indices(
    parts: StoredBatches, size: int, expected: int | None, *, within: range | None = None
) -> IndexSet | None:
    """The indices below `size`, or `within` them, that have no record, where that is certain: every
    index has a record or failed. One that failed and was tried again may have both, and then the
    numbers don't add up. `parts` list failures.
    """
    within = range(size) if within is None else within
    failed = IndexSet(size)
    for part in parts:
        for index in part.indices:
            if index in within:
                failed.add(index)
    return failed if expected is not None and len(failed) + expected == len(within) else None

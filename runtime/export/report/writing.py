"""The report that is written beside an export. It is fed by the pass that writes the dataset, and
never in its way: a report that can't be made or written is logged and said, and no more than that.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import orjson

from runtime.contract.keys import failures_key, report_key
from runtime.domain.errors import NotFoundError, SeedwrightError
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.unsaved import NOTHING_UNSAVED, Unsaved
from runtime.domain.ports import ObjectStore
from runtime.export.exporter import Exporter
from runtime.export.formats import ExportRecord
from runtime.export.report.checked import rejected_documents
from runtime.export.report.statistics import DatasetStatistics, StatisticsCollector
from runtime.export.row_export import RowExport
from runtime.export.selection import Chosen
from runtime.logs import event

HTML: Final = "text/html; charset=utf-8"

REPORT_MARK: Final = b'<meta name="generator" content="Seedwright report">'
"""By this, near its beginning, a page is known to be a report of ours."""

_log = logging.getLogger(__name__)


def export_with_report(
    exporter: Exporter,
    objects: ObjectStore,
    job: Job,
    *,
    expected: int | None,
    progress: Callable[[int], None] | None = None,
    may_write: Callable[[], bool] = lambda: True,
    rows: Sequence[RowExport] = (),
    chosen: Chosen | None = None,
) -> None:
    """Export the dataset, with its rows, and make its report in the same pass. Raises what the
    export does.

    `may_write` is asked once the dataset is published: who has lost the job leaves the report to
    its new owner. A dataset without records has none.
    """
    report = Report(objects, job.job_id)
    exported = exporter.export_data(
        job,
        expected=expected,
        progress=progress,
        observe=report.add,
        rows=rows,
        chosen=chosen,
    )
    if exported.records and may_write():
        report.write(job)


class Report:
    """The report of one export: `add` gets every record, then `write` is called."""

    def __init__(self, objects: ObjectStore, job_id: str, *, logger: logging.Logger = _log) -> None:
        self._objects = objects
        self._job_id = job_id
        self._collector = StatisticsCollector(job_id)
        self._logger = logger
        self._broken = False

    def add(self, record: ExportRecord) -> None:
        """Count a record. Raises nothing: it is called while the dataset is written."""
        if not self._broken:
            self._guarded(lambda: self._collector.add(record))

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Count records that are given as their lines, each once; damaged ones are left out, as an
        export does. Raises nothing.
        """
        self._guarded(lambda: self._collector.add_lines(lines))

    def document(self) -> bytes | None:
        """What was counted, for `merge`; None where that is not possible. Raises nothing."""
        counted: list[object] = []
        self._guarded(lambda: counted.append(self._collector.document()))
        return None if self._broken or counted == [None] else orjson.dumps(counted[0])

    def merge(self, document: bytes) -> None:
        """Count what another report has, of records that come after those of this one. Raises
        nothing.
        """
        if not self._broken:
            self._guarded(lambda: self._collector.merge(orjson.loads(document)))

    def write(self, job: Job) -> bool:
        """Write the page with the counters of `job`; whether that succeeded. Raises nothing."""
        if not self._broken:
            self._guarded(lambda: self._write(job))
        return not self._broken

    def _write(self, job: Job) -> None:
        from runtime.export.report.page import render_page  # noqa: PLC0415 - not at every start

        self._collector.add_rejected(rejected_documents(self._objects, job))
        statistics = self._collector.result(job, failure_lines(self._objects, self._job_id))
        page = render_page(statistics).encode("utf-8", "replace")
        self._objects.put(report_key(self._job_id), page, content_type=HTML)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except SeedwrightError as error:
            self._broken = True
            self._note(error.code)
        except Exception as error:  # noqa: BLE001 - the dataset is worth more than its report
            self._broken = True
            self._note(type(error).__name__)

    def _note(self, error: str) -> None:
        event(self._logger, logging.WARNING, "report not written", job_id=self._job_id, error=error)


def failure_lines(objects: ObjectStore, job_id: str) -> Iterator[bytes]:
    """The exported list of failures; nothing where there is none. Raises `StorageError`."""
    try:
        with objects.open_reader(failures_key(job_id)) as stream:
            yield from stream
    except NotFoundError:
        return


def statistics_of(
    objects: ObjectStore, job: Job, lines: Iterable[bytes], *, unsaved: Unsaved = NOTHING_UNSAVED
) -> DatasetStatistics:
    """The statistics of records that are given as their lines, each once; damaged ones are left
    out, as an export does. `unsaved` is what there is beside them. Raises `StorageError`.
    """
    collector = StatisticsCollector(job.job_id)
    collector.add_lines(lines)
    collector.add_rejected(rejected_documents(objects, job))
    return collector.result(job, failure_lines(objects, job.job_id), unsaved=unsaved)

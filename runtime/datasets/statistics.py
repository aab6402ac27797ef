"""The statistics of the dataset in a folder, complete or not, and its report made again."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.bootstrap import SystemClock
from runtime.datasets.folder import REPORT, DatasetFolder
from runtime.datasets.records import dataset_lines
from runtime.datasets.waiting import unsaved_of
from runtime.disk import disk_errors, replacing
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.job import Job
from runtime.export.report.statistics import DatasetStatistics
from runtime.export.report.writing import statistics_of
from runtime.local.storage import LocalStorage, open_storage


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderReport:
    """What the records in a folder look like now."""

    folder: Path
    """Of the dataset."""
    job: Job
    statistics: DatasetStatistics
    page: Path | None
    """The report, written anew; None where a page of somebody else stands in its place."""


def read_statistics(path: Path) -> DatasetStatistics:
    """The statistics of the records that are saved in a folder; calls no model, writes no page.

    Raises `InputError` for a folder without a dataset, `ConfigurationError` for a damaged one,
    `StorageError`.
    """
    folder = DatasetFolder(path)
    with _opened(folder) as (storage, job):
        return _statistics(folder, storage, job)


def write_report(path: Path) -> FolderReport:
    """Write the report of the records that are saved in a folder. Raises as `read_statistics`."""
    from runtime.export.report.page import render_page  # noqa: PLC0415 - who only counts needs none

    folder = DatasetFolder(path)
    with _opened(folder) as (storage, job):
        statistics = _statistics(folder, storage, job)
    if not folder.owns_report():
        return FolderReport(folder=path, job=job, statistics=statistics, page=None)
    page = path / REPORT
    with disk_errors(f"write {page}"), replacing(page) as file:
        file.write(render_page(statistics).encode("utf-8", "replace"))
    return FolderReport(folder=path, job=job, statistics=statistics, page=page)


def _statistics(folder: DatasetFolder, storage: LocalStorage, job: Job) -> DatasetStatistics:
    unsaved = unsaved_of(storage, job)  # before the records: none is left out by both
    lines = dataset_lines(folder, job, storage.objects, storage.templates)
    return statistics_of(storage.objects, job, lines, unsaved=unsaved)


@contextmanager
def _opened(folder: DatasetFolder) -> Iterator[tuple[LocalStorage, Job]]:
    job_id, _ = folder.begun()
    folder.check_links()
    with closing(open_storage(folder.state, clock=SystemClock())) as storage:
        try:
            job = storage.jobs.get_job(job_id)
        except NotFoundError as exc:
            raise InputError(
                f"nothing was begun in {folder.path}: run `seedwright generate` with its template "
                "and seeds"
            ) from exc
        yield storage, job

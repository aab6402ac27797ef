"""Rows again from what a folder holds: in another shape, split, format, with a person's verdicts.

No model is opened and nothing is paid. A dataset that is not complete gives what it has; one that
another process generates gives what is saved, and that process makes the rows anew at its end.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.bootstrap import SystemClock
from runtime.datasets.configurations import choice_of, keep_review, load_configurations
from runtime.datasets.engine_parts import log_to
from runtime.datasets.export_request import ExportRequest
from runtime.datasets.folder import DatasetFolder
from runtime.datasets.outcome import rows_document
from runtime.datasets.row_folders import Renewed, RowFolders, stale_notices
from runtime.datasets.waiting import saving, unsaved_of
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.unsaved import Unsaved
from runtime.domain.templates.template import Template
from runtime.domain.wording import counted
from runtime.engine.plan import Templates
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.export.configurations import Configuration, Configurations
from runtime.export.exporter import Exporter
from runtime.export.review import MAX_REVIEW_BYTES, read_review
from runtime.export.row_export import RowResult
from runtime.export.row_request import NONE, read_configuration, read_licence, remembered
from runtime.inputs.files import read_file
from runtime.local.storage import open_storage
from runtime.worker.exporting import JobExport


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """The rows in one shape, just made. `others` are those in other shapes that stayed."""

    folder: Path
    """Of the dataset."""
    job: Job
    rows: RowResult
    others: tuple[RowResult, ...]
    notices: tuple[str, ...]
    """What a reader should know, a sentence each."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of these rows."""
        return tuple(self.folder / name for name in self.rows.files)

    @property
    def complete(self) -> bool:
        """Whether no record is missing but those that failed."""
        return self.job.status is JobStatus.COMPLETED

    @property
    def records_text(self) -> str:
        """Of how many records the rows are."""
        text = f"{self.rows.generated} of {counted(self.job.config.num_records, 'record')}"
        return text if self.complete else f"{text}, not complete"

    def document(self) -> dict[str, object]:
        """The figures for scripts, as JSON has them."""
        return {
            "status": str(self.job.status),
            "complete": self.complete,
            "job_id": self.job.job_id,
            "records": self.rows.generated,
            "requested": self.job.config.num_records,
            "rows": rows_document(self.rows),
            "others": [rows_document(each) for each in self.others],
            "files": [str(path) for path in self.files],
            "notices": list(self.notices),
        }


def export_dataset(path: Path, request: ExportRequest) -> Exported:
    """Make the rows that are asked for, and publish them.

    Raises `InputError` for what can't be made of these records, `UnclearOutputError` for a shape
    whose fields don't follow from the template, `ExportError`, `StorageError`, and
    `ConfigurationError` for a damaged folder.
    """
    licence = read_licence(request.licence)
    with opened(path) as dataset, dataset.row_folders.changing():
        known = load_configurations(dataset.folder.state)
        own = known.own_template(dataset.stored)
        new = before = remembered(request.shape, own, known)
        asked, judged = request.rows(), request.review is not None or licence is not None
        if new is None or not (judged and asked.says_nothing):
            new = read_configuration(asked, own, dataset.stored, before=before)
        if (foreign := dataset.folder.rows.foreign(new.folder)) is not None:
            raise InputError(f"{foreign} exists and was not made here: move it away")
        new = replace(new, review=_review(dataset, known, own, new, request.review))
        known = replace(known, licence=licence or known.licence)
        if not dataset.job.progress.records_generated and (text := dataset.unsaved_text()):
            raise InputError(f"no records are saved yet: {text}")
        done = dataset.row_folders.write(dataset.job, own, new, known)
    return _exported(dataset, new, done)


def _review(
    dataset: "OpenDataset",
    known: Configurations,
    own: Template,
    new: Configuration,
    review: str | Path | None,
) -> str | None:
    """The name of the review's copy: a new one is checked with the columns before it is kept."""
    if review is None:
        before = known.of(new.folder)
        return None if before is None else before.review
    if str(review) == NONE:
        return None
    name, state = Path(review).name, dataset.folder.state
    body = read_file(Path(review), MAX_REVIEW_BYTES, InputError)
    choice = replace(
        choice_of(state, new), review_of=lambda columns: read_review(name, body, columns)
    )
    with dataset.export.row_source(dataset.job, new.template(own), choice):
        return keep_review(state, new.folder, name, body)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenDataset:
    """A folder that is opened to export from it."""

    folder: DatasetFolder
    job: Job
    stored: Template
    export: JobExport
    row_folders: RowFolders
    unsaved: Unsaved

    def unsaved_text(self) -> str | None:
        """What to say of finished records that no file of records holds yet."""
        if not self.unsaved.records:
            return None
        records = counted(self.unsaved.records, "finished record")
        return f"{records} may not be in it yet: {saving(self.folder.path)}"


@contextmanager
def opened(path: Path) -> Iterator[OpenDataset]:
    """The dataset in a folder, for the length of the block. Nobody begins to generate into it
    meanwhile; who generates already is not disturbed.

    Raises `InputError` for a folder without a dataset, `ConfigurationError` for a damaged one.
    """
    folder = DatasetFolder(path)
    job_id, _ = folder.begun()
    with ExitStack() as stack:
        folder.check_links()
        stack.enter_context(folder.locked_if_free())
        storage = stack.enter_context(closing(open_storage(folder.state, clock=SystemClock())))
        try:
            job = storage.jobs.get_job(job_id)
        except NotFoundError as exc:
            raise InputError(
                f"nothing was begun in {path}: run `seedwright generate` with its template and"
                " seeds"
            ) from exc
        stack.enter_context(log_to(folder.log, job_id=job_id))
        engine = stack.enter_context(TemplateEngine())
        export = JobExport(Exporter(storage.objects), storage, engine)
        yield OpenDataset(
            folder=folder,
            job=job,
            stored=Templates(storage.templates).load_template(job),
            export=export,
            row_folders=RowFolders(export, storage.objects, folder.rows, folder.state),
            unsaved=unsaved_of(storage, job),
        )


def _exported(dataset: OpenDataset, new: Configuration, done: Renewed) -> Exported:
    (rows,) = (each for each in done.results if each.folder == new.folder)
    others = tuple(each for each in done.results if each is not rows)
    notices = [*done.notices, *stale_notices(others, dataset.job)]
    if (text := dataset.unsaved_text()) is not None:
        notices.append(text)
    if new.review is not None:
        nothing = "" if rows.dropped or rows.edited else " changes no row and"
        notices.append(f"the review{nothing} is applied from now on: --review {NONE} ends that")
    return Exported(
        folder=dataset.folder.path,
        job=dataset.job,
        rows=rows,
        others=others,
        notices=tuple(notices),
    )

"""The records that a dataset in a folder has by now, as their lines: where its template has checks
those that are accepted.
"""

from collections.abc import Iterator
from contextlib import closing

from runtime.bootstrap import SystemClock
from runtime.datasets.folder import DatasetFolder
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Job
from runtime.domain.ports import ObjectStore, TemplateStore
from runtime.engine.plan import Templates
from runtime.engine.repeats.index import repeat_index
from runtime.export.exporter import Exporter
from runtime.local.storage import open_storage


def dataset_lines(
    folder: DatasetFolder, job: Job, objects: ObjectStore, templates: TemplateStore
) -> Iterator[bytes]:
    """Each record once. Raises `ExportError`, `StorageError`."""
    return folder.saved_lines(job.job_id, only=_accepted(job, objects, templates))


def saved_records(folder: DatasetFolder, job_id: str) -> Iterator[bytes]:
    """The same of a folder that nobody has opened. Raises `NotFoundError` where it is gone."""
    folder.check_state()
    with closing(open_storage(folder.state, clock=SystemClock())) as storage:
        job = storage.jobs.get_job(job_id)
        yield from dataset_lines(folder, job, storage.objects, storage.templates)


def _accepted(job: Job, objects: ObjectStore, templates: TemplateStore) -> IndexSet | None:
    """The indices of its records; None: all that are saved."""
    if not job.config.has_checks:
        return None
    checks = Templates(templates).load_template(job).checks
    return Exporter(objects).choose(job, checks, repeat_index).accepted

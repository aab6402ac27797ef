"""What of a dataset only the journal has, while it is generated and after a kill."""

from pathlib import Path

from runtime.contract.keys import FAILURE_PARTS, RECORDS, NumberedObjects
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import Job, work_id_of
from runtime.domain.jobs.unsaved import Unsaved
from runtime.export.batches import Batches
from runtime.local.storage import LocalStorage


def unsaved_of(storage: LocalStorage, job: Job) -> Unsaved:
    """The work of a job, just read, that neither its batches nor its counters have. Raises
    `StorageError`.
    """
    # First the journal: what is saved meanwhile is found in the batches.
    journal = storage.read_journal(work_id_of(job.job_id))
    if journal.tokens:
        journal = journal.without(
            records=_saved(storage, job, RECORDS), failed=_saved(storage, job, FAILURE_PARTS)
        )
    try:
        committed = storage.budgets.get_account(job.job_id).committed_nano
    except NotFoundError:
        committed = 0
    return Unsaved(
        records=len(journal.records),
        failed=len(journal.failed),
        tokens=sum(journal.tokens.values()),
        cost_nano=max(0, committed - job.progress.cost_nano),
    )


def saving(folder: Path) -> str:
    """Who saves it, as the end of a sentence."""
    return (
        "a run that goes on saves them soon, and after one that was killed"
        f" `seedwright resume {folder}` does"
    )


def _saved(storage: LocalStorage, job: Job, kind: NumberedObjects) -> set[int]:
    stored = Batches(storage.objects, kind).load_all_batches(job.job_id)
    if stored.error is not None:
        raise stored.error
    return {index for batch in stored for index in batch.indices}

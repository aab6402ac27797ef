"""Everything a laptop stores, in one directory.

    state.sqlite3   jobs, queue, templates, checkpoints, costs, budgets
    objects/        seeds, batches, checkpoints, exports (see `runtime.contract.keys`)
    journals/       paid replies that no batch holds yet, one file for each work item
    locks/          who works on what

Several processes may open it at once, and any of them may be killed at any moment.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from runtime.disk import disk_errors, exclusive, make_folder
from runtime.domain.errors import ConfigurationError
from runtime.domain.ports import Clock, Journal
from runtime.local.budget_store import SqliteBudgetStore
from runtime.local.checkpoint_versions import SqliteCheckpointVersions
from runtime.local.cost_store import SqliteCostStore
from runtime.local.database import Database
from runtime.local.job_catalog import SqliteJobCatalog
from runtime.local.job_store import SqliteJobStore
from runtime.local.journal import FileJournal, JournalContent, read_journal, remove_journal
from runtime.local.liveness import WorkLocks
from runtime.local.monthly_budgets import SqliteMonthlyBudgets
from runtime.local.objects import DirectoryObjects
from runtime.local.template_catalog import SqliteTemplateCatalog
from runtime.local.template_store import SqliteTemplateStore
from runtime.local.upload_ledgers import SqliteUploadLedgers
from runtime.local.work_catalog import SqliteWorkCatalog
from runtime.local.work_queue import SqliteWorkQueue


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalStorage:
    """The adapters of one directory. `close` gives up every claim that is still held."""

    directory: Path
    clock: Clock
    queue: SqliteWorkQueue
    work: SqliteWorkCatalog
    jobs: SqliteJobStore
    job_catalog: SqliteJobCatalog
    templates: SqliteTemplateStore
    template_catalog: SqliteTemplateCatalog
    checkpoints: SqliteCheckpointVersions
    costs: SqliteCostStore
    budgets: SqliteBudgetStore
    monthly_budgets: SqliteMonthlyBudgets
    upload_ledgers: SqliteUploadLedgers
    objects: DirectoryObjects
    open_journal: Callable[[str], Journal]
    """Opens the journal of a work id."""
    read_journal: Callable[[str], JournalContent]
    """What the journal of a work id holds, whoever writes it now."""
    close: Callable[[], None]
    """Release the file handles and locks; a second call is harmless."""


def open_storage(directory: Path, *, clock: Clock) -> LocalStorage:
    """Open `directory`, which is created when it's missing.

    Raises `ConfigurationError` when it can't be used or a newer program wrote it,
    `StorageUnavailableError` when another process keeps it locked, or `StorageError`.
    """
    _make_usable(directory)
    with ExitStack() as stack:
        locks = WorkLocks(directory / "locks")
        stack.callback(locks.close)
        with exclusive(directory / "locks" / "open"):  # one process makes the tables
            database = Database(directory / "state.sqlite3")
        stack.callback(database.close)
        objects = open_objects(directory)
        stack.callback(objects.close)
        close = stack.pop_all().close

    def journal_path(work_id: str) -> Path:
        return directory / "journals" / f"{quote(work_id, safe='')}.jsonl"

    return LocalStorage(
        directory=directory,
        clock=clock,
        queue=SqliteWorkQueue(database=database, locks=locks),
        work=SqliteWorkCatalog(database=database, clock=clock),
        jobs=SqliteJobStore(database=database, clock=clock),
        job_catalog=SqliteJobCatalog(
            database=database,
            clock=clock,
            remove_journal=lambda work_id: remove_journal(journal_path(work_id)),
        ),
        templates=SqliteTemplateStore(database=database, clock=clock),
        template_catalog=SqliteTemplateCatalog(database=database, clock=clock),
        checkpoints=SqliteCheckpointVersions(database=database),
        costs=SqliteCostStore(database=database),
        budgets=SqliteBudgetStore(database=database),
        monthly_budgets=SqliteMonthlyBudgets(database=database),
        upload_ledgers=SqliteUploadLedgers(database=database),
        objects=objects,
        open_journal=lambda work_id: FileJournal(journal_path(work_id)),
        read_journal=lambda work_id: read_journal(journal_path(work_id)),
        close=close,
    )


def open_objects(directory: Path) -> DirectoryObjects:
    """The objects alone, for reading what is saved. Raises `StorageError`."""
    return DirectoryObjects(directory / "objects")


def _make_usable(directory: Path) -> None:
    with disk_errors(f"create {directory}"):
        try:
            make_folder(directory)
        except (PermissionError, FileExistsError, NotADirectoryError) as exc:
            raise ConfigurationError(
                f"{directory} can't be created: choose another directory"
            ) from exc
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(f"{directory} can't be written: choose another directory")

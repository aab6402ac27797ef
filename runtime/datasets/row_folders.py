"""The rows of a dataset in all the folders that were asked for, kept current together.

    what is remembered ─▶ current? ─ no ─▶ made again ─▶ card, folder
                             └ can't be made again ─▶ removed, and said

Nobody is called and nothing is paid.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from runtime.contract.keys import ROWS_FOLDER
from runtime.datasets.configurations import choice_of, load_configurations, save_configurations
from runtime.datasets.rows import Files, PublishedRows, row_notices
from runtime.disk import exclusive
from runtime.domain.errors import InputError, SeedwrightError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job
from runtime.domain.outputs.shape import Shape
from runtime.domain.outputs.split import split_document
from runtime.domain.templates.template import Template
from runtime.domain.wording import counted
from runtime.export.configurations import Configuration, Configurations, own_document
from runtime.export.row_export import RowResult, load_results
from runtime.worker.exporting import JobExport, rows_digest

_LOCK: Final = "exports.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """The rows that a folder has now, the template's own ones first."""

    results: tuple[RowResult, ...]
    notices: tuple[str, ...]
    """What a reader should know, a sentence each."""


class RowFolders:
    """The rows below one dataset's folder. `state` is its hidden part."""

    def __init__(self, export: JobExport, files: Files, rows: PublishedRows, state: Path) -> None:
        self._export = export
        self._files = files
        self._rows = rows
        self._state = state

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only process that changes rows and what is remembered of them."""
        with exclusive(self._state / _LOCK):
            yield

    def renew(
        self,
        job: Job,
        stored: Template,
        asked: Template,
        *,
        formats: Sequence[OutputFormat],
        stale: Sequence[OutputFormat],
    ) -> Renewed:
        """Bring everything up to date with the job's records, and write the `stale` formats of the
        dataset. `asked` is the template with its newest output and split. Raises what an export
        raises: of rows in other shapes that is said instead.
        """
        with self.changing():
            known = self._following(load_configurations(self._state), stored, asked)
            there = {each.folder: each for each in self._results(job)}
            results: list[RowResult] = []
            notices: list[str] = []
            made = self._own(job, known, asked, formats=formats, stale=stale, there=there)
            if made is not None:
                results.append(made)
            for each in known.rows:
                if each.folder == ROWS_FOLDER:
                    continue
                try:
                    results.append(self._current(job, each, asked, there))
                except SeedwrightError as error:
                    notices.append(
                        f"the rows in {each.folder}/ were of fewer records and were removed, since"
                        f" they can't be made again: {error}"
                    )
                    known = known.without(each.folder)
            changed = results != list(there.values()) or made is not there.get(ROWS_FOLDER)
            if results and (changed or known.licence is not None):
                self.describe(job, asked, results, known)
            save_configurations(self._state, known)
            return self._published(job, results, notices)

    def write(self, job: Job, own: Template, new: Configuration, known: Configurations) -> Renewed:
        """Make the rows of one configuration now, beside those that there are. To be called while
        `changing`. Raises what an export raises.
        """
        others = [each for each in self._results(job) if each.folder != new.folder]
        made = self._make(job, new, own)
        results = sorted(
            [*others, made], key=lambda each: (each.folder != ROWS_FOLDER, each.folder)
        )
        known = known.with_rows(new)
        self.describe(job, own, results, known)
        save_configurations(self._state, known)
        return self._published(job, results, [])

    def describe(
        self, job: Job, own: Template, results: Sequence[RowResult], known: Configurations
    ) -> None:
        """Write the card, and note what rows there are."""
        self._export.describe(job, own, results, licence=known.licence)

    def _own(
        self,
        job: Job,
        known: Configurations,
        own: Template,
        *,
        formats: Sequence[OutputFormat],
        stale: Sequence[OutputFormat],
        there: dict[str, RowResult],
    ) -> RowResult | None:
        """The rows of the template's own shape, which come with the dataset's files."""
        wanted = known.of(ROWS_FOLDER)
        template, choice = own, Configuration().choice(formats=frozenset(formats))
        if wanted is not None and own.output.shape is not Shape.RECORDS:
            template = wanted.template(own)
            choice = choice_of(self._state, wanted, formats=frozenset(formats))
        found = there.get(ROWS_FOLDER)
        current = (
            found is None
            if template.output.shape is Shape.RECORDS
            else _is_current(found, rows_digest(template, mark=choice.mark), job)
        )
        if current and not stale:
            return found
        delivery = replace(job.config.delivery, output_formats=tuple(stale))
        asked = replace(job, config=replace(job.config, delivery=delivery))
        return next(iter(self._export.export(asked, template, expected=None, choice=choice)), None)

    def _current(
        self, job: Job, wanted: Configuration, own: Template, there: dict[str, RowResult]
    ) -> RowResult:
        template, choice = wanted.template(own), choice_of(self._state, wanted)
        found = there.get(wanted.folder)
        if found is not None and _is_current(found, rows_digest(template, mark=choice.mark), job):
            return found
        return self._make(job, wanted, own)

    def _make(self, job: Job, wanted: Configuration, own: Template) -> RowResult:
        is_own = wanted.folder == ROWS_FOLDER
        formats = job.config.delivery.output_formats if is_own else ()
        choice = choice_of(self._state, wanted, formats=frozenset(formats))
        # Only rows: the files of the dataset are current.
        delivery = replace(job.config.delivery, output_formats=())
        asked = replace(job, config=replace(job.config, delivery=delivery))
        made = self._export.write(asked, wanted.template(own), expected=None, choice=choice)
        if not made:
            raise InputError("no records are saved yet")
        return made[0]

    def _following(
        self, known: Configurations, stored: Template, asked: Template
    ) -> Configurations:
        """What is remembered, where the template says something new of its own rows now."""
        own = own_document(asked)
        if own == (known.own or own_document(stored)):
            return known
        of_own = known.of(ROWS_FOLDER)
        if of_own is not None:
            split = None if asked.split is None else split_document(asked.split)
            known = known.with_rows(replace(of_own, output=None, split=split))
        return replace(known, own=own)

    def _results(self, job: Job) -> tuple[RowResult, ...]:
        return load_results(self._export.ports.objects, job.job_id)

    def _published(self, job: Job, results: Sequence[RowResult], notices: Sequence[str]) -> Renewed:
        owns_card = self._rows.publish(self._files, job, results)
        return Renewed(
            results=tuple(results),
            notices=(*notices, *row_notices(results, owns_card=owns_card)),
        )


def stale_notices(results: Sequence[RowResult], job: Job) -> Iterator[str]:
    """Of which rows there are more records by now, a sentence each."""
    for each in results:
        if each.generated != job.accepted:
            yield (
                f"the rows in {each.folder}/ are of {counted(each.generated, 'record')}:"
                " `seedwright export` makes them of all that are saved"
            )


def _is_current(found: RowResult | None, made_of: str, job: Job) -> bool:
    return found is not None and found.made_of == made_of and found.generated == job.accepted

"""Rows of a job of an API in the shapes that it was asked for: one of them now, or all of them
again with the dataset, when there are more records.

    request ─▶ rows in their folder ─▶ remembered ─▶ card and list of all rows
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.contract.keys import ROWS_FOLDER, row_folders, rows_prefix
from runtime.domain.errors import InputError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.ports import Claim
from runtime.domain.templates.template import Template
from runtime.export.configurations import Configuration
from runtime.export.row_export import RowResult, load_results
from runtime.export.row_orders import RowOrder, load_row_configurations, save_row_configurations
from runtime.export.selection import Chosen
from runtime.logs import event
from runtime.worker.exporting import JobExport
from runtime.worker.shard_exports import ShardExports

_log = logging.getLogger(__name__)

_WITHOUT_DATASET: Final = frozenset({JobStatus.CANCELLED, JobStatus.FAILED})
"""Jobs that ended like this have records, and their dataset was not exported, or not to the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Who looks on while an export is made; see `JobExport.export`."""

    progress: Callable[[int], None]
    may_write: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class RowExports:
    """Exports jobs with all their rows, in shards or in one piece."""

    export: JobExport
    shards: ShardExports

    def make(self, job: Job, template: Template, order: RowOrder, watch: Watch) -> RowResult:
        """The rows of one request, beside the others. The files of the dataset are as they were,
        unless the job ended without any. Raises what an export raises, and `InputError` without
        records.
        """
        objects, wanted = self.export.ports.objects, order.rows
        others = [
            each for each in load_results(objects, job.job_id) if each.folder != wanted.folder
        ]
        formats = job.config.delivery.output_formats if job.status in _WITHOUT_DATASET else ()
        made = self._rows(job, template, wanted, watch, formats=formats)
        if watch.may_write():
            known = load_row_configurations(objects, job.job_id).with_rows(wanted)
            known = replace(known, licence=order.licence or known.licence)
            save_row_configurations(objects, job.job_id, known)
            results = sorted([*others, made], key=_own_first)
            self.export.describe(_counted(job, made), template, results, licence=known.licence)
        return made

    def with_dataset(
        self,
        job: Job,
        template: Template,
        claim: Claim,
        watch: Watch,
        *,
        expected: int | None,
        chosen: Chosen | None = None,
    ) -> None:
        """The dataset, and its rows in every shape that is remembered. Raises what an export
        raises. `chosen` are the records of a job with checks, None: they are chosen now.
        """
        if job.export is None:  # nothing was ever asked for
            looking_on: Any = {"progress": watch.progress, "may_write": watch.may_write}
            joined = self.shards.join(job, template, claim, expected=expected, **looking_on)
            if joined is None:
                self.export.export(job, template, expected=expected, chosen=chosen, **looking_on)
            elif joined and watch.may_write():
                self.export.describe(job, template, joined)
        else:
            self._with_all_rows(job, template, watch, expected=expected, chosen=chosen)
        if watch.may_write():
            self.shards.clear(job)

    def _with_all_rows(
        self,
        job: Job,
        template: Template,
        watch: Watch,
        *,
        expected: int | None,
        chosen: Chosen | None,
    ) -> None:
        objects = self.export.ports.objects
        known = load_row_configurations(objects, job.job_id)
        own = known.of(ROWS_FOLDER)
        results = list(
            self.export.write(
                job,
                template if own is None else own.template(template),
                expected=expected,
                progress=watch.progress,
                may_write=watch.may_write,
                choice=None if own is None else own.choice(),
                chosen=chosen,
            )
        )
        for each in known.rows:
            if each.folder == ROWS_FOLDER or not job.progress.records_generated:
                continue
            try:
                results.append(self._rows(job, template, each, watch, chosen=chosen))
            except InputError as error:
                event(
                    _log,
                    logging.WARNING,
                    "rows can't be made again",
                    job_id=job.job_id,
                    folder=each.folder,
                    error=error.code,
                )
                known = known.without(each.folder)
                self._remove(job, each.folder)
        if results and watch.may_write():
            save_row_configurations(objects, job.job_id, known)
            self.export.describe(job, template, results, licence=known.licence)

    def _rows(
        self,
        job: Job,
        template: Template,
        wanted: Configuration,
        watch: Watch,
        *,
        formats: tuple[OutputFormat, ...] = (),
        chosen: Chosen | None = None,
    ) -> RowResult:
        delivery = job.config.delivery
        # Beside Parquet: the rows of the template's own shape come in the formats of the dataset.
        beside = delivery.output_formats if wanted.folder == ROWS_FOLDER else ()
        delivery = replace(delivery, output_formats=formats)
        asked = replace(job, config=replace(job.config, delivery=delivery))
        made = self.export.write(
            asked,
            wanted.template(template),
            expected=None,
            progress=watch.progress,
            may_write=watch.may_write,
            choice=wanted.choice(formats=frozenset(beside)),
            chosen=chosen,
        )
        if not made:
            raise InputError("no records are saved: there is nothing to make rows of")
        return made[0]

    def _remove(self, job: Job, folder: str) -> None:
        objects = self.export.ports.objects
        for each in row_folders(folder):
            prefix = rows_prefix(job.job_id, each)
            objects.delete([stat.key for stat in objects.list(prefix)])


def _counted(job: Job, made: RowResult) -> Job:
    """With the records that were read: the counters of a job that was cancelled may be behind. Of
    one with checks there are others besides.
    """
    if job.config.has_checks:
        return job
    read = max(job.progress.records_generated, made.records)
    return replace(job, progress=replace(job.progress, records_generated=read))


def _own_first(result: RowResult) -> tuple[bool, str]:
    return result.folder != ROWS_FOLDER, result.folder

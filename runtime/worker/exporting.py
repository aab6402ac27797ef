"""What is exported of a job, in one pass over its records: the dataset, its rows, card and report.

    template, seeds ─▶ what a row is ┐
    batches ─────────────────────────┴▶ dataset.* · data/* · report ─▶ card, what rows there are

Nobody is called and nothing is paid: it may be repeated at will.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Protocol

import orjson

from runtime.contract.keys import REJECTED_PARTS, card_key
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import SeedError
from runtime.domain.jobs.check_counts import checks_of
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import ENDED, Job
from runtime.domain.outputs.document import output_document
from runtime.domain.outputs.seed_types import SeedTypes
from runtime.domain.outputs.shape import Output, Shape
from runtime.domain.outputs.split import Split, split_document
from runtime.domain.outputs.types import Type, type_text
from runtime.domain.ports import Clock, ObjectStore
from runtime.domain.seeds.seeds import value_at
from runtime.domain.templates.document import document_of
from runtime.domain.templates.seed_needs import named, row_paths, seed_needs
from runtime.domain.templates.template import Template
from runtime.domain.templates.text import render_yaml
from runtime.domain.wording import counted
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.repeats.index import repeat_index
from runtime.engine.rows import RejectedOf, RowMaker, RowProblem
from runtime.engine.seeds import DrawnSeeds, Seeds
from runtime.export.batches import Batches
from runtime.export.card import Card, Configuration, SplitFiles, render_card
from runtime.export.configurations import RowChoice
from runtime.export.exporter import Exporter
from runtime.export.formats import ExportRecord
from runtime.export.rejected import FirstRejected
from runtime.export.report.writing import export_with_report
from runtime.export.row_export import RowExport, RowResult, RowSource, save_results
from runtime.export.selection import Chosen, ChosenRecords

MARKDOWN: Final = "text/markdown; charset=utf-8"


class ExportPorts(Protocol):
    """What an export needs: objects and the time."""

    @property
    def clock(self) -> Clock: ...
    @property
    def objects(self) -> ObjectStore: ...


@dataclass(frozen=True, slots=True)
class JobExport:
    """Exports jobs. `engine` renders the texts of rows."""

    exporter: Exporter
    ports: ExportPorts
    engine: TemplateEngine

    def export(
        self,
        job: Job,
        template: Template,
        *,
        expected: int | None,
        progress: Callable[[int], None] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        choice: RowChoice | None = None,
        chosen: Chosen | None = None,
    ) -> tuple[RowResult, ...]:
        """All of it; what rows there are. Raises `ExportError`, `SeedError`, `TemplateError`, and
        what `progress` raises. `job` carries the counters that card and report show. `chosen` are
        the records of a job with checks, None: they are chosen now.
        """
        results = self.write(
            job,
            template,
            expected=expected,
            progress=progress,
            may_write=may_write,
            choice=choice,
            chosen=chosen,
        )
        if results and may_write():
            self.describe(job, template, results)
        return results

    def write(
        self,
        job: Job,
        template: Template,
        *,
        expected: int | None,
        progress: Callable[[int], None] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        choice: RowChoice | None = None,
        chosen: Chosen | None = None,
    ) -> tuple[RowResult, ...]:
        """Dataset, rows and report, without the card: the rows are to be described with others."""
        if chosen is None:
            chosen = self.choose(job, template)
        if chosen is not None:
            job = with_selection(job, chosen.selection)
        with self.row_source(job, template, choice or RowChoice(), chosen=chosen) as source:
            rows = [] if source is None else [RowExport(self.ports.objects, source)]
            export_with_report(
                self.exporter,
                self.ports.objects,
                job,
                expected=expected,
                progress=progress,
                may_write=may_write,
                rows=rows,
                chosen=chosen,
            )
        return tuple(each.result for each in rows if each.result is not None)

    def choose(self, job: Job, template: Template, *, expected: int | None = None) -> Chosen | None:
        """Which of its saved records the dataset has; None for a job without checks, whose are all.
        `expected` is as of `export`. Raises `ExportError`, `ConfigurationError`.
        """
        if not job.config.has_checks:
            return None
        return self.exporter.choose(job, template.checks, repeat_index, expected=expected)

    def records(self, job: Job, template: Template) -> Iterable[ExportRecord]:
        """The records of its dataset, each once, as far as they are saved. Raises `ExportError`."""
        records, chosen = self.exporter.records(job), self.choose(job, template)
        return records if chosen is None else ChosenRecords(records, chosen)

    @contextmanager
    def row_source(
        self,
        job: Job,
        template: Template,
        choice: RowChoice,
        *,
        chosen: Chosen | None = None,
    ) -> Iterator[RowSource | None]:
        """What the template's rows are; None for the shape `records`. Raises `SeedError`,
        `TemplateError`, and what `choice.review_of` raises.
        """
        if template.output.shape is Shape.RECORDS:
            yield None
            return
        with ExitStack() as open_files:
            rejected = self._rejected(job, template, chosen, open_files)
            with self._source(job, template, choice, chosen, rejected) as source:
                yield source

    def _rejected(
        self, job: Job, template: Template, chosen: Chosen | None, open_files: ExitStack
    ) -> RejectedOf:
        if not template.output.pair_rejects or chosen is None:
            return lambda _index: None
        parts = Batches(self.ports.objects, REJECTED_PARTS).load_all_batches(job.job_id)
        return open_files.enter_context(FirstRejected(parts, chosen.accepted)).of

    @contextmanager
    def _source(
        self,
        job: Job,
        template: Template,
        choice: RowChoice,
        chosen: Chosen | None,
        rejected: RejectedOf,
    ) -> Iterator[RowSource]:
        if not _reads_draws(template.output, template.split):
            yield self._row_source(job, template, choice, {}, None, chosen, rejected)
            return
        paths = row_paths(template)
        types = SeedTypes(paths)
        seeds = Seeds(self.ports.objects).of_job(
            job.config, requirements=(), on_row=types.add if paths else None
        )
        if seeds is None:
            _check_reads_none(template)
        with nullcontext() if seeds is None else closing(seeds):
            drawn = DrawnSeeds(
                seeds,
                samplers=template.samplers,
                job_id=job.job_id,
                draws=job.config.draws,
                batch_of=template.batch_of,
            )
            source = self._row_source(job, template, choice, types.found(), drawn, chosen, rejected)
            yield replace(source, without_value=() if seeds is None else types.empty)

    def _row_source(
        self,
        job: Job,
        template: Template,
        choice: RowChoice,
        types: Mapping[str, Type],
        drawn: DrawnSeeds | None,
        chosen: Chosen | None,
        rejected: RejectedOf,
    ) -> RowSource:
        maker = RowMaker(template, self.engine, seeds=types)
        delivery, bom = job.config.delivery, choice.byte_order_mark
        formats = delivery.output_formats if choice.formats is None else choice.formats

        def make(
            records: Sequence[Mapping[str, Any]], report: Callable[[RowProblem], None]
        ) -> Iterator[tuple[int, Sequence[Any]]]:
            return maker.values(records, drawn or (lambda _index: None), report, rejected)

        return RowSource(
            job_id=job.job_id,
            folder=choice.folder,
            shape=str(template.output.shape),
            made_of=rows_digest(template, mark=choice.mark),
            columns=maker.schema,
            make=make,
            records=job.config.size if chosen is None else max(chosen.accepted.end, 1),
            generated=job.accepted,
            random_seed=job.config.draws.random_seed or 0,
            split=template.split,
            value_of=_value_of(template.split, drawn),
            formats=frozenset(formats) - {OutputFormat.PARQUET},
            byte_order_mark=delivery.byte_order_mark if bom is None else bom,
            review=None if choice.review_of is None else choice.review_of(maker.schema),
        )

    def describe(
        self,
        job: Job,
        template: Template,
        results: Sequence[RowResult],
        *,
        licence: str | None = None,
    ) -> None:
        """Write the card of all these rows, and note them; the first are the default ones. Raises
        `StorageError`.
        """
        card = Card(
            name=template.name,
            description=template.description,
            configurations=[_configuration(job, each) for each in results],
            template=render_yaml(document_of(template)),
            version=code_version(),
            finished_at=(job.status in ENDED and job.completed_at) or self.ports.clock.now(),
            requested=job.config.num_records,
            records=_records(job, results),
            failures=job.progress.failures_by_kind,
            steps=job.progress.steps,
            cost_nano=job.progress.cost_nano,
            price_table=job.config.price_table_version,
            random_seed=job.config.draws.random_seed,
            checks=checks_of(job),
            notes=[
                *_unfinished(job, results),
                *(note for each in results for note in each.notes()),
            ],
            licence=licence,
        )
        body = render_card(card).encode()
        self.ports.objects.put(card_key(job.job_id), body, content_type=MARKDOWN)
        save_results(self.ports.objects, job.job_id, results)


def rows_digest(template: Template, *, mark: str = "") -> str:
    """What rows are made of besides records and seeds: another one for another output or split, or
    another choice.
    """
    split = None if template.split is None else split_document(template.split)
    document = [output_document(template.output), split, *([mark] if mark else [])]
    return hashlib.sha256(orjson.dumps(document)).hexdigest()


def with_selection(job: Job, selection: Selection) -> Job:
    """The job with what was just chosen of its records; the counters of one that was stopped may be
    behind what is saved.
    """
    progress = replace(job.progress, records_generated=selection.records)
    return replace(job, selection=selection, progress=progress)


def _records(job: Job, results: Sequence[RowResult]) -> int:
    """Records of the dataset. Where its checks compare records, the rows know better how many they
    are made of than the counters of a job that was stopped.
    """
    if not job.config.has_checks or job.current_selection is not None:
        return job.accepted
    return max((each.generated for each in results), default=0)


def _unfinished(job: Job, results: Sequence[RowResult]) -> Iterator[str]:
    done = _records(job, results)
    failed = 0 if job.config.has_checks else job.progress.failed_records
    if done + failed < job.config.num_records:
        asked = counted(job.config.num_records, "record")
        yield f"The dataset is not complete: it has {done} of {asked} that were asked for."


def _reads_draws(output: Output, split: Split | None) -> bool:
    by = split is not None and split.by is not None
    return bool(by or output.reads_draws or output.rendered())


def _check_reads_none(template: Template) -> None:
    """Raises `SeedError` where rows are to have fields of seeds that the job doesn't have."""
    needs = seed_needs(template)
    if needs:
        raise SeedError(f"the dataset has no seeds, and its rows read {named(needs)} of one")


def _value_of(split: Split | None, drawn: DrawnSeeds | None) -> Callable[[int], Any]:
    if split is None or split.by is None or drawn is None:
        return lambda _index: None
    if split.by.is_sample:
        name = ".".join(split.by.parts[1:])
        return lambda index: value_at(drawn(index).samples, name, None)
    if not split.by.is_seed_field:  # seed.id: what tells seeds apart is their position
        return drawn.positions
    path = ".".join(split.by.parts[1:])
    return lambda index: value_at(drawn(index).row, path, None)


def _configuration(job: Job, each: RowResult) -> Configuration:
    # Of one job the records that there are only become more, and none changes.
    state = [job.job_id, job.created_at, each.made_of, each.generated, each.counts, code_version()]
    return Configuration(
        name=each.configuration,
        folder=each.folder,
        splits=[SplitFiles(name=name, rows=count) for name, count in each.counts.items()],
        columns={name: type_text(kind) for name, kind in each.columns.items()},
        digest=hashlib.sha256(orjson.dumps(state)).hexdigest()[:16],
    )


@cache
def code_version() -> str:
    """Of this package; empty where only its code is, as in the worker's image."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - rarely needed

    try:
        return version("seedwright")
    except PackageNotFoundError:
        return ""

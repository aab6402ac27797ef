"""One run of a dataset on this machine, from what is asked for to what is published.

    check ─▶ render one record ─▶ lock the folder ─▶ prepare the job ─▶ work ─▶ publish ─▶ Outcome

Nothing is created or paid for before the first two have passed. The run prints nothing, sets no
signal handler and no alarm, and works in any thread.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Final

from runtime.bootstrap import LocalEngine, SystemClock, local_engine, process_owner
from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import export_key, report_key
from runtime.datasets.engine_parts import LOCAL_CHECKPOINT_INTERVAL, log_to
from runtime.datasets.folder import REPORT, DatasetFolder, check_writable
from runtime.datasets.job import prepare_job
from runtime.datasets.observer import Observer
from runtime.datasets.outcome import Outcome
from runtime.datasets.records import dataset_lines
from runtime.datasets.request import DatasetRequest
from runtime.datasets.row_folders import RowFolders, stale_notices
from runtime.datasets.shard_team import ShardTeam
from runtime.datasets.shard_worker import ShardOrder
from runtime.datasets.stop import StopRequest
from runtime.domain.errors import ConflictError, SeedwrightError, TemplateError
from runtime.domain.jobs.activity import Activity, WaitReason
from runtime.domain.jobs.check_counts import checks_of
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus, Progress, work_id_of
from runtime.domain.jobs.record import index_of
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.estimate import Estimate
from runtime.domain.outputs.shape import Shape
from runtime.domain.templates.template import Template
from runtime.domain.wording import counted
from runtime.engine.dry_run import render_calls
from runtime.engine.estimating import estimate_cost
from runtime.engine.plan import Plan, make_plan
from runtime.engine.rendering.languages import check_languages
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.export.report.writing import Report
from runtime.export.row_export import RowResult, load_results
from runtime.inputs.files import check_folder
from runtime.inputs.needs import check_row_fields
from runtime.logs import event
from runtime.models.registry import OpenedModels
from runtime.progress.meter import Goal, Meter
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker

_EXPORTED: Final = frozenset({JobStatus.COMPLETED, JobStatus.BUDGET_EXCEEDED})
"""Statuses of a job whose dataset the worker has exported."""

_log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 5.0
"""How old the counters in the folder may be; the journal has every record at once."""


def run_dataset(
    request: DatasetRequest,
    out: Path,
    *,
    prices: PriceTable,
    concurrency: int | None,
    observer: Observer,
    stop: StopRequest,
    sample: int = 0,
    workers: int = 1,
    on_estimate: Callable[[Estimate], None] | None = None,
) -> Outcome:
    """Generate the dataset, or go on where an earlier run stopped. `sample` is how many of its
    first records the outcome brings along. A dataset in shards has so many `workers`, processes of
    their own; any other is generated in this one. `on_estimate` hears what a new dataset is likely
    to cost, before it costs anything. The request's seeds are closed when the job has its own copy.

    Raises `InputError` or `ConfigurationError` before anything is started, and `StorageError` when
    the disk fails; how the job itself ended is in the outcome.
    """
    folder = DatasetFolder(check_folder(out, "--out"))
    check_writable(out)
    # Before the folder: a model that nobody knows is not what makes another dataset.
    plan = make_plan(
        request.template,
        prices,
        provider=request.backend.name,
        model=request.models.model,
        on=SystemClock().now().date(),
    )
    check_languages(request.template.checks)
    request = folder.check(request)
    if not folder.is_begun:  # what was begun goes on: its rows are made again without a call
        check_row_fields(request.seeds, request.template)
    with TemplateEngine() as templates:
        templates.start()  # its process starts while the model's client is made
        models = request.backend.open(concurrency, providers=plan.providers)
        templates.load(request.template)
        # What can't be rendered once is refused before it costs anything.
        render_calls(
            templates,
            plan,
            request.rows,
            job_id=request.job_id(),
            index=0,
            draws=request.draws,
        )
        with folder.locked():
            request = folder.check(request)  # another process may have come first
            if on_estimate is not None and not folder.is_begun:
                _estimate(templates, plan, request, on_estimate)
            engine = local_engine(
                folder.state,
                models=models.client,
                provider=request.backend.name,
                prices=prices,
            )
            with closing(engine), log_to(folder.log, job_id=request.job_id()):
                run = _Run(request, folder, engine, templates, models, plan, workers)
                return run.to_the_end(observer, stop, sample=sample)


def _estimate(
    templates: TemplateEngine,
    plan: Plan,
    request: DatasetRequest,
    on_estimate: Callable[[Estimate], None],
) -> None:
    rows, records = request.rows, request.num_records
    # A seed whose prompt can't be rendered fails its own record, and no more than that.
    with suppress(TemplateError):
        on_estimate(estimate_cost(templates, plan, rows, records=records, draws=request.draws))


_LOADING: Final = Activity(reason=WaitReason.LOADING)


class _Run:
    """A run in a folder that is checked, locked and open."""

    def __init__(
        self,
        request: DatasetRequest,
        folder: DatasetFolder,
        engine: LocalEngine,
        templates: TemplateEngine,
        models: OpenedModels,
        plan: Plan,
        workers: int,
    ) -> None:
        self._request = request
        self._calls = models.concurrency
        self._providers = tuple(plan.providers)
        self._workers = workers
        self._folder = folder
        self._engine = engine
        self._meter = Meter(
            Goal(records=request.num_records, budget_nano=request.budget_nano), monotonic
        )
        self._observer: Observer | None = None
        self._rows: tuple[RowResult, ...] = ()
        self._row_notices: tuple[str, ...] = ()
        self._loads = any(request.backend.providers[each].loads for each in plan.providers)
        billing = {each.price.provider for each in plan.calls if each.price.bills}
        self._free = request.backend.notices(
            [each for each in plan.providers if each not in billing]
        )
        self._worker = Worker(
            engine.ports,
            owner=process_owner(),
            settings=WorkerSettings(
                checkpoint_interval=LOCAL_CHECKPOINT_INTERVAL,
                flush_seconds=FLUSH_SECONDS,
                concurrency=models.concurrency,
                limits=models.limits,
                frees_renderer=True,
            ),
            template_engine=templates,
            on_progress=self._on_progress,
            on_activity=self._on_activity,
        )
        self._row_folders = RowFolders(self._worker.job_export, engine, folder.rows, folder.state)

    def to_the_end(self, observer: Observer, stop: StopRequest, *, sample: int) -> Outcome:
        """Generate what is missing, and publish."""
        self._folder.note(self._request)
        self._folder.note_server(self._request.backend.base_url)
        job = prepare_job(self._engine.ports, self._request)
        if self._request.seeds is not None:
            self._request.seeds.close()
        was_complete = job.status is JobStatus.COMPLETED
        if not was_complete:
            self._work(job, observer, stop)
            job = self._engine.ports.jobs.get_job(job.job_id)
        meter = self._meter
        meter.stop()
        files = self._publish(job, was_complete=was_complete)
        self._note_end(job)
        report, notices = self._publish_report(job)
        return Outcome(
            request=self._request,
            folder=self._folder.path,
            job_id=job.job_id,
            status=job.status,
            error_message=job.error_message,
            error_code=job.error_code,
            retry_after=job.retry_after,
            progress=job.progress,
            saved=max(job.accepted, meter.last.accepted(self._request.num_records)),
            checks=checks_of(job),
            files=tuple(files),
            report=report,
            rows=self._rows,
            notices=(*self._idle_notices(job), *self._row_notices, *notices),
            free=tuple(self._free),
            sample=tuple(self._first_records(job, sample)) if job.status in _EXPORTED else (),
            was_complete=was_complete,
            generated_now=meter.generated_now,
            seconds=meter.seconds,
            records_per_second=meter.rate,
            tokens_per_second=meter.token_rate,
        )

    def _note_end(self, job: Job) -> None:
        """A disk that gives no room for it must not hide how the run ended."""
        try:
            self._folder.note_end(job)
        except SeedwrightError as error:
            event(_log, logging.WARNING, "completeness not noted", error=error.code)

    def _work(self, job: Job, observer: Observer, stop: StopRequest) -> None:
        self._observer = observer
        self._meter.show(job.progress)
        observer.started(self._meter)
        try:
            stop.connect(self._worker.request_shutdown)
            if self._loads:
                self._on_activity(_LOADING)
            while self._generate_shards(job, stop):
                code, run = self._worker.run(work_id_of(job.job_id)), job.run
                job = self._engine.ports.jobs.get_job(job.job_id)
                opened = job.status is JobStatus.RUNNING and job.run > run
                if code is not ExitCode.DONE or not opened:  # no further round of its shards
                    break
        finally:
            self._meter.activity = None
            observer.ended()

    def _generate_shards(self, job: Job, stop: StopRequest) -> bool:
        """Have the shards of a job generated, so that its own work can run here. False if that was
        stopped. Nothing is done for a job without shards.
        """
        if job.config.sharding is None:
            return True
        order = ShardOrder(
            storage=str(self._folder.state),
            log=str(self._folder.log),
            job_id=job.job_id,
            shards=job.config.sharding.count,
            backend=self._request.backend.name,
            base_url=self._request.backend.base_url,
            providers=self._providers,
            concurrency=max(self._calls // self._workers, 1),
        )
        team = ShardTeam(order, self._workers, self._engine.ports)
        stop.connect(team.stop)
        if team.run(self._on_progress, self._say):
            stop.connect(self._worker.request_shutdown)
            return True
        with suppress(ConflictError):  # it has ended at the last moment
            self._engine.ports.jobs.set_status(job.job_id, JobStatus.QUEUED, fence=None)
        return False

    def _idle_notices(self, job: Job) -> Iterator[str]:
        """What was asked for and has no effect on a dataset of so many parts."""
        parts = 1 if job.config.sharding is None else job.config.sharding.count
        has = f"the dataset has {counted(parts, 'part')}, as it was begun"
        asked = self._request.shards or parts
        if self._workers > parts:
            yield f"{self._workers} workers were asked for and at most {parts} could work: {has}"
        elif asked not in {parts, self._workers}:
            yield f"{asked} shards were asked for without effect: {has}"

    def _on_progress(self, progress: Progress) -> None:
        self._meter.update(progress)
        if self._meter.has_answers and self._meter.activity == _LOADING:
            self._meter.activity = Activity()
        if self._observer is not None:
            self._observer.progress(progress)

    def _say(self, text: str) -> None:
        if self._observer is not None:
            self._observer.notice(text)

    def _on_activity(self, activity: Activity) -> None:
        if self._loads and not self._meter.has_answers and activity.bytes_read is None:
            activity = replace(activity, reason=WaitReason.LOADING)
        self._meter.activity = activity
        if self._observer is not None:
            self._observer.activity(activity)

    def _publish(self, job: Job, *, was_complete: bool) -> list[Path]:
        """The files of the dataset, in the formats asked for and in those the folder already
        has.
        """
        if job.status not in _EXPORTED:
            return self._publish_partial(job)
        others = () if was_complete else self._folder.published()
        formats = tuple(dict.fromkeys((*self._request.delivery.output_formats, *others)))
        stale = tuple(each for each in formats if self._needs_export(job, each))
        stored = self._worker.templates.load_template(job)
        renewed = self._row_folders.renew(
            job, stored, self._row_template(stored), formats=formats, stale=stale
        )
        self._rows, self._row_notices = renewed.results, renewed.notices
        return self._folder.publish(self._engine, job, formats)

    def _row_template(self, stored: Template) -> Template:
        """The template with what a row is now: `output` and `split` may change, and a dataset of
        before there were rows has none until they are asked for.
        """
        asked = self._request.template
        if stored.output.shape is Shape.RECORDS and not asked.output_declared:
            return stored
        return replace(
            stored,
            output=asked.output,
            output_declared=asked.output_declared,
            split=asked.split,
        )

    def _publish_report(self, job: Job) -> tuple[Path | None, tuple[str, ...]]:
        """The report beside the dataset, or why there is none: that must not hide how the run
        ended. It is made now for a dataset of before there were reports.
        """
        if job.status not in _EXPORTED or not job.accepted:
            return None, ()
        try:
            if not self._folder.owns_report():
                return None, (f"{REPORT} was not written: the folder has another one",)
            written = self._has_report(job)
            if not written:
                report = Report(self._engine.ports.objects, job.job_id)
                report.add_lines(self._lines(job))
                written = report.write(job)
            page = self._folder.publish_report(self._engine, job, written=written)
        except SeedwrightError as error:
            event(_log, logging.WARNING, "report not published", error=error.code)
            page = None
        if page is None:
            return None, (f"{REPORT} could not be written: {self._folder.log} says why",)
        return page, ()

    def _has_report(self, job: Job) -> bool:
        """Whether there is a report of what is exported now: it is written after the dataset."""
        report = self._engine.path_of(report_key(job.job_id))
        if not report.exists():
            return False
        exports = (
            self._engine.path_of(export_key(job.job_id, each.lower())) for each in OutputFormat
        )
        written_at = report.stat().st_mtime_ns
        return all(each.stat().st_mtime_ns <= written_at for each in exports if each.exists())

    def _publish_partial(self, job: Job) -> list[Path]:
        """What there is of a dataset that is not complete. A disk that gives no room for it must
        not hide how the run ended.
        """
        try:
            self._rows = load_results(self._engine.ports.objects, job.job_id)
            self._row_notices = tuple(stale_notices(self._rows, job))
            self._worker.exporter.export_failures(job)
            return self._folder.publish_partial(self._engine, job, self._lines(job))
        except SeedwrightError as error:
            event(_log, logging.WARNING, "partial dataset not published", error=error.code)
            return []

    def _lines(self, job: Job) -> Iterator[bytes]:
        """The records that the dataset has by now."""
        ports = self._engine.ports
        return dataset_lines(self._folder, job, ports.objects, ports.templates)

    def _needs_export(self, job: Job, output_format: OutputFormat) -> bool:
        """Whether the worker has not just exported it: it writes the formats of the first run."""
        if output_format not in job.config.delivery.output_formats:
            return True
        return not self._engine.path_of(export_key(job.job_id, output_format.lower())).exists()

    def _first_records(self, job: Job, count: int) -> Iterator[bytes]:
        return iter(sorted(islice(self._lines(job), count), key=index_of)) if count else iter(())

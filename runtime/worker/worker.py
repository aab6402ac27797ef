"""A worker: claims work, does what it is for, says how it ended.

run ─▶ claim (or recover abandoned work) ─▶ process_job ─▶ generate_data ─▶ export ─▶ status

Which of the last three are done under a claim: see `verbs.py`.
"""

import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import FAILURE_PARTS, REJECTED_PARTS, RETRIES
from runtime.domain.errors import LeaseLostError, NotFoundError
from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.job import ENDED, Job, JobStatus, Progress
from runtime.domain.jobs.row_export import ExportStatus, RequestedExport
from runtime.domain.jobs.sharding import ranges_of
from runtime.domain.jobs.shards import Verdict
from runtime.domain.money.amounts import parse_budget
from runtime.domain.ports import Claim, Ports
from runtime.engine.checking import OutputChecks
from runtime.engine.plan import Templates, make_plan, pin_prices
from runtime.engine.rendering.languages import check_languages
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.seeds import Seeds
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.logs import event
from runtime.service.shards import verdict_on
from runtime.worker.budget_guard import BudgetGuard, close_guard, return_slices
from runtime.worker.checkpoints import Checkpoints
from runtime.worker.control import Control, StopReason
from runtime.worker.costs import Costs
from runtime.worker.crash_points import CrashPoint, pass_through
from runtime.worker.ending import write_ending
from runtime.worker.export_again import ExportAgain
from runtime.worker.exporting import JobExport
from runtime.worker.forecast import goal_of
from runtime.worker.generation import Generation
from runtime.worker.heartbeat import Heartbeat
from runtime.worker.judge_shares import JudgeShares, part_of
from runtime.worker.leases import recover_abandoned
from runtime.worker.pool import CallPool, call_pool
from runtime.worker.row_exports import RowExports
from runtime.worker.run import Run
from runtime.worker.saver import Saver
from runtime.worker.seed_reading import ReadingStoppedError, SeedReading
from runtime.worker.settings import WorkerSettings
from runtime.worker.shard_exports import ShardExports
from runtime.worker.status_writer import Jobs
from runtime.worker.stores import Stores
from runtime.worker.verbs import Verbs

_log = logging.getLogger(__name__)

ALARM_SECONDS: Final = 100
"""From SIGTERM to the last resort. ECS kills 120 s after SIGTERM at the latest."""


class Worker:
    """One process, one job at a time. The components are public: their names are a contract."""

    def __init__(
        self,
        ports: Ports,
        *,
        owner: str,
        settings: WorkerSettings | None = None,
        rng: random.Random | None = None,
        crash_point: CrashPoint = pass_through,
        make_pool: Callable[[], CallPool] | None = None,
        make_heartbeat: Callable[..., Heartbeat] = Heartbeat,
        pause: Callable[[float], bool] | None = None,
        template_engine: TemplateEngine | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_activity: Callable[[Activity], None] | None = None,
    ) -> None:
        self.settings = settings or WorkerSettings()
        self.owner = owner
        self.shutdown_requested = False
        self._ports = ports
        self._control = Control()
        self._stopped = threading.Event()
        self._rng = rng or random.Random()  # noqa: S311 - jitter only
        self._crash_point = crash_point
        self._make_pool = make_pool or (lambda: call_pool(ports.models, self.settings.concurrency))
        self._make_heartbeat = make_heartbeat
        self._pause = pause or self._stopped.wait
        self._on_progress = on_progress or (lambda _progress: None)
        self._on_activity = on_activity or (lambda _activity: None)
        self.queue = ports.queue
        self.templates = Templates(ports.templates)
        self.seeds = Seeds(ports.objects)
        self.batches = Batches(ports.objects)
        self.failure_parts = Batches(ports.objects, FAILURE_PARTS)
        self.rejected_parts = Batches(ports.objects, REJECTED_PARTS)
        self.retries = Batches(ports.objects, RETRIES)
        self.checkpoints = Checkpoints(ports.checkpoints, ports.objects, ports.clock, crash_point)
        self.costs = Costs(ports.costs, ports.clock, refresh_seconds=self.settings.lease_seconds)
        self.jobs = Jobs(ports.jobs, ports.queue, crash_point)
        self.exporter = Exporter(ports.objects)
        self.template_engine = template_engine or TemplateEngine()
        self.job_export = JobExport(self.exporter, ports, self.template_engine)
        shard_exports = ShardExports(self.job_export, least_bytes=self.settings.piece_bytes)
        self.row_exports = RowExports(self.job_export, shard_exports)

    def handle_shutdown(self, signum: int, _frame: FrameType | None) -> None:
        """Signal handler of SIGTERM and SIGINT: stop dispatching, keep what is paid for.

        The alarm is the last resort against a hang. A second signal changes nothing.
        """
        if self.shutdown_requested:
            return
        signal.signal(signal.SIGALRM, lambda _signum, _frame: os._exit(ExitCode.INTERRUPTED))
        signal.alarm(ALARM_SECONDS)
        self.request_shutdown()
        event(_log, logging.INFO, "shutdown requested", signal=signum)

    def request_shutdown(self) -> None:
        """What the signal means; safe from any thread and when repeated."""
        self.shutdown_requested = True
        self._stopped.set()
        self._control.stop(StopReason.SHUTDOWN)

    def run(self, work_id: str | None = None) -> ExitCode:
        """Work on `work_id`, or on the queue until it is empty. The first code that is not DONE
        is what the process ends with, and an interruption ends it at once.
        """
        code: ExitCode | None = None
        while not self.shutdown_requested and (claim := self._claim(work_id)) is not None:
            outcome = self.process_job(claim)
            code = code or outcome
            if outcome is ExitCode.INTERRUPTED or work_id is not None:
                return code
        if code is None and self.shutdown_requested:
            return ExitCode.INTERRUPTED  # stopped before it could begin
        return code or ExitCode.DONE

    def _claim(self, work_id: str | None) -> Claim | None:
        def claim() -> Claim | None:
            if work_id is None:
                return self.queue.get_next_job(self.owner)
            return self.queue.claim(work_id, self.owner)

        claimed = claim()
        if claimed is None and recover_abandoned(
            self.queue,
            self._ports.clock,
            self.settings,
            work_id=work_id,
            rng=self._rng,
            pause=self._pause,
        ):
            claimed = claim()
        return claimed

    def process_job(self, claim: Claim) -> ExitCode:
        """Do the claimed job to its end, or hand it back."""
        self._crash_point("after_claim")
        event(_log, logging.INFO, "job claimed", job_id=claim.job_id, fence=claim.fence)
        self._control = Control()
        if self.shutdown_requested:
            self._control.stop(StopReason.SHUTDOWN)
        try:
            job = self._ports.jobs.get_job(claim.job_id)
            if claim.shard is None and job.asked_export is not None:
                return self._export_again(job, claim, job.asked_export)
            if job.status in ENDED:
                return_slices(self._ports.budgets, job, claim)
                self.jobs.finish_ended(claim, job.status)
                return ExitCode.DONE
            verdict = self._verdict(job, claim)
            if verdict is not None and not verdict.ended:
                self.jobs.put_off(claim, job)
                return ExitCode.DONE
            self.jobs.mark_job_running(claim)
            with self._heartbeat(claim):
                ending = self._verbs().work(job, claim, verdict)
            if verdict is not None and ending.status is not JobStatus.RUNNING:
                return_slices(self._ports.budgets, job, claim)
                self.jobs.refresh_sums(job.job_id)
            self._crash_point("before_status")
            write_ending(self.jobs, claim, ending, run=job.run)
        except NotFoundError:
            event(_log, logging.ERROR, "work item without a job", work_id=claim.work_id)
            self.queue.finish(claim, JobStatus.FAILED)
            return ExitCode.JOB_FAILED
        except LeaseLostError:
            event(_log, logging.WARNING, "job left to its new owner", job_id=claim.job_id)
            return ExitCode.INTERRUPTED
        return ending.code

    def _heartbeat(self, claim: Claim) -> Heartbeat:
        return self._make_heartbeat(
            claim,
            queue=self.queue,
            jobs=self._ports.jobs,
            clock=self._ports.clock,
            control=self._control,
            settings=self.settings,
        )

    def _export_again(self, job: Job, claim: Claim, asked: RequestedExport) -> ExitCode:
        """Export what the ended job is asked for, or hand it back."""
        export = ExportAgain(
            job=job,
            claim=claim,
            asked=asked,
            control=self._control,
            is_stopping=lambda: self.shutdown_requested,
            templates=self.templates,
            jobs=self.jobs,
            row_exports=self.row_exports,
            clock=self._ports.clock,
            crash_point=self._crash_point,
        )
        with self._heartbeat(claim):
            ended = export.work()
        self._crash_point("before_status")
        if ended is None:
            self.queue.release(claim)
            return ExitCode.INTERRUPTED
        self.jobs.end_export(claim, ended)
        return ExitCode.DONE if ended.status is ExportStatus.COMPLETED else ExitCode.JOB_FAILED

    def _verdict(self, job: Job, claim: Claim) -> Verdict | None:
        """What the shards of a job say, where this is its own work."""
        if job.config.sharding is None or claim.shard is not None:
            return None
        return verdict_on(self.queue, job)

    def _verbs(self) -> Verbs:
        return Verbs(
            control=self._control,
            generate=self.generate_data,
            templates=self.templates,
            jobs=self.jobs,
            row_exports=self.row_exports,
            clock=self._ports.clock,
            crash_point=self._crash_point,
        )

    def generate_data(self, job: Job, claim: Claim) -> tuple[StopReason | None, Progress]:
        """Generate what is not finished yet. Why it stopped early, or None, and what is saved."""
        template = self.templates.load_template(job)
        prices = pin_prices(self._ports.objects, job.job_id, self._ports.prices)
        plan = make_plan(
            template,
            prices,
            provider=self._ports.provider,
            model=job.config.models.model,
            call_timeout=job.config.calls.call_timeout,
            on=self._ports.clock.now().date(),
        )
        check_languages(template.checks)
        reading = SeedReading(
            job.job_id,
            control=self._control,
            clock=self._ports.clock,
            settings=self.settings,
            on_activity=self._on_activity,
        )
        try:
            seeds = self.seeds.of_job(
                job.config, requirements=template.schema_requirements, on_bytes=reading
            )
        except ReadingStoppedError as stopped:
            return stopped.reason, job.progress
        limit_nano, warning = parse_budget(job.budget_limit)
        if warning is not None:
            event(_log, logging.WARNING, warning, job_id=job.job_id)
        guard = BudgetGuard(
            self._ports.budgets,
            claim,
            self._ports.clock,
            limit_nano=limit_nano,
            concurrency=self.settings.concurrency,
            shards=None if job.config.sharding is None else job.config.sharding.count,
        )
        saver = self._saver(job, claim, guard)
        checkpoint = saver.recover()
        self._crash_point("after_recover")
        self._on_progress(saver.progress)
        self.template_engine.load(template)
        checks = OutputChecks(self.template_engine)
        pool = self._make_pool()
        run = Run(
            job=job,
            plan=plan.checked_by(checks),
            seeds=seeds,
            saver=saver,
            goal=goal_of(job, claim, template, saver, self.job_export),
            guard=guard,
            shares=JudgeShares(
                template.checks,
                limit_nano=int(limit_nano * part_of(job.config.sharding, claim.shard)),
                tally=saver.tally,
                spent=lambda: guard.spent_nano,
            ),
            engine=self.template_engine,
            checks=checks,
            pool=pool,
            costs=self.costs,
            control=self._control,
            clock=self._ports.clock,
            settings=self.settings,
            rng=self._rng,
            crash_point=self._crash_point,
            on_progress=self._on_progress,
            on_activity=self._on_activity,
        )
        try:
            reason = Generation(run, next_index=checkpoint.next_index).run()
        finally:
            pool.close()
            if self.settings.frees_renderer and not template.output.rendered():
                self.template_engine.close()
            if seeds is not None:
                seeds.close()
            close_guard(guard, claim, self._control)
        return reason, saver.progress

    def _saver(self, job: Job, claim: Claim, guard: BudgetGuard) -> Saver:
        open_journal = self._ports.open_journal
        return Saver(
            claim,
            config=job.config,
            ranges=None
            if job.config.sharding is None or claim.shard is None
            else ranges_of(job.config.sharding, claim.shard),
            stores=Stores(
                batches=self.batches,
                failure_parts=self.failure_parts,
                rejected_parts=self.rejected_parts,
                retries=self.retries,
                checkpoints=self.checkpoints,
                jobs=self.jobs,
                costs=self.costs,
                journal=open_journal(claim.work_id) if open_journal else None,
                clock=self._ports.clock,
                crash_point=self._crash_point,
            ),
            guard=guard,
            settings=self.settings,
        )

    def close(self) -> None:
        """Stop the render child."""
        self.template_engine.close()

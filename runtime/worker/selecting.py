"""Which records the dataset of a job with checks has, once nothing is left to generate: enough
of them, or a further round of its shards, or the end of its tries.

    chosen ─▶ enough ──────────────────────────▶ export
              too few ─▶ shards, tries left ───▶ a round is opened, the own work waits for it
                         none has passed ──────▶ it fails
                         tries used up ────────▶ export, or it fails: `on_exhausted`
"""

from dataclasses import dataclass
from typing import Final

from runtime.domain.checks.acceptance import NONE_ACCEPTED_TRIES, OnExhausted
from runtime.domain.checks.rounds import Tried, next_round
from runtime.domain.errors import (
    CandidatesExhaustedError,
    ConflictError,
    ModelsFailingError,
    NoneAcceptedError,
    RecordsFailingError,
    SeedwrightError,
)
from runtime.domain.jobs.check_counts import counted_tries, rates_by_check
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.ports import Claim, Clock
from runtime.domain.templates.template import Template
from runtime.domain.wording import counted
from runtime.export.selection import Chosen
from runtime.worker.ending import Ending, ended_by
from runtime.worker.exporting import JobExport
from runtime.worker.status_writer import Jobs

_WAITS: Final = Ending(status=JobStatus.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selecting:
    """For one claim of a job's own work."""

    jobs: Jobs
    export: JobExport
    clock: Clock

    def choose(
        self, job: Job, claim: Claim, template: Template, *, expected: int | None
    ) -> Chosen | None:
        """Choose, and store what was chosen; None for a job without checks. Raises `ExportError`,
        `LeaseLostError`, `StorageError`.
        """
        chosen = self.export.choose(job, template, expected=expected)
        if chosen is not None:
            self.jobs.keep_selection(claim, chosen.selection)
        return chosen

    def instead_of_export(self, job: Job, claim: Claim, chosen: Chosen) -> Ending | None:
        """How the claim ends, where the dataset is not to be exported. All that was tried has
        ended. Raises `LeaseLostError`, `StorageError`.
        """
        missing = chosen.selection.wanted - chosen.selection.accepted
        if missing <= 0:
            return None
        if not chosen.selection.records and (error := _why_none(job.progress)) is not None:
            return self._ended_by(job, error)
        if (waits := self._next_round(job, claim, chosen)) is not None:
            return waits
        if not chosen.selection.accepted or job.config.acceptance.on_exhausted is OnExhausted.FAIL:
            return self._ended_by(job, CandidatesExhaustedError(_exhausted(job, chosen)))
        return None

    def _next_round(self, job: Job, claim: Claim, chosen: Chosen) -> Ending | None:
        sharding, acceptance = job.config.sharding, job.config.acceptance
        if sharding is None:
            return None
        # An index that the service failed has one try counted, and may take the others later.
        later = job.progress.service_failures * (acceptance.attempts - 1)
        end = next_round(
            Tried(
                ends=sharding.ends,
                accepted=chosen.selection.accepted,
                tries=job.progress.checks.tries + later,
            ),
            wanted=chosen.selection.wanted,
            attempts=acceptance.attempts,
            candidates=job.config.size,
        )
        if end is None:
            return None
        try:
            self.jobs.open_round(claim, end)
        except ConflictError:  # somebody has ended it, by cancelling it
            return Ending(status=JobStatus.CANCELLED)
        return _WAITS

    def _ended_by(self, job: Job, error: SeedwrightError) -> Ending:
        """Its records are kept; what failed and what was rejected is listed."""
        self.export.exporter.export_failures(job)
        return ended_by(error, now=self.clock.now())


def _why_none(progress: Progress) -> SeedwrightError | None:
    """Why further tries would hardly give a first record; None: they may."""
    tries = progress.checks.tries
    if progress.failed_records == progress.ended:
        if progress.failed_records == progress.service_failures:
            return ModelsFailingError("every record failed by the service: run the job again later")
        return RecordsFailingError("every record failed: see failures.jsonl")
    if tries < NONE_ACCEPTED_TRIES:
        return None
    return NoneAcceptedError(
        f"no record of {counted_tries(tries)} passed the checks{_by_check(progress)}: see"
        " rejected.jsonl, and make the checks easier or the prompts better"
    )


def _exhausted(job: Job, chosen: Chosen) -> str:
    selection, tries = chosen.selection, job.progress.checks.tries
    left_out = "".join(
        f", {check} left out {counted(count, 'record')}"
        for check, count in selection.left_out.items()
    )
    return (
        f"{selection.accepted} of {counted(selection.wanted, 'record')} accepted after"
        f" {counted_tries(tries)} of at most {job.config.size}{_by_check(job.progress)}{left_out}:"
        " what there is can be exported; give more --max-candidates to go on"
    )


def _by_check(progress: Progress) -> str:
    return rates_by_check(progress.checks.rejected_by, progress.checks.tries)

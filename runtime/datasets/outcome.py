"""How a run ended, as data: the command prints it, Python gets a dataset or an error."""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from runtime.datasets.folder import FAILURES, REJECTED
from runtime.datasets.request import DatasetRequest
from runtime.domain.jobs.check_counts import CheckCounts
from runtime.domain.jobs.job import JobStatus, Progress
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.outputs.types import type_text
from runtime.domain.wording import counted
from runtime.export.reasons import common_reason
from runtime.export.row_export import RowResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A dataset after a run. Rates are of this run, counters of the dataset as a whole."""

    request: DatasetRequest
    folder: Path
    job_id: str
    status: JobStatus
    """COMPLETED, FAILED, BUDGET_EXCEEDED; anything else: it was stopped and can go on."""
    error_message: str | None
    error_code: str | None = None
    """The `code` of the error that ended it."""
    retry_after: datetime | None = None
    """When it makes sense to go on, at the earliest."""
    progress: Progress
    saved: int
    """Records of the dataset that are safe. When storage failed, the job's own counter is older
    than this.
    """
    checks: CheckCounts | None = None
    """What the checks of its template did; None: it has none."""
    files: tuple[Path, ...]
    """What the user finds in the folder after this run: the dataset, or the records of it so far;
    lists of failures and of what was rejected are the last ones.
    """
    report: Path | None = None
    """The page that says what the dataset looks like; None: there is no dataset yet, or a notice
    says why.
    """
    rows: tuple[RowResult, ...] = ()
    """What rows there are; none in the shape `records`, and none before there is a dataset."""
    notices: tuple[str, ...] = ()
    """What did not work out beside the dataset, a sentence each."""
    free: tuple[str, ...] = ()
    """Which of its providers bill nothing, and where they are, a sentence each."""
    sample: tuple[bytes, ...]
    """The first records that were saved, by index, as many as were asked for."""
    was_complete: bool
    """The run found nothing to generate."""
    generated_now: int
    seconds: float
    records_per_second: float
    tokens_per_second: float

    @property
    def rejected_file(self) -> Path | None:
        """The list of what checks have kept out, if there is one."""
        return next((path for path in self.files if path.name == REJECTED), None)

    @property
    def failures_file(self) -> Path | None:
        """The list of failures, if there is one."""
        return next((path for path in self.files if path.name == FAILURES), None)

    @property
    def failures_told(self) -> str:
        """What most failures of the list say, in one line; empty without a list."""
        try:
            with self.failures_file.open("rb") if self.failures_file else BytesIO() as failures:
                return common_reason(failures)
        except OSError:
            return ""

    @property
    def message(self) -> str:
        """Why it ended early, in one line; empty where there is nothing to say."""
        return " ".join((self.error_message or "").split())

    @property
    def saved_text(self) -> str:
        """How many records are safe, of how many."""
        return f"{self.saved} of {counted(self.request.num_records, 'record')}"

    @property
    def records(self) -> int:
        """Records of the dataset."""
        return self.progress.records_generated if self.checks is None else self.checks.accepted

    @property
    def all_failed(self) -> bool:
        """Every record was tried and failed for a reason of its own: going on changes nothing."""
        own = self.progress.failed_records - self.progress.service_failures
        return own == self.request.num_records

    def document(self) -> dict[str, object]:
        """The figures for scripts, as JSON has them; money is a decimal text."""
        return {
            "status": str(self.status),
            "job_id": self.job_id,
            "records": self.records,
            "failed": self.progress.failed_records,
            "service_failures": self.progress.service_failures,
            "failures_by_kind": dict(sorted(self.progress.failures_by_kind.items())),
            "requested": self.request.num_records,
            "files": [str(path) for path in self.files],
            **({} if self.checks is None else {"checks": self.checks.document()}),
            "rows": [rows_document(each) for each in self.rows],
            "cost_usd": usd_decimal(self.progress.cost_nano),
            "budget_usd": usd_decimal(self.request.budget_nano),
            "tokens": self.progress.tokens_used,
            "steps": {step: _figures(each) for step, each in self.progress.steps.items()},
            "seconds": round(self.seconds, 3),
            "records_per_second": round(self.records_per_second, 3),
            "error": self.error_message,
            "error_code": self.error_code,
            "retry_after": self.retry_after and self.retry_after.isoformat(),
            "notices": list(self.notices),
        }


def rows_document(each: RowResult) -> dict[str, object]:
    """What rows of one shape there are."""
    document = each.document()
    del document["made_of"]
    document["columns"] = {name: type_text(kind) for name, kind in each.columns.items()}
    return document


def _figures(totals: StepTotals) -> dict[str, object]:
    """What the calls of a step did; money as decimal texts."""
    document = totals.document()
    del document["cost_nano"], document["presumed_nano"]
    return {
        **document,
        "judge": totals.judge,
        "cost_usd": usd_decimal(totals.cost_nano),
        "presumed_usd": usd_decimal(totals.presumed_nano),
    }

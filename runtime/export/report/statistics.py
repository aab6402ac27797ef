"""The statistics of a dataset, from one pass over its records in constant memory.

records ──────────────────▶ StatisticsCollector ─┐
what its checks have kept out ───────────────────┤
the job's counters ──────────────────────────────┼─▶ DatasetStatistics ─▶ page, command, JSON
its list of failures ────────────────────────────┘
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import orjson

from runtime.domain.jobs.check_counts import CheckCounts, checks_of
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.record import UNKNOWN_KIND, is_skipped
from runtime.domain.jobs.step_totals import StepTotals, sum_of
from runtime.domain.jobs.unsaved import NOTHING_UNSAVED, Unsaved
from runtime.domain.money.amounts import usd_decimal
from runtime.export.formats import ExportRecord
from runtime.export.report.checked import (
    CheckCollector,
    JudgeStatistics,
    RejectedExample,
    judged_of,
)
from runtime.export.report.columns import Columns, ColumnStatistics
from runtime.export.report.counters import RepeatCounter, Repeats, Share
from runtime.export.report.diversity import DIVERSITY_RECORDS, Diversity, measure_diversity
from runtime.export.report.examples import EXAMPLES, Example, example_of, parse_example
from runtime.export.report.near_repeats import (
    SAMPLE_RECORDS,
    NearRepeats,
    compared_text,
    find_near_repeats,
)
from runtime.export.report.sample import KeyedSample, draw_of

_STOP_REASONS: Final = 20
_FAILURE_ROWS: Final = 100
_MESSAGE_CHARACTERS: Final = 300
_CUT: Final = "max_tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepStatistics:
    """One step: what its outputs are like, and what its calls did."""

    step: str
    model: str
    records: int
    """Records with an output of this step."""
    skipped: int
    """Records that did not take this step, by its `when`."""
    cut: int
    """Part of `records` whose output was cut at its max_tokens."""
    stop_reasons: tuple[Share, ...]
    calls: StepTotals | None
    """None for a job of before its calls were counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureStatistics:
    """Records that failed in one step by one kind of failure."""

    step: str
    kind: str
    count: int
    message: str
    """Of the first of them. Failures hold no prompt and no output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetStatistics:
    """What a dataset looks like. Amounts are nano-USD, times UTC."""

    job_id: str
    name: str | None
    requested: int
    records: int
    failed: int
    service_failures: int
    """Part of `failed` that failed by the service: going on tries them again."""
    failures_by_kind: tuple[Share, ...]
    failures: tuple[FailureStatistics, ...]
    """By step and kind, the most frequent first; empty where no list of them was exported."""
    cost_nano: int
    tokens: int
    unsaved: Unsaved
    """What is in none of these figures yet."""
    checks: CheckCounts | None
    """What the template's checks did; None: it has none."""
    judges: tuple[JudgeStatistics, ...]
    """Checks that a model decides, and what it said; empty where there are none."""
    calls: StepTotals
    """All steps together, of no model."""
    steps: tuple[StepStatistics, ...]
    first_at: datetime | None
    """When the first record was finished, and the last one."""
    last_at: datetime | None
    columns: tuple[ColumnStatistics, ...]
    more_columns: bool
    """There are more columns than are counted."""
    repeats: Repeats
    """Of whole records: all outputs are the same."""
    near_repeats: NearRepeats
    diversity: Diversity
    examples: tuple[Example, ...]
    rejected_examples: tuple[RejectedExample, ...]
    """Some of what checks have kept out, by check."""

    @property
    def missing(self) -> int:
        """Records that were asked for, and neither made nor failed."""
        made = self.records + self.unsaved.records
        if self.checks is not None:  # others make up for what failed
            return max(0, self.requested - self.records)
        return max(0, self.requested - made - self.failed - self.unsaved.failed)

    @property
    def seconds(self) -> float:
        """From the first finished record to the last."""
        if self.first_at is None or self.last_at is None:
            return 0.0
        return (self.last_at - self.first_at).total_seconds()

    def document(self) -> dict[str, Any]:
        """As JSON has it: money is a decimal text in USD, times are ISO 8601."""
        document = asdict(self)
        document["first_at"] = self.first_at and self.first_at.isoformat()
        document["last_at"] = self.last_at and self.last_at.isoformat()
        document["missing"], document["seconds"] = self.missing, self.seconds
        for each in (document, document["unsaved"]):
            each["cost_usd"] = usd_decimal(each.pop("cost_nano"))
        if self.checks is not None:
            document["checks"] = self.checks.document()
        for judge in document["judges"]:
            judge["cost_usd"] = usd_decimal(judge.pop("cost_nano"))
        for calls in (document["calls"], *(step["calls"] for step in document["steps"])):
            if calls is not None:
                calls["cost_usd"] = usd_decimal(calls.pop("cost_nano"))
                calls["presumed_usd"] = usd_decimal(calls.pop("presumed_nano"))
        return document


class StatisticsCollector:
    """Is given every record once, and counts."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._records = 0
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._columns = Columns()
        self._repeats = RepeatCounter()
        self._texts: KeyedSample[str] = KeyedSample(SAMPLE_RECORDS)
        self._examples: KeyedSample[Example] = KeyedSample(EXAMPLES)
        self._checked = CheckCollector()
        self._step_records: Counter[str] = Counter()
        self._step_skipped: Counter[str] = Counter()
        self._step_models: dict[str, str] = {}
        self._stop_reasons: dict[str, Counter[str]] = {}

    def add(self, record: ExportRecord) -> None:
        """Count a record."""
        result = record.document["generation_result"]
        if not isinstance(result, dict):
            return
        self._records += 1
        if self._first is None or record.timestamp < self._first:
            self._first = record.timestamp
        if self._last is None or record.timestamp > self._last:
            self._last = record.timestamp
        for step, answer in result.items():
            self._count_step(step, answer)
        for judge, verdict in judged_of(record.document):
            self._count_step(judge, verdict)
        self._checked.add(record.document)
        words, identity = self._columns.add(result)
        self._repeats.add(identity)
        index = int(record.document["index"])
        draw = draw_of(self._job_id, index)
        if self._texts.takes(draw):
            self._texts.add(draw, compared_text(words))
            if self._examples.takes(draw):
                self._examples.add(draw, example_of(index, record.document["seed_data_id"], result))

    def add_lines(self, lines: Iterable[bytes]) -> None:
        """Count records that are given as their lines, each once; damaged ones are left out, as an
        export does.
        """
        for line in lines:
            try:
                record = ExportRecord.parse(line)
            except ValueError:
                continue
            self.add(record)

    def document(self) -> dict[str, Any] | None:
        """All that was counted, as JSON has it, for `merge`; None where a bound was reached beyond
        which parts don't add up to the whole.
        """
        columns = self._columns.document()
        full = any(len(each) >= _STOP_REASONS for each in self._stop_reasons.values())
        if columns is None or full:
            return None
        return {
            "records": self._records,
            "times": [each and each.isoformat() for each in (self._first, self._last)],
            "columns": columns,
            "repeats": self._repeats.document(),
            "texts": self._texts.document(),
            "examples": [(draw, asdict(each)) for draw, each in self._examples.document()],
            "step_records": self._step_records,
            "step_skipped": self._step_skipped,
            "step_models": self._step_models,
            "stop_reasons": self._stop_reasons,
        }

    def merge(self, document: Mapping[str, Any]) -> None:
        """Add what another collector has counted of records that come after those of here."""
        self._records += document["records"]
        times = [datetime.fromisoformat(each) for each in document["times"] if each]
        times += [each for each in (self._first, self._last) if each]
        self._first, self._last = min(times, default=None), max(times, default=None)
        self._columns.merge(document["columns"])
        self._repeats.merge(document["repeats"])
        self._texts.merge(document["texts"], str)
        self._examples.merge(document["examples"], parse_example)
        self._step_records.update(document["step_records"])
        self._step_skipped.update(document["step_skipped"])
        self._step_models.update(document["step_models"])
        for step, counts in document["stop_reasons"].items():
            self._stop_reasons.setdefault(step, Counter()).update(counts)

    def add_rejected(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Count what checks have kept out, given as what its lines say."""
        for document in documents:
            self._checked.add_rejected(document)

    def _count_step(self, step: str, answer: object) -> None:
        if not isinstance(answer, dict):
            return
        skipped = is_skipped(answer)
        self._step_records[step] += not skipped
        self._step_skipped[step] += skipped
        if skipped:
            return
        self._step_models[step] = str(answer.get("model"))
        reasons = self._stop_reasons.get(step)
        if reasons is None:
            reasons = self._stop_reasons[step] = Counter()
        reason = str(answer.get("stop_reason"))
        if reason in reasons or len(reasons) < _STOP_REASONS:
            reasons[reason] += 1

    def result(
        self, job: Job, failure_lines: Iterable[bytes], *, unsaved: Unsaved = NOTHING_UNSAVED
    ) -> DatasetStatistics:
        """The statistics, with the counters of `job`, what they don't have yet, and the failures of
        its list.
        """
        progress = job.progress
        return DatasetStatistics(
            job_id=job.job_id,
            name=job.config.naming.name,
            requested=job.config.num_records,
            records=self._records,
            failed=progress.failed_records,
            service_failures=progress.service_failures,
            failures_by_kind=_shares(progress.failures_by_kind),
            failures=_failures(failure_lines),
            cost_nano=progress.cost_nano,
            tokens=progress.tokens_used,
            unsaved=unsaved,
            checks=checks_of(job),
            judges=self._checked.judges(progress.steps),
            calls=sum_of(progress.steps),
            steps=self._steps(progress.steps),
            first_at=self._first,
            last_at=self._last,
            columns=self._columns.results(),
            more_columns=self._columns.dropped,
            repeats=self._repeats.result(),
            near_repeats=find_near_repeats(self._texts, of=self._records),
            diversity=measure_diversity(islice(self._texts, DIVERSITY_RECORDS), of=self._records),
            examples=tuple(self._examples),
            rejected_examples=self._checked.examples(),
        )

    def _steps(self, totals: Mapping[str, StepTotals]) -> tuple[StepStatistics, ...]:
        """Steps of records first, in their order; a step may have calls and no record yet."""
        names = dict.fromkeys((*self._step_records, *totals))
        return tuple(
            StepStatistics(
                step=step,
                model=totals[step].model if step in totals else self._step_models.get(step, ""),
                records=self._step_records[step],
                skipped=self._step_skipped[step],
                cut=self._stop_reasons.get(step, Counter())[_CUT],
                stop_reasons=_shares(self._stop_reasons.get(step, {})),
                calls=totals.get(step),
            )
            for step in names
        )


def _shares(counts: Mapping[str, int]) -> tuple[Share, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(value=value, count=count) for value, count in ordered)


def _failures(lines: Iterable[bytes]) -> tuple[FailureStatistics, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    messages: dict[tuple[str, str], str] = {}
    for line in lines:
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # damaged
        if not isinstance(document, dict):
            continue
        row = (str(document.get("step", "")), str(document.get("kind") or UNKNOWN_KIND))
        if row in counts or len(counts) < _FAILURE_ROWS:
            counts[row] += 1
            messages.setdefault(row, str(document.get("message", ""))[:_MESSAGE_CHARACTERS])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        FailureStatistics(step=step, kind=kind, count=count, message=messages[step, kind])
        for (step, kind), count in ordered
    )

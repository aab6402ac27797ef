"""What the report's page shows of checks: what became of the tries, what judges said, and some of
what was kept out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from runtime.domain.wording import plural
from runtime.export.report.charts import Part, Percent, stacked
from runtime.export.report.checked import RejectedExample, Scores
from runtime.export.report.statistics import DatasetStatistics


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRow:
    """What one check has kept out, as a share of all tries."""

    check: str
    what: str
    count: int
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """How often a value was given."""

    value: str
    accepted: int
    accepted_shown: str
    rejected: int
    rejected_shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreTable:
    """The values of one score of a judge."""

    name: str
    rows: Sequence[ScoreRow]
    means: tuple[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeView:
    """One judge."""

    check: str
    judged: int
    not_judged: int
    calls: int
    cost_nano: int
    scores: Sequence[ScoreTable]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChecksView:
    """The section."""

    rate: str
    exact: bool
    outcome: Sequence[Part]
    rows: Sequence[CheckRow]
    judges: Sequence[JudgeView]
    kept_out: Sequence[tuple[str, Sequence[RejectedExample]]]


def checks_view(s: DatasetStatistics, *, percent: Percent) -> ChecksView | None:
    """None: the template has no checks."""
    counts = s.checks
    if counts is None:
        return None
    rejected, left_out = sum(counts.rejected_by.values()), sum(counts.left_out.values())
    failed = max(counts.tries - rejected - counts.accepted - counts.surplus - left_out, 0)
    rows = [
        CheckRow(check=check, what=what, count=count, shown=percent(count, counts.tries))
        for what, by in (
            ("rejected tries", counts.rejected_by),
            ("records left out", counts.left_out),
        )
        for check, count in by.items()
    ]
    parts = (
        ("accepted", counts.accepted, 0),
        ("more than asked for", counts.surplus, 4),
        ("rejected", rejected, 2),
        ("left out", left_out, 5),
        ("failed", failed, 1),
    )
    return ChecksView(
        rate=percent(counts.accepted + counts.surplus, counts.tries),
        exact=counts.exact,
        outcome=stacked([(name, count, color, f"{count:,}") for name, count, color in parts]),
        rows=rows,
        judges=[
            JudgeView(
                check=judge.check,
                judged=judge.judged,
                not_judged=judge.not_judged,
                calls=judge.calls,
                cost_nano=judge.cost_nano,
                scores=[
                    _table(score.name, score.accepted, score.rejected, percent)
                    for score in judge.scores
                ],
            )
            for judge in s.judges
        ],
        kept_out=[
            (check, tuple(some))
            for check, some in groupby(s.rejected_examples, key=lambda each: each.check)
        ],
    )


def _table(name: str, accepted: Scores, rejected: Scores, percent: Percent) -> ScoreTable:
    kept = {each.value: each.count for each in accepted.counts}
    out = {each.value: each.count for each in rejected.counts}
    wholes = sum(kept.values()), sum(out.values())
    values = _merged([each.value for each in accepted.counts], list(out))
    has_means = accepted.mean is not None or rejected.mean is not None
    return ScoreTable(
        name=name,
        rows=[
            ScoreRow(
                value=value,
                accepted=kept.get(value, 0),
                accepted_shown=percent(kept.get(value, 0), wholes[0]),
                rejected=out.get(value, 0),
                rejected_shown=percent(out.get(value, 0), wholes[1]),
            )
            for value in values
        ],
        means=(_mean(accepted), _mean(rejected)) if has_means else None,
    )


def _merged(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """All values once: numbers by what they are, texts by how they are written."""

    def place(value: str) -> tuple[float, str]:
        try:
            return float(value), value
        except ValueError:
            return float("inf"), value

    return sorted(dict.fromkeys((*one, *other)), key=place)


def _mean(scores: Scores) -> str:
    return "–" if scores.mean is None else f"{scores.mean:.2f}"  # noqa: RUF001 - a dash


def diversity_text(s: DatasetStatistics) -> str:
    """What the figures are of."""
    found = s.diversity
    drawn = (
        f"all {found.sampled:,} {plural(found.sampled, 'record')}"
        if found.sampled == found.of
        else f"a keyed sample of {found.sampled:,} of {found.of:,} records"
    )
    return (
        f"Of {drawn}, each with its first words up to 160: {found.words:,} words in all. The more "
        "text there is, the less of it is new, so compare datasets by samples of the same size."
    )

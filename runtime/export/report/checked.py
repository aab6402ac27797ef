"""What the checks of a template did, beyond their counts: scores of judges, over the records of the
dataset and over the tries that were rejected, and some of what was kept out, to be looked at.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.contract.keys import REJECTED_PARTS, rejected_key
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.record import is_skipped
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.ports import ObjectStore
from runtime.export.batches import Batches
from runtime.export.rejected import each_once
from runtime.export.report.counters import Share
from runtime.export.report.examples import ExampleCell, cells_of, json_of

EXAMPLES_BY_CHECK: Final = 3
"""Rejected tries that are shown of each check: those of the lowest indices."""
REJECT_CHARACTERS: Final = 600
"""Shown of a value of one."""

_CHECKS: Final = 20
_SCORES: Final = 10
_VALUES: Final = 20
"""More than a template may have: what is stored is counted up to there."""
_VALUE_CHARACTERS: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """How often each value was given, the lowest first. `mean` is None where values are texts, or
    there are none.
    """

    counts: tuple[Share, ...]
    mean: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreStatistics:
    """One score of a judge."""

    name: str
    accepted: Scores
    """Over the records of the dataset."""
    rejected: Scores
    """Over the tries that this judge or a later check rejected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeStatistics:
    """A judge: `judged` and `not_judged` are records of the dataset, and `cost_nano` is what all of
    its calls have cost, those for rejected tries, too.
    """

    check: str
    judged: int
    not_judged: int
    """Its sample has left them out, or its share of the budget was used up."""
    calls: int
    cost_nano: int
    scores: tuple[ScoreStatistics, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedExample:
    """A try that a check has rejected, or a record that a check of the dataset has left out."""

    check: str
    index: int
    attempt: int
    seed_data_id: str
    verdict: str
    """What the check said, where that is more than no."""
    cells: tuple[ExampleCell, ...]


class CheckCollector:
    """Is given every record of the dataset, and what was kept out of it, and counts."""

    def __init__(self) -> None:
        self._judged: Counter[str] = Counter()
        self._not_judged: Counter[str] = Counter()
        self._accepted: _ScoreCounts = {}
        self._rejected: _ScoreCounts = {}
        self._examples: dict[str, list[tuple[int, int, RejectedExample]]] = {}

    def add(self, document: Mapping[str, Any]) -> None:
        """Count a record of the dataset."""
        for check, verdict in judged_of(document):
            if is_skipped(verdict):
                self._not_judged[check] += 1
            else:
                self._judged[check] += 1
                _count(self._accepted, check, verdict["scores"])

    def add_rejected(self, document: Mapping[str, Any]) -> None:
        """Count what was kept out."""
        check = document.get("rejected_by")
        if not isinstance(check, str) or not isinstance(document.get("generation_result"), dict):
            return
        verdict = _verdict_of(check, document)
        if _has_failed(verdict):  # else a check of the dataset has left out a record that passed
            for judge, said in judged_of(document):
                if not is_skipped(said):
                    _count(self._rejected, judge, said["scores"])
        self._show(check, verdict, document)

    def _show(self, check: str, verdict: object, document: Mapping[str, Any]) -> None:
        if check not in self._examples and len(self._examples) == _CHECKS:
            return
        shown = self._examples.setdefault(check, [])
        place = int(document["index"]), _attempt_of(document)
        if len(shown) == EXAMPLES_BY_CHECK and place >= shown[-1][:2]:
            return
        example = RejectedExample(
            check=check,
            index=place[0],
            attempt=place[1],
            seed_data_id=str(document.get("seed_data_id", "")),
            verdict=_words_of(verdict),
            cells=cells_of(document["generation_result"], characters=REJECT_CHARACTERS),
        )
        shown.append((*place, example))
        shown.sort(key=lambda each: each[:2])
        del shown[EXAMPLES_BY_CHECK:]

    def judges(self, steps: Mapping[str, StepTotals]) -> tuple[JudgeStatistics, ...]:
        """Every judge of which there is a verdict, with what its calls did."""
        names = dict.fromkeys((*self._judged, *self._not_judged, *self._accepted, *self._rejected))
        return tuple(
            JudgeStatistics(
                check=name,
                judged=self._judged[name],
                not_judged=self._not_judged[name],
                calls=steps[name].calls if name in steps else 0,
                cost_nano=steps[name].cost_nano if name in steps else 0,
                scores=self._scores(name),
            )
            for name in names
        )

    def _scores(self, judge: str) -> tuple[ScoreStatistics, ...]:
        accepted, rejected = self._accepted.get(judge, {}), self._rejected.get(judge, {})
        return tuple(
            ScoreStatistics(
                name=name,
                accepted=_distribution(accepted.get(name, Counter())),
                rejected=_distribution(rejected.get(name, Counter())),
            )
            for name in dict.fromkeys((*accepted, *rejected))
        )

    def examples(self) -> tuple[RejectedExample, ...]:
        """The first few by check, in the order of the checks' names."""
        return tuple(
            example for _, shown in sorted(self._examples.items()) for _, _, example in shown
        )


_Value = int | float | str
_ScoreCounts = dict[str, dict[str, "Counter[_Value]"]]


def judged_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What judges said of a record or a try, by the id of their checks; one that was skipped has
    said nothing.
    """
    verdicts = document.get("checks")
    if not isinstance(verdicts, Mapping):
        return
    for check, verdict in verdicts.items():
        if isinstance(verdict, Mapping) and (
            is_skipped(verdict) or isinstance(verdict.get("scores"), Mapping)
        ):
            yield check, verdict


def rejected_documents(objects: ObjectStore, job: Job) -> Iterator[Mapping[str, Any]]:
    """What its checks have kept out: all rejected tries that are saved, and of the records that
    checks of the dataset have left out those that an export has listed. Raises `StorageError`.
    """
    if not job.config.has_checks:
        return
    parts = Batches(objects, REJECTED_PARTS).load_all_batches(job.job_id)
    if parts.error is not None:
        raise parts.error
    yield from each_once(parts, job.config.size)
    chosen = job.current_selection
    if chosen is None or not chosen.left_out:
        return
    try:
        with objects.open_reader(rejected_key(job.job_id)) as stream:
            for line in stream:
                document = _parsed(line)
                check = document.get("rejected_by")
                # Tries that the same check rejected are among those above.
                if check in chosen.left_out and not _has_failed(_verdict_of(check, document)):
                    yield document
    except NotFoundError:
        return


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    ok = isinstance(document, dict) and isinstance(document.get("index"), int)
    return document if ok else {}


def _verdict_of(check: object, document: Mapping[str, Any]) -> object:
    verdicts = document.get("checks")
    return verdicts.get(check) if isinstance(verdicts, Mapping) else None


def _has_failed(verdict: object) -> bool:
    return isinstance(verdict, Mapping) and verdict.get("passed") is False


def _count(counts: _ScoreCounts, check: str, scores: Mapping[str, Any]) -> None:
    if check not in counts and len(counts) == _CHECKS:
        return
    of_check = counts.setdefault(check, {})
    for name, said in scores.items():
        score = said.get("score") if isinstance(said, Mapping) else None
        if isinstance(score, bool) or not isinstance(score, int | float | str):
            continue
        if name not in of_check and len(of_check) == _SCORES:
            continue
        values = of_check.setdefault(name, Counter())
        value = score[:_VALUE_CHARACTERS] if isinstance(score, str) else score
        if value in values or len(values) < _VALUES:
            values[value] += 1


def _distribution(values: "Counter[_Value]") -> Scores:
    numbers = [value for value in values if not isinstance(value, str)]
    ordered: Iterable[_Value] = values
    mean = None
    if len(numbers) == len(values) and numbers:
        ordered = sorted(numbers)
        mean = round(sum(value * values[value] for value in numbers) / values.total(), 3)
    else:
        ordered = sorted(values, key=str)
    return Scores(
        counts=tuple(Share(value=str(value), count=values[value]) for value in ordered), mean=mean
    )


def _attempt_of(document: Mapping[str, Any]) -> int:
    attempt = document.get("try")
    return attempt if isinstance(attempt, int) else 0


def _words_of(verdict: object) -> str:
    """What a check said beside whether the try has passed: a judge's scores with its reasons."""
    if not isinstance(verdict, Mapping):
        return ""
    scores = verdict.get("scores")
    if isinstance(scores, Mapping):
        said = [
            f"{name} {each.get('score')}: {each.get('reasoning') or ''}"
            for name, each in scores.items()
            if isinstance(each, Mapping)
        ]
        return "\n".join(said)[:REJECT_CHARACTERS]
    rest = {name: value for name, value in verdict.items() if name != "passed"}
    return json_of(rest)[:REJECT_CHARACTERS] if rest else ""

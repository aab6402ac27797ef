"""What the calls of a job's steps did, and the tally in which a worker counts it.

A step calls one model. Counts are of calls and replies, never of records: a record that is repaired
and then cut is counted under both. Only `skipped` counts records.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any, Final

from runtime.domain.models.calls import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTotals:
    """The calls of one step. Amounts are nano-USD, tokens as the provider bills them."""

    model: str
    calls: int = 0
    """Calls that were sent, whatever became of them."""
    tokens_in: int = 0
    """Prompts, with what a cache served or stored."""
    tokens_out: int = 0
    cost_nano: int = 0
    """Settled and presumed."""
    retried: int = 0
    """Calls made again after a failure of the service."""
    repaired: int = 0
    """Replies to a request to correct an output."""
    refused: int = 0
    """Replies without a usable completion: a filter, a guardrail, the model's own refusal."""
    cut: int = 0
    """Replies that were cut at their max_tokens."""
    schema_in_prompt: int = 0
    """Calls that showed the output_schema in the prompt, since the service could not compile it."""
    skipped: int = 0
    """Records that did not take the step, by its `when`: no calls."""
    presumed: int = 0
    """Calls of which nobody knows whether, or how much, they were billed."""
    presumed_nano: int = 0
    """Their worst case, a part of `cost_nano`."""
    judge: bool = False
    """Whether it is no step, but a check that a model decides."""

    def __add__(self, other: "StepTotals") -> "StepTotals":
        """Both together. The step has called `other`'s model last."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return StepTotals(model=other.model, judge=self.judge or other.judge, **sums)

    def document(self) -> dict[str, object]:
        """As checkpoints and tables hold it; inverse of `step_totals_of`."""
        document = asdict(self)
        if not self.judge:
            del document["judge"]
        return document


COUNTS: Final = tuple(
    field.name for field in fields(StepTotals) if field.name not in {"model", "judge"}
)
"""Every figure of `StepTotals`."""

_LARGEST: Final = 2**63 - 1
"""No count that SQLite could not hold."""


def step_totals_of(document: Mapping[str, Any]) -> StepTotals:
    """Inverse of `StepTotals.document`; figures that are not there are 0. Numbers may be decimals
    without a fraction, as DynamoDB has them. Raises `ValueError` or `KeyError` on damage.
    """
    model = document["model"]
    if not isinstance(model, str):
        raise ValueError("a step without its model")  # noqa: TRY004 - damage, whatever its form
    counts = {name: _count(document.get(name, 0)) for name in COUNTS}
    return StepTotals(model=model, judge=document.get("judge") is True, **counts)


def steps_document(steps: Mapping[str, StepTotals]) -> dict[str, dict[str, object]]:
    """All steps by id, as checkpoints and tables hold them."""
    return {step: totals.document() for step, totals in steps.items()}


def steps_of(document: object) -> dict[str, StepTotals]:
    """Inverse of `steps_document`. Raises `ValueError` or `KeyError` on damage."""
    if not isinstance(document, Mapping):
        raise ValueError("steps that are no object")  # noqa: TRY004 - damage, whatever its form
    steps: dict[str, StepTotals] = {}
    for step, totals in document.items():
        if not isinstance(totals, Mapping):
            raise ValueError("a step that is no object")  # noqa: TRY004 - damage, as above
        steps[step] = step_totals_of(totals)
    return steps


def sum_of(steps: Mapping[str, StepTotals]) -> StepTotals:
    """All steps together, of no model."""
    return sum(steps.values(), StepTotals(model=""))


def judging_nano(steps: Mapping[str, StepTotals]) -> int:
    """What the calls of judges have cost, nano-USD."""
    return sum(totals.cost_nano for totals in steps.values() if totals.judge)


def _count(value: object) -> int:
    if isinstance(value, Decimal) and value.is_finite() and value == int(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise ValueError("not a count")
    return value


class Tally:
    """Counts what happens to the calls of a template's steps; one owner, no lock.

    What is counted is saved with each checkpoint. Of a worker that was killed the counts since then
    are lost, as in `Progress.cost_by_model`: the job's own cost and tokens have them.
    """

    def __init__(self, steps: Mapping[str, StepTotals] | None = None) -> None:
        self._models: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}
        self.judges: set[str] = set()
        """Which of them are judges."""
        if steps is not None:
            self.add(steps)

    def add(self, steps: Mapping[str, StepTotals]) -> None:
        """Add what an earlier claim, or another one, counted."""
        for step, totals in steps.items():
            if totals.judge:
                self.judges.add(step)
            self._of(step, totals.model).update({name: getattr(totals, name) for name in COUNTS})

    def settled(self, step: str, model: str, usage: Usage, nano: int) -> None:
        """A reply was billed `nano` for `usage`."""
        counts = self._of(step, model)
        counts["calls"] += 1
        counts["cost_nano"] += nano
        self._used(counts, usage)

    def presumed_spent(self, step: str, model: str, nano: int, usage: Usage | None = None) -> None:
        """A call whose fate or price is not known is booked with `nano`, its worst case."""
        counts = self._of(step, model)
        counts["calls"] += 1
        counts["presumed"] += 1
        counts["presumed_nano"] += nano
        counts["cost_nano"] += nano
        if usage is not None:
            self._used(counts, usage)

    def not_billed(self, step: str, model: str) -> None:
        """A call was sent, and certainly not billed."""
        self._of(step, model)["calls"] += 1

    def retried(self, step: str, model: str) -> None:
        """A call that failed by the service will be made again."""
        self._of(step, model)["retried"] += 1

    def replied(
        self, step: str, model: str, *, cut: bool, refused: bool, repair: bool = False
    ) -> None:
        """A reply came: `cut` at its limit, `refused`, an answer to a request for a `repair`."""
        counts = self._of(step, model)
        counts["cut"] += cut
        counts["refused"] += refused
        counts["repaired"] += repair

    def skipped(self, step: str, model: str) -> None:
        """A record was finished that did not take the step."""
        self._of(step, model)["skipped"] += 1

    def in_words(self, step: str, model: str) -> None:
        """A call had the schema in its prompt, which the service could not compile."""
        self._of(step, model)["schema_in_prompt"] += 1

    def totals(self) -> dict[str, StepTotals]:
        """Everything counted so far, by step id."""
        return {
            step: StepTotals(model=self._models[step], judge=step in self.judges, **counts)
            for step, counts in self._counts.items()
        }

    def _of(self, step: str, model: str) -> "Counter[str]":
        self._models[step] = model
        return self._counts.setdefault(step, Counter())

    @staticmethod
    def _used(counts: "Counter[str]", usage: Usage) -> None:
        counts["tokens_in"] += usage.total - usage.output_tokens
        counts["tokens_out"] += usage.output_tokens

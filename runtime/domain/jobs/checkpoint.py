"""Where a job stands, small enough to save every few seconds and enough to go on from.

Finished indices are all below `next_index` except `pending`: those in work, and those that failed
and are tried again. `partials` holds paid work of records
that are not finished: results of earlier steps, and an output that still waits for its repair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import orjson

from runtime.domain.checks.totals import CheckTotals, check_totals_of
from runtime.domain.errors import CorruptCheckpointError
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.step_totals import StepTotals, steps_document, steps_of
from runtime.domain.money.amounts import exact_usd, nano_of

SCHEMA: Final = 1

_COST_LIMIT: Final = 10**28
"""Nano-USD that a Decimal of default precision holds exactly."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, kw_only=True, slots=True)
class Partial:
    """Paid steps of an unfinished record. `invalid` is the last output of the step after them,
    refused by its schema and not yet repaired; `raised` says that a reply to that step was cut, and
    that its next call has the raised limit. `attempt` counts the tries before it, which checks have
    rejected; `verdicts` are those of the checks that this one has taken.
    """

    steps: Mapping[str, Mapping[str, object]]
    invalid: str | None = None
    raised: bool = False
    attempt: int = 0
    verdicts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """As checkpoints and journals hold it; inverse of `partial_of`."""
        document: dict[str, object] = {"steps": dict(self.steps), "invalid": self.invalid}
        if self.raised:
            document["raised"] = True
        if self.attempt or self.verdicts:
            document |= {"attempt": self.attempt, "verdicts": dict(self.verdicts)}
        return document


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """One saved state. `current_batch` and `current_part` are the numbers that the next batch and
    the next failure list will get; cost is nano-USD.
    """

    job_id: str
    version: int = 0
    records_generated: int = 0
    failed_records: int = 0
    next_index: int = 0
    pending: tuple[int, ...] = ()
    current_batch: int = 1
    current_part: int = 1
    tokens_used: int = 0
    cost_nano: int = 0
    failures_by_kind: Mapping[str, int] = field(default_factory=dict)
    cost_by_model: Mapping[str, int] = field(default_factory=dict)
    """Both as in `job.Progress`. A blob of a version that did not count them has neither."""
    postponed: Mapping[str, int] | None = field(default_factory=dict)
    """Part of `failures_by_kind` whose indices are pending: they are tried again. None in a blob of
    a version for which every failure was final.
    """
    voided: int = 0
    """Failure parts up to this number were given back to be tried again."""
    steps: Mapping[str, StepTotals] = field(default_factory=dict)
    """As in `job.Progress`; likewise empty for an older blob."""
    checks: CheckTotals = field(default_factory=CheckTotals)
    """As in `job.Progress`."""
    current_rejected: int = 1
    """The number that the next list of rejected tries will get."""
    partials: Mapping[int, Partial] = field(default_factory=dict)
    started_at: datetime | None = None
    updated_at: datetime | None = None
    stored_version: int = 0
    """`_version`: what the versions table said when this was loaded; not part of the blob."""

    def finished(self, size: int, ranges: Sequence[range] | None = None) -> IndexSet:
        """Every index below `size` that is done or failed; with the ranges of a shard those of its
        own, beside which nothing is missing.
        """
        indices = IndexSet(size, ranges)
        skip = set(self.pending)
        for each in (range(size),) if ranges is None else ranges:
            for index in range(each.start, min(self.next_index, each.stop)):
                if index not in skip:
                    indices.add(index)
        return indices


def encode(checkpoint: Checkpoint) -> bytes:
    """The blob, as JSON. Costs are decimal strings of USD."""
    return orjson.dumps(
        {
            "schema": SCHEMA,
            "job_id": checkpoint.job_id,
            "version": checkpoint.version,
            "records_generated": checkpoint.records_generated,
            "failed_records": checkpoint.failed_records,
            "next_index": checkpoint.next_index,
            "pending": checkpoint.pending,
            "current_batch": checkpoint.current_batch,
            "current_part": checkpoint.current_part,
            "tokens_used": checkpoint.tokens_used,
            "cost": _usd(checkpoint.cost_nano),
            "failures_by_kind": dict(checkpoint.failures_by_kind),
            "cost_by_model": {
                model: _usd(nano) for model, nano in checkpoint.cost_by_model.items()
            },
            "postponed": None if checkpoint.postponed is None else dict(checkpoint.postponed),
            "voided": checkpoint.voided,
            "steps": steps_document(checkpoint.steps),
            **_checks_document(checkpoint),
            "partials": {
                str(index): partial.document() for index, partial in checkpoint.partials.items()
            },
            "started_at": checkpoint.started_at,
            "updated_at": checkpoint.updated_at,
        },
        option=orjson.OPT_UTC_Z,
    )


def _checks_document(checkpoint: Checkpoint) -> dict[str, object]:
    """Nothing for a job without checks, whose blob stays what it always was."""
    if not checkpoint.checks and checkpoint.current_rejected == 1:
        return {}
    return {
        "checks": checkpoint.checks.document(),
        "current_rejected": checkpoint.current_rejected,
    }


def decode(blob: bytes) -> Checkpoint:
    """Inverse of `encode`. Raises `CorruptCheckpointError` on damage or an unknown schema."""
    try:
        document = orjson.loads(blob)
        schema = _natural(document["schema"])
        if schema != SCHEMA:
            raise CorruptCheckpointError(
                f"the checkpoint has schema {schema}; this version reads {SCHEMA}"
            )
        return _parse(document)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as exc:
        raise CorruptCheckpointError("the checkpoint can't be read") from exc


def _parse(document: Mapping[str, Any]) -> Checkpoint:
    counters = {
        name: _natural(document[name])
        for name in (
            "version",
            "records_generated",
            "failed_records",
            "next_index",
            "current_batch",
            "current_part",
            "tokens_used",
        )
    }
    return Checkpoint(
        job_id=_typed(str, document["job_id"]),
        **counters,
        pending=tuple(_natural(index) for index in _typed(list, document["pending"])),
        cost_nano=_nano(_typed(str, document["cost"])),
        failures_by_kind=_counts(document.get("failures_by_kind", {})),
        cost_by_model={
            model: _nano(_typed(str, usd))
            for model, usd in document.get("cost_by_model", {}).items()
        },
        postponed=None if (kinds := document.get("postponed")) is None else _counts(kinds),
        voided=_natural(document.get("voided", 0)),
        steps=steps_of(document.get("steps", {})),
        checks=check_totals_of(document.get("checks")),
        current_rejected=_natural(document.get("current_rejected", 1)),
        partials={
            _natural(int(index)): partial_of(partial)
            for index, partial in document["partials"].items()
        },
        started_at=_time(document["started_at"]),
        updated_at=_time(document["updated_at"]),
    )


def _natural(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a natural number")
    return value


def _counts(document: Mapping[str, object]) -> dict[str, int]:
    return {name: _natural(count) for name, count in document.items()}


def _typed(kind: type[_Kind], value: object) -> _Kind:
    if not isinstance(value, kind):
        raise ValueError("a value of another type")  # noqa: TRY004 - damage, whatever its form
    return value


def _usd(nano: int) -> str:
    return str(exact_usd(nano))


def _nano(usd: str) -> int:
    amount = Decimal(usd)
    if not 0 <= amount < exact_usd(_COST_LIMIT) or exact_usd(nano_of(amount)) != amount:
        raise ValueError("not a cost")
    return nano_of(amount)


def partial_of(document: Mapping[str, Any]) -> Partial:
    """Inverse of `Partial.document`. Raises `ValueError` or `KeyError` on damage."""
    steps, invalid = _typed(dict, document["steps"]), document["invalid"]
    verdicts = _typed(dict, document.get("verdicts", {}))
    return Partial(
        steps={name: _typed(dict, step) for name, step in steps.items()},
        invalid=None if invalid is None else _typed(str, invalid),
        raised=_typed(bool, document.get("raised", False)),
        attempt=_natural(document.get("attempt", 0)),
        verdicts={name: _typed(dict, verdict) for name, verdict in verdicts.items()},
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time.astimezone(UTC)


def merge(ours: Checkpoint, stored: Checkpoint) -> Checkpoint:
    """Both sides' finished work (requirement S7.6): the higher `records_generated` gives the
    counters, or the higher number of tries, and an index is pending only if neither side has
    finished it. It goes on from its latest try.
    """
    ahead = ours if _ahead(ours) >= _ahead(stored) else stored
    longer, shorter = (ours, stored) if ours.next_index >= stored.next_index else (stored, ours)
    short_pending = set(shorter.pending)
    pending = tuple(
        index for index in longer.pending if index >= shorter.next_index or index in short_pending
    )
    return replace(
        ahead,
        version=stored.version,
        stored_version=stored.stored_version,
        next_index=longer.next_index,
        pending=pending,
        current_batch=max(ours.current_batch, stored.current_batch),
        current_part=max(ours.current_part, stored.current_part),
        voided=max(ours.voided, stored.voided),
        current_rejected=max(ours.current_rejected, stored.current_rejected),
        partials={
            **stored.partials,
            **{
                index: partial
                for index, partial in ours.partials.items()
                if index not in stored.partials or stored.partials[index].attempt <= partial.attempt
            },
        },
    )


def _ahead(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.records_generated, checkpoint.checks.tries

"""Which records of a job are in its dataset: those that pass the checks of the dataset, in the
order of their indices, until there are as many as were asked for.

    batches ─▶ distinct records ─▶ texts and labels ─▶ in index order ─▶ Chooser ─▶ Chosen

Where no check compares records, the first ones by index are it, and nothing of them is read but
that. Memory holds some bits an index, the window of what waits for its turn, and what the indices
of texts keep.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, Protocol

import orjson

from runtime.domain.checks.check import Checks
from runtime.domain.checks.choosing import Choice, Chooser, Decision
from runtime.domain.checks.repeats import RepeatIndex
from runtime.domain.checks.totals import Selection
from runtime.domain.jobs.indices import IndexSet
from runtime.export.formats import ExportRecord
from runtime.export.ordering import IndexOrder

MakeIndex = Callable[[float | None], RepeatIndex]
"""An empty index of texts, for a threshold of likeness or none."""


class Records(Protocol):
    """The records of a job, each once, some at a time: see `exporter.DistinctRecords`."""

    @property
    def seen(self) -> IndexSet:
        """The indices of those that the last iteration gave."""
        ...

    def some(self) -> Iterator[Sequence[ExportRecord]]:
        """Read anew each time. Raises `ExportError`, `StorageError`."""
        ...


_Seen = tuple[Mapping[str, str], str | None]
"""What the dataset's checks look at of a record: a text for each of `unique`, and the label."""

_STEPS: Final = "steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The records of a dataset, by index. `passed` are all that there are, `left_out` those that a
    check of the dataset has left out, by its id; the others that are not `accepted` are surplus.
    """

    selection: Selection
    passed: IndexSet
    accepted: IndexSet
    left_out: Mapping[str, IndexSet] = field(default_factory=dict)

    def check_of(self, index: int) -> str | None:
        """The check that has left out a record; None: none has."""
        return next((check for check, some in self.left_out.items() if index in some), None)

    def share_of(self, size: int) -> int:
        """About how many bytes the dataset's records have of those of all."""
        return size * self.selection.accepted // max(self.selection.records, 1)

    @property
    def others(self) -> IndexSet:
        """The indices below the last accepted one that are not in the dataset: nobody waits for
        them.
        """
        return _gaps_of(self.accepted)


class ChosenRecords:
    """Those of a job's records that are in its dataset; each iteration reads the batches anew."""

    def __init__(self, records: Records, chosen: Chosen) -> None:
        self._records = records
        self._chosen = chosen

    def __iter__(self) -> Iterator[ExportRecord]:
        return chain.from_iterable(self.some())

    def some(self) -> Iterator[Sequence[ExportRecord]]:
        """Some of them at a time."""
        accepted = self._chosen.accepted
        for some in self._records.some():
            yield [record for record in some if record.document["index"] in accepted]

    def left_out(self) -> Iterator[bytes]:
        """The lines of those that a check of the dataset has left out, each with its id."""
        if not self._chosen.left_out:
            return
        for some in self._records.some():
            for record in some:
                check = self._chosen.check_of(record.document["index"])
                if check is not None:
                    yield orjson.dumps({**record.document, "rejected_by": check})


def choose(records: Records, checks: Checks, *, wanted: int, make_index: MakeIndex) -> Chosen:
    """Choose `wanted` of a job's stored records. Raises `ExportError`, `StorageError`, and
    `ConfigurationError` where a library for near texts is missing.
    """
    for _ in records.some():
        pass
    passed = records.seen
    if checks.of_dataset:
        return _Choosing(passed, checks, wanted=wanted, make_index=make_index).over(records)
    accepted = IndexSet(passed.size)
    for index in islice(passed, wanted):
        accepted.add(index)
    return _chosen(wanted, passed, accepted, {})


class _Choosing:
    """One choice. `passed` are the indices that have records, so that nobody waits for others."""

    def __init__(
        self, passed: IndexSet, checks: Checks, *, wanted: int, make_index: MakeIndex
    ) -> None:
        self._passed = passed
        self._wanted = wanted
        self._looker = Looker(checks)
        self._chooser = make_chooser(checks, wanted=wanted, make_index=make_index)
        self._balance = None if checks.balance is None else checks.balance.id
        self._accepted = IndexSet(passed.size)
        self._left_out: dict[str, IndexSet] = {}

    def over(self, records: Records) -> Chosen:
        order: IndexOrder[_Seen] = IndexOrder(
            self._decide,
            line_of=orjson.dumps,
            read=_read,
            absent=_gaps_of(self._passed),
        )
        for some in records.some():
            order.add([self._waiting(each) for each in some])
        order.finish()
        return _chosen(self._wanted, self._passed, self._accepted, self._left_out)

    def _waiting(self, record: ExportRecord) -> tuple[int, _Seen, int]:
        seen = self._looker.look(record.document)
        return record.document["index"], seen, len(record.line)

    def _decide(self, some: Sequence[tuple[int, _Seen]]) -> None:
        for index, (texts, label) in some:
            decision = self._chooser.choose(index, texts=texts, label=label)
            if decision.choice is Choice.ACCEPTED:
                self._accepted.add(index)
            elif (check := check_of(decision, self._balance)) is not None:
                there = self._left_out.setdefault(check, IndexSet(self._passed.size))
                there.add(index)


def check_of(decision: Decision, balance: str | None) -> str | None:
    """The id of the check that leaves a record out; `balance` is that of the template's."""
    if decision.choice is Choice.REPEAT:
        return decision.check
    return balance if decision.choice is Choice.UNLABELLED else None


def make_chooser(checks: Checks, *, wanted: int, make_index: MakeIndex) -> Chooser:
    """What decides on the records of a template, one by one."""
    return Chooser(
        wanted=wanted,
        unique={each.id: make_index(each.near) for each in checks.unique},
        labels=None if checks.balance is None else checks.balance.values,
    )


class Looker:
    """Takes out of a record what the dataset's checks look at."""

    def __init__(self, checks: Checks) -> None:
        self._paths = {each.id: each.by.split(".") for each in checks.unique}
        self._balance = None if checks.balance is None else checks.balance.id

    def look(self, document: Mapping[str, Any]) -> _Seen:
        """Texts by check, without those that the record doesn't have, and its label. `document` is
        its line.
        """
        texts = {}
        for check, path in self._paths.items():
            value = _at(document, path)
            if value is not None:
                texts[check] = value if isinstance(value, str) else _text(value)
        if self._balance is None:
            return texts, None
        verdict = document.get("checks", {}).get(self._balance)
        label = verdict.get("value") if isinstance(verdict, Mapping) else None
        return texts, label if label is None or isinstance(label, str) else _text(label)


def _at(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    root, *names = path
    value: Any = document["generation_result"] if root == _STEPS else document.get(root)
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _read(line: bytes) -> _Seen:
    texts, label = orjson.loads(line)
    return texts, label


def _chosen(
    wanted: int, passed: IndexSet, accepted: IndexSet, left_out: Mapping[str, IndexSet]
) -> Chosen:
    return Chosen(
        selection=Selection(
            wanted=wanted,
            records=len(passed),
            accepted=len(accepted),
            left_out={check: len(some) for check, some in left_out.items()},
        ),
        passed=passed,
        accepted=accepted,
        left_out=left_out,
    )


def _gaps_of(some: IndexSet) -> IndexSet:
    """The indices below the last one that are not in the set."""
    gaps = IndexSet(some.end)
    for index in some.missing():
        if index >= gaps.size:
            break
        gaps.add(index)
    return gaps

"""What is counted of one column: a step's output, or a property of it where it is an object."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.domain.jobs.record import is_skipped
from runtime.export.report.counters import (
    LabelCounter,
    OpeningCounter,
    Openings,
    RepeatCounter,
    Repeats,
    Share,
    SizeCounter,
    Sizes,
    normal_text,
)

MAX_COLUMNS: Final = 40
"""Columns that are counted; a step whose outputs have more is counted up to there."""

MAX_REPEAT_COLUMNS: Final = 8
"""Columns whose texts are looked at for repeats: each takes 8 bytes a record."""

_MAX_NAME: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """The numbers of a column."""

    count: int
    minimum: float
    mean: float
    maximum: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnStatistics:
    """One column. What its values are not is None or empty."""

    name: str
    """`step`, or `step.property`."""
    values: int
    """Records that have one, null left out."""
    nulls: int
    characters: Sizes | None
    """Of texts, as are the words and what follows them."""
    words: Sizes | None
    openings: Openings | None
    repeats: Repeats | None
    """None where there are no texts, or too many columns of them."""
    labels: tuple[Share, ...]
    """Texts, numbers and booleans of few different values."""
    numbers: Numbers | None
    items: Sizes | None
    """Items of lists."""


def values_of(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a `generation_result` by column; a step that was skipped has none."""
    for step, answer in result.items():
        if is_skipped(answer):
            continue
        output = answer.get("output") if isinstance(answer, dict) else None
        if isinstance(output, dict) and output:
            for name, value in output.items():
                yield f"{step}.{name}"[:_MAX_NAME], value
        else:
            yield step[:_MAX_NAME], output


class _Column:
    def __init__(self, name: str) -> None:
        self.repeats: RepeatCounter | None = None
        self.has_texts = False
        self._name = name
        self._values = self._nulls = 0
        self._characters = SizeCounter()
        self._words = SizeCounter()
        self._openings = OpeningCounter()
        self._labels = LabelCounter()
        self._items = SizeCounter()
        self._numbers = 0
        self._minimum = self._maximum = self._sum = 0.0

    def add_null(self) -> None:
        self._nulls += 1

    def add_text(self, text: str, words: list[str], normal: str) -> None:
        self._values += 1
        self.has_texts = True
        self._characters.add(len(text))
        self._words.add(len(words))
        self._openings.add(words)
        self._labels.add(text)
        if self.repeats is not None:
            self.repeats.add(normal)

    def add_number(self, number: float) -> None:
        self._values += 1
        self._labels.add(str(number))
        value = float(number)
        self._minimum = min(self._minimum, value) if self._numbers else value
        self._maximum = max(self._maximum, value) if self._numbers else value
        self._numbers += 1
        self._sum += value

    def add_boolean(self, *, value: bool) -> None:
        self._values += 1
        self._labels.add("true" if value else "false")

    def add_list(self, items: int) -> None:
        self._values += 1
        self._items.add(items)

    def add_object(self) -> None:
        self._values += 1

    def document(self) -> dict[str, Any]:
        """All that was counted, for `merge`."""
        return {
            "has_texts": self.has_texts,
            "repeats": None if self.repeats is None else self.repeats.document(),
            "values": self._values,
            "nulls": self._nulls,
            **{name: counter.document() for name, counter in self._counters()},
            "numbers": self._numbers,
            "minimum": self._minimum,
            "maximum": self._maximum,
            "sum": self._sum,
        }

    def merge(self, document: Mapping[str, Any]) -> None:
        """Add what another one has counted. Texts are begun by `Columns`."""
        self._values += document["values"]
        self._nulls += document["nulls"]
        for name, counter in self._counters():
            counter.merge(document[name])
        if self.repeats is not None and document["repeats"] is not None:
            self.repeats.merge(document["repeats"])
        if document["numbers"]:
            least, most = document["minimum"], document["maximum"]
            self._minimum = min(self._minimum, least) if self._numbers else least
            self._maximum = max(self._maximum, most) if self._numbers else most
            self._numbers += document["numbers"]
            self._sum += document["sum"]

    def _counters(self) -> Iterator[tuple[str, Any]]:
        yield "characters", self._characters
        yield "words", self._words
        yield "openings", self._openings
        yield "labels", self._labels
        yield "items", self._items

    def result(self) -> ColumnStatistics:
        numbers = self._numbers
        return ColumnStatistics(
            name=self._name,
            values=self._values,
            nulls=self._nulls,
            characters=self._characters.result(),
            words=self._words.result(),
            openings=self._openings.result() if self.has_texts else None,
            repeats=self.repeats.result() if self.repeats else None,
            labels=self._labels.result(),
            numbers=Numbers(
                count=numbers,
                minimum=self._minimum,
                mean=self._sum / numbers,
                maximum=self._maximum,
            )
            if numbers
            else None,
            items=self._items.result(),
        )


class Columns:
    """Every column of a dataset, in the order in which it was first seen."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._text_columns = 0
        self.dropped = False
        """Whether there are more columns than are counted."""

    def add(self, result: Mapping[str, Any]) -> tuple[list[str], str]:
        """Count a record. The words of all its texts, and what makes it equal to another record."""
        words_of_all: list[str] = []
        identity: list[str] = []
        for name, value in values_of(result):
            column = self._column(name)
            if isinstance(value, str):
                words = value.split()
                normal = normal_text(words)
                words_of_all += words
                if column is not None:
                    if not column.has_texts:
                        self._begin_texts(column)
                    column.add_text(value, words, normal)
            else:
                normal = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
                if isinstance(value, list | dict):
                    words_of_all += normal.split()
                if column is not None:
                    _add_other(column, value)
            identity.append(f"{name}\x1f{normal}")
        return words_of_all, "\x1e".join(identity)

    def _begin_texts(self, column: _Column) -> None:
        self._text_columns += 1
        if self._text_columns <= MAX_REPEAT_COLUMNS:
            column.repeats = RepeatCounter()

    def _column(self, name: str) -> _Column | None:
        column = self._columns.get(name)
        if column is None:
            if len(self._columns) == MAX_COLUMNS:
                self.dropped = True
                return None
            column = self._columns[name] = _Column(name)
        return column

    def document(self) -> list[tuple[str, dict[str, Any]]] | None:
        """All that was counted, for `merge`; None where a column was left out, or its repeats: it
        may be one that others count.
        """
        if self.dropped or self._text_columns > MAX_REPEAT_COLUMNS:
            return None
        return [(name, column.document()) for name, column in self._columns.items()]

    def merge(self, document: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Add what was counted of records that come after those of here."""
        for name, counted in document:
            column = self._column(name)
            if column is not None:
                if counted["has_texts"] and not column.has_texts:
                    self._begin_texts(column)
                    column.has_texts = True
                column.merge(counted)

    def results(self) -> tuple[ColumnStatistics, ...]:
        """What was counted."""
        return tuple(column.result() for column in self._columns.values())


def _add_other(column: _Column, value: object) -> None:
    match value:
        case None:
            column.add_null()
        case bool():
            column.add_boolean(value=value)
        case int() | float():
            column.add_number(value)
        case list():
            column.add_list(len(value))
        case _:
            column.add_object()

"""What a sampler draws from: one class a `sampler_type`, with the parameters it takes.

Parameters are checked when they are read. `draw` gives a JSON value; what it may look at is its
chance and the samples that were drawn before.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Final
from uuid import UUID

from runtime.domain.outputs.types import Scalar, Type, joined
from runtime.domain.samplers.chance import Chance
from runtime.domain.samplers.conditions import Literal


class SamplerType(StrEnum):
    """Types of samplers, as their documents name them."""

    CATEGORY = "category"
    SUBCATEGORY = "subcategory"
    UNIFORM = "uniform"
    GAUSSIAN = "gaussian"
    BERNOULLI = "bernoulli"
    DATETIME = "datetime"
    UUID = "uuid"
    PERSON = "person_from_faker"


_SCALARS: Final[Mapping[type, Scalar]] = {
    str: Scalar.STRING,
    bool: Scalar.BOOL,
    int: Scalar.INT64,
    float: Scalar.FLOAT64,
}


def type_of_values(values: Sequence[Literal]) -> Type:
    """The one type of these values; json where they differ."""
    return joined(_SCALARS[type(each)] for each in values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """One of `values`, each as likely as any other, or by its weight."""

    values: tuple[Literal, ...]
    weights: tuple[float, ...] = ()
    _sums: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _last: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", tuple(accumulate(self.weights)))
        positive = [number for number, weight in enumerate(self.weights) if weight > 0]
        object.__setattr__(self, "_last", max(positive, default=0))

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> Literal:
        if not self._sums:
            return self.values[int(chance.uniform * len(self.values))]
        # Where rounding reaches the sum of all, the last value with a weight is meant.
        place = chance.uniform * self._sums[-1]
        return self.values[bisect_right(self._sums, place, hi=self._last)]

    @property
    def kind(self) -> Type:
        return type_of_values(self.values)

    def document(self) -> dict[str, Any]:
        weights = {"weights": list(self.weights)} if self.weights else {}
        return {"values": list(self.values), **weights}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subcategory:
    """One of the values that belong to the sample of `category`, by that sample's text."""

    category: str
    values: Mapping[str, tuple[Literal, ...]]

    def draw(self, chance: Chance, samples: Mapping[str, Any]) -> Literal:
        values = self.values[as_text(samples[self.category])]
        return values[int(chance.uniform * len(values))]

    @property
    def kind(self) -> Type:
        return type_of_values([each for values in self.values.values() for each in values])

    def document(self) -> dict[str, Any]:
        values = {name: list(values) for name, values in self.values.items()}
        return {"category": self.category, "values": values}


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """A number from `low` to `high`, rounded to `decimal_places` where they are given."""

    low: float
    high: float
    decimal_places: int | None = None

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> float:
        value = self.low + (self.high - self.low) * chance.uniform
        return _rounded(min(max(value, self.low), self.high), self.decimal_places)

    @property
    def kind(self) -> Type:
        return Scalar.FLOAT64

    def document(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, **_places(self.decimal_places)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Gaussian:
    """A number of the normal distribution, rounded to `decimal_places` where they are given."""

    mean: float
    stddev: float
    decimal_places: int | None = None

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> float:
        value = self.mean + self.stddev * _NORMAL.inv_cdf(chance.uniform)
        return _rounded(value, self.decimal_places)

    @property
    def kind(self) -> Type:
        return Scalar.FLOAT64

    def document(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, **_places(self.decimal_places)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bernoulli:
    """1 with probability `p`, else 0."""

    p: float

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> int:
        return int(chance.uniform < self.p)

    @property
    def kind(self) -> Type:
        return Scalar.INT64

    def document(self) -> dict[str, Any]:
        return {"p": self.p}


class TimeUnit(StrEnum):
    """What a time is drawn in whole numbers of."""

    YEAR = "Y"
    MONTH = "M"
    DAY = "D"
    HOUR = "h"
    MINUTE = "m"
    SECOND = "s"


_STEPS: Final[Mapping[TimeUnit, timedelta]] = {
    TimeUnit.DAY: timedelta(days=1),
    TimeUnit.HOUR: timedelta(hours=1),
    TimeUnit.MINUTE: timedelta(minutes=1),
    TimeUnit.SECOND: timedelta(seconds=1),
}
_OF_DAYS: Final = frozenset({TimeUnit.YEAR, TimeUnit.MONTH, TimeUnit.DAY})
_MONTHS: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Datetime:
    """A time in whole units from `start`, cut to its unit, and before `end`: a text of ISO 8601,
    a date where the unit is a day or longer.
    """

    start: datetime
    end: datetime
    unit: TimeUnit = TimeUnit.DAY

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> str:
        number = int(chance.uniform * self.count)
        first, step = self._first, _STEPS.get(self.unit)
        if step is not None:
            found = first + number * step
        else:
            months = first.month - 1 + number * (_MONTHS if self.unit is TimeUnit.YEAR else 1)
            found = first.replace(year=first.year + months // _MONTHS, month=months % _MONTHS + 1)
        return found.date().isoformat() if self.unit in _OF_DAYS else found.isoformat()

    @property
    def count(self) -> int:
        """How many times there are to draw from."""
        first, step = self._first, _STEPS.get(self.unit)
        if step is not None:
            return -((first - self.end) // step)
        end, size = self.end, (_MONTHS if self.unit is TimeUnit.YEAR else 1)
        months = (end.year - first.year) * _MONTHS + end.month - first.month
        # A month that `end` lies within began before it.
        whole = end == end.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return -(-(months + (not whole)) // size)

    @property
    def _first(self) -> datetime:
        names: dict[str, Any] = {"microsecond": 0}
        for unit, name in _CUT:
            if self.unit is unit:
                break
            names[name] = 1 if name in {"day", "month"} else 0
        return self.start.replace(**names)

    @property
    def kind(self) -> Type:
        return Scalar.STRING

    def document(self) -> dict[str, Any]:
        start, end = self.start.isoformat(), self.end.isoformat()
        return {"start": start, "end": end, "unit": self.unit.value}


_CUT: Final = (
    (TimeUnit.SECOND, "second"),
    (TimeUnit.MINUTE, "minute"),
    (TimeUnit.HOUR, "hour"),
    (TimeUnit.DAY, "day"),
    (TimeUnit.MONTH, "month"),
)
"""What is cut for longer units than this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Uuid:
    """An id of its own in each record; its first 8 digits in `short_form`."""

    prefix: str = ""
    short_form: bool = False
    uppercase: bool = False

    def draw(self, chance: Chance, _samples: Mapping[str, Any]) -> str:
        text = str(UUID(int=chance.bits, version=4))
        text = text[:8] if self.short_form else text
        return self.prefix + (text.upper() if self.uppercase else text)

    @property
    def kind(self) -> Type:
        return Scalar.STRING

    def document(self) -> dict[str, Any]:
        told = {"prefix": self.prefix, "short_form": self.short_form, "uppercase": self.uppercase}
        return {name: value for name, value in told.items() if value}


def as_text(value: Literal) -> str:
    """A value as a text: `true` and `false` as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_NORMAL: Final = NormalDist()


def _rounded(value: float, places: int | None) -> float:
    return value if places is None else round(value, places)


def _places(places: int | None) -> dict[str, Any]:
    return {} if places is None else {"decimal_places": places}

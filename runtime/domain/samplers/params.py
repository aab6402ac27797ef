"""Reads the parameters of a sampler, by its type. Each problem goes to `refuse` with its place."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from typing import Any, Final

from runtime.domain.fields import Refuse, is_number
from runtime.domain.hints import hint_for
from runtime.domain.outputs.types import INT64_MAX, INT64_MIN
from runtime.domain.samplers.conditions import Literal
from runtime.domain.samplers.kinds import (
    Bernoulli,
    Category,
    Datetime,
    Gaussian,
    SamplerType,
    Subcategory,
    TimeUnit,
    Uniform,
    Uuid,
)
from runtime.domain.samplers.persons import (
    DEFAULT_AGES,
    DEFAULT_LOCALE,
    MAX_AGE,
    SEXES,
    Person,
)
from runtime.domain.samplers.samplers import Params

MAX_VALUES: Final = 1000
"""Of one category."""
MAX_VALUE_CHARACTERS: Final = 10_000
MAX_NUMBER: Final = 1e15
MAX_PLACES: Final = 15
MAX_PREFIX_CHARACTERS: Final = 100

_LOCALE: Final = re.compile(r"[a-z]{2,3}(?:_[A-Z]{2})?")
_ENDS: Final = 2


def read_params(
    place: str, sampler_type: SamplerType, document: Mapping[Any, Any], refuse: Refuse
) -> Params | None:
    """The parameters, None with a problem."""
    form = _Form(place, document, refuse)
    known, read = _READERS[sampler_type]
    for name in sorted(map(str, document.keys() - set(known))):
        shown = name[:MAX_PREFIX_CHARACTERS]
        form.refuse(f'unknown parameter "{shown}"{hint_for(shown, known) or _there_are(known)}')
    params = read(form)
    return None if form.problems else params


def _there_are(known: Sequence[str]) -> str:
    return f"; there is {', '.join(known)}"


@dataclass(slots=True)
class _Form:
    """The parameters of one sampler; what is wrong stands in for itself, and is counted."""

    place: str
    document: Mapping[Any, Any]
    to_refuse: Refuse
    problems: int = 0

    def refuse(self, problem: str) -> None:
        self.problems += 1
        self.to_refuse(self.place, problem)

    def number(self, name: str, *, low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> float:
        value = self.document.get(name)
        if isinstance(value, int | float) and is_number(value, low=low, high=high):
            return value
        self.refuse(f"{name} must be a number from {low:g} to {high:g}")
        return low

    def whole(self, name: str, high: int) -> int | None:
        value = self.document.get(name)
        if value is None or (
            isinstance(value, int) and is_number(value, low=0, high=high, whole=True)
        ):
            return value
        self.refuse(f"{name} must be a whole number from 0 to {high}")
        return None

    def flag(self, name: str) -> bool:
        value = self.document.get(name, False)
        if not isinstance(value, bool):
            self.refuse(f"{name} must be true or false")
        return value is True

    def values(self, place: str, value: object) -> tuple[Literal, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.refuse(f"{place} must be a list of values")
            return ("",)
        if not 1 <= len(value) <= MAX_VALUES:
            self.refuse(f"{place} must be 1 to {MAX_VALUES} values")
            return ("",)
        bad = next((number for number, each in enumerate(value, 1) if not _is_literal(each)), None)
        if bad is not None:
            self.refuse(
                f"{place}, value {bad}, must be a text of at most {MAX_VALUE_CHARACTERS}"
                " characters, a number, true or false"
            )
            return ("",)
        # To Python 1, 1.0 and true are one value.
        if len({(type(each), each) for each in value}) < len(value):
            self.refuse(f"{place} has a value twice: give it a weight instead")
        return tuple(value)


def _is_literal(value: object) -> bool:
    match value:
        case str():
            return len(value) <= MAX_VALUE_CHARACTERS
        case bool():
            return True
        case int():
            return INT64_MIN <= value <= INT64_MAX
        case float():
            return isfinite(value)
    return False


def _category(form: _Form) -> Category:
    values = form.values("values", form.document.get("values"))
    weights = form.document.get("weights")
    if weights is None:
        return Category(values=values)
    fit = (
        isinstance(weights, Sequence)
        and not isinstance(weights, str)
        and len(weights) == len(values)
        and all(is_number(each, low=0, high=MAX_NUMBER) for each in weights)
        and any(each > 0 for each in weights)
    )
    if not fit:
        form.refuse("weights must be a number of at least 0 for each value, not all of them 0")
        return Category(values=values)
    return Category(values=values, weights=tuple(float(each) for each in weights))


def _subcategory(form: _Form) -> Subcategory:
    category, values = form.document.get("category"), form.document.get("values")
    if not isinstance(category, str):
        form.refuse("category must be the name of an earlier category sampler")
    if not isinstance(values, Mapping) or not 1 <= len(values) <= MAX_VALUES:
        form.refuse("values must map each value of the category to a list of values")
        values = {}
    # YAML reads a key such as 1 or true as what it is.
    found = {
        str(key).lower() if isinstance(key, bool) else str(key): form.values(
            f'values, "{str(key)[:MAX_PREFIX_CHARACTERS]}",', each
        )
        for key, each in values.items()
    }
    return Subcategory(category=str(category), values=found)


def _uniform(form: _Form) -> Uniform:
    low, high = form.number("low"), form.number("high")
    if not form.problems and low >= high:
        form.refuse("low must be less than high")
    return Uniform(low=low, high=high, decimal_places=form.whole("decimal_places", MAX_PLACES))


def _gaussian(form: _Form) -> Gaussian:
    return Gaussian(
        mean=form.number("mean"),
        stddev=form.number("stddev", low=0),
        decimal_places=form.whole("decimal_places", MAX_PLACES),
    )


def _bernoulli(form: _Form) -> Bernoulli:
    return Bernoulli(p=form.number("p", low=0, high=1))


def _datetime(form: _Form) -> Datetime:
    start, end = _moment(form, "start"), _moment(form, "end")
    unit = form.document.get("unit", TimeUnit.DAY.value)
    if unit not in list(TimeUnit):
        form.refuse(f"unit must be one of {', '.join(TimeUnit)}")
        unit = TimeUnit.DAY
    if not form.problems and start >= end:
        form.refuse("start must be before end")
    return Datetime(start=start, end=end, unit=TimeUnit(unit))


def _moment(form: _Form, name: str) -> datetime:
    value = form.document.get(name)
    # YAML may read 2024-01-01 as a date, whose text is of ISO 8601.
    text = value.isoformat() if isinstance(value, date) else value
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None:
        form.refuse(f"{name} must be a date or time without a zone, such as 2024-01-31")
        return datetime.min  # noqa: DTZ901 - stands in for what was refused
    return moment


def _uuid(form: _Form) -> Uuid:
    prefix = form.document.get("prefix") or ""
    if not isinstance(prefix, str) or len(prefix) > MAX_PREFIX_CHARACTERS:
        form.refuse(f"prefix must be a text of at most {MAX_PREFIX_CHARACTERS} characters")
    return Uuid(
        prefix=str(prefix), short_form=form.flag("short_form"), uppercase=form.flag("uppercase")
    )


def _person(form: _Form) -> Person:
    locale = form.document.get("locale", DEFAULT_LOCALE)
    if not isinstance(locale, str) or _LOCALE.fullmatch(locale) is None:
        form.refuse("locale must be a language and a country, such as de_DE")
    sex = form.document.get("sex")
    if sex is not None and sex not in SEXES:
        form.refuse(f"sex must be one of {', '.join(SEXES)}")
    ages = form.document.get("age_range", DEFAULT_AGES)
    fit = (
        isinstance(ages, Sequence)
        and len(ages) == _ENDS
        and all(is_number(each, low=0, high=MAX_AGE, whole=True) for each in ages)
        and ages[0] <= ages[1]
    )
    if not fit:
        form.refuse(f"age_range must be two whole numbers from 0 to {MAX_AGE}, the smaller first")
        ages = DEFAULT_AGES
    return Person(locale=str(locale), sex=sex, age_range=(ages[0], ages[1]))


_READERS: Final[Mapping[SamplerType, tuple[tuple[str, ...], Callable[[_Form], Params]]]] = {
    SamplerType.CATEGORY: (("values", "weights"), _category),
    SamplerType.SUBCATEGORY: (("category", "values"), _subcategory),
    SamplerType.UNIFORM: (("low", "high", "decimal_places"), _uniform),
    SamplerType.GAUSSIAN: (("mean", "stddev", "decimal_places"), _gaussian),
    SamplerType.BERNOULLI: (("p",), _bernoulli),
    SamplerType.DATETIME: (("start", "end", "unit"), _datetime),
    SamplerType.UUID: (("prefix", "short_form", "uppercase"), _uuid),
    SamplerType.PERSON: (("locale", "sex", "age_range"), _person),
}

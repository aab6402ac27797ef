"""The samplers of a template, and what they draw for a record.

    samplers:
      - {name: label, sampler_type: category, params: {values: [praise, complaint]}}
      - {name: price, sampler_type: uniform, params: {low: 1, high: 9, decimal_places: 2}}
    product: [label]

A draw is a pure function of (random seed, sampler's name, index): the same for every number of
records, in any order, after a restart and on any worker. Samplers are drawn in their order, so that
each may look at earlier ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from runtime.domain.outputs.types import Scalar, Type, joined
from runtime.domain.permutation import shuffled
from runtime.domain.samplers.chance import Chance
from runtime.domain.samplers.conditions import Condition
from runtime.domain.samplers.kinds import (
    Bernoulli,
    Category,
    Datetime,
    Gaussian,
    SamplerType,
    Subcategory,
    Uniform,
    Uuid,
    as_text,
)
from runtime.domain.samplers.persons import Person

Params = Category | Subcategory | Uniform | Gaussian | Bernoulli | Datetime | Uuid | Person

SEED: Final = "seed"
"""In a product: the seeds, as if they were one more list of values."""

CONVERSIONS: Final[Mapping[str, Scalar]] = {
    "int": Scalar.INT64,
    "float": Scalar.FLOAT64,
    "str": Scalar.STRING,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """One sampler. The first of `conditions` that holds gives the parameters, else `params` do."""

    name: str
    sampler_type: SamplerType
    params: Params
    conditions: tuple[tuple[Condition, Params], ...] = ()
    convert_to: str | None = None

    def draw(self, *, random_seed: int, index: int, samples: Mapping[str, Any]) -> Any:
        """The value in record `index`, after the `samples` before it."""
        held = (params for condition, params in self.conditions if condition.holds(samples))
        chance = Chance(random_seed=random_seed, name=self.name, index=index)
        return converted(next(held, self.params).draw(chance, samples), self.convert_to)

    @property
    def kind(self) -> Type:
        """The type of all its values."""
        if self.convert_to is not None:
            return CONVERSIONS[self.convert_to]
        return joined([self.params.kind, *(params.kind for _, params in self.conditions)])

    @property
    def values(self) -> list[Any] | None:
        """Everything that a category or subcategory may draw, before it is converted; None for
        another sampler.
        """
        found: list[Any] = []
        for params in (self.params, *(params for _, params in self.conditions)):
            if isinstance(params, Category):
                found += params.values
            elif isinstance(params, Subcategory):
                found += [each for values in params.values.values() for each in values]
            else:
                return None
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Samplers:
    """The samplers of a template in their order. `product` names those whose combinations come up
    equally often, and perhaps `SEED`.
    """

    each: tuple[Sampler, ...] = ()
    product: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.each)

    @property
    def multiplies_seeds(self) -> bool:
        """Whether the product decides which seed a record has."""
        return SEED in self.product

    def types(self) -> dict[str, Type]:
        """The type of each sample by its name, in their order."""
        return {sampler.name: sampler.kind for sampler in self.each}

    def values(self) -> dict[str, list[str]]:
        """All values of each category and subcategory as texts, by the sampler's name."""
        return {
            sampler.name: [as_text(converted(each, sampler.convert_to)) for each in values]
            for sampler in self.each
            if (values := sampler.values) is not None
        }

    def draw(
        self, *, random_seed: int, index: int, combination: Mapping[str, int]
    ) -> dict[str, Any]:
        """The samples of record `index`. `combination` says which value each sampler of the
        product has.
        """
        samples: dict[str, Any] = {}
        for sampler in self.each:
            number = combination.get(sampler.name)
            if number is not None and isinstance(sampler.params, Category):
                value = converted(sampler.params.values[number], sampler.convert_to)
            else:
                value = sampler.draw(random_seed=random_seed, index=index, samples=samples)
            samples[sampler.name] = value
        return samples

    def combination(
        self, *, random_seed: int, index: int, rows: int, in_order: bool
    ) -> dict[str, int]:
        """Which value each part of the product has in record `index`; `rows` is the number of
        seeds. Nothing without a product.

        Combinations are numbered as they are written: the last part changes fastest. Each comes
        once before one comes twice, in another order in each pass, or `in_order`.
        """
        if not self.product:
            return {}
        sizes = [rows if name == SEED else self._size(name) for name in self.product]
        total = prod(sizes)
        turn, position = divmod(index, total)
        if not in_order:
            key = f"samples 1/{random_seed}/product/{turn}".encode()
            position = shuffled(position, total, key=key)
        found: dict[str, int] = {}
        for name, size in zip(reversed(self.product), reversed(sizes), strict=True):
            position, found[name] = divmod(position, size)
        return found

    def _size(self, name: str) -> int:
        params = next(sampler.params for sampler in self.each if sampler.name == name)
        return len(params.values) if isinstance(params, Category) else 1

    def check(self) -> None:
        """Whether this machine can draw them. Raises `TemplateError` where an extra is missing, and
        for a country that it doesn't have.
        """
        for sampler in self.each:
            for params in (sampler.params, *(params for _, params in sampler.conditions)):
                if isinstance(params, Person):
                    params.check()


NO_SAMPLERS: Final = Samplers()


def converted(value: Any, convert_to: str | None) -> Any:
    """A value as `convert_to` says: numbers are rounded to whole ones. Raises `ValueError` for a
    text that is no number.
    """
    match convert_to:
        case None:
            return value
        case "str":
            return as_text(value)
        case "int":
            return int(value) if isinstance(value, str | int) else round(value)
    return float(value)


def samplers_document(samplers: Samplers) -> dict[str, Any]:
    """`samplers` and `product` as fields of a template's document; none where there is nothing."""
    if not samplers:
        return {}
    product = {"product": list(samplers.product)} if samplers.product else {}
    return {"samplers": [dict(_fields(each)) for each in samplers.each], **product}


def _fields(sampler: Sampler) -> Iterator[tuple[str, Any]]:
    yield "name", sampler.name
    yield "sampler_type", sampler.sampler_type.value
    yield "params", sampler.params.document()
    if sampler.conditions:
        yield (
            "conditional_params",
            {condition.text: params.document() for condition, params in sampler.conditions},
        )
    if sampler.convert_to is not None:
        yield "convert_to", sampler.convert_to

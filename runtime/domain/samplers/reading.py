"""Reads `samplers:` and `product:` of a template's document; each problem goes to `refuse` with its
place, and the first ones say what there is.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

from runtime.domain.fields import Refuse
from runtime.domain.hints import hint_for
from runtime.domain.outputs.types import Scalar, Struct
from runtime.domain.samplers.conditions import (
    ORDERED,
    Comparison,
    Condition,
    ConditionError,
    parse_condition,
)
from runtime.domain.samplers.kinds import Category, SamplerType, Subcategory, as_text
from runtime.domain.samplers.params import read_params
from runtime.domain.samplers.samplers import (
    CONVERSIONS,
    NO_SAMPLERS,
    SEED,
    Params,
    Sampler,
    Samplers,
    converted,
)

MAX_SAMPLERS: Final = 50
MAX_CONDITIONS: Final = 50
MAX_COMBINATIONS: Final = 10**9
"""Of a product, without seeds."""
SAMPLER_FIELDS: Final = frozenset(
    {"name", "sampler_type", "params", "conditional_params", "convert_to"}
)

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TYPES: Final = tuple(each.value for each in SamplerType)
_SHOWN_CHARACTERS: Final = 80


def read_samplers(document: object, product: object, refuse: Refuse) -> Samplers:
    """The samplers of a document; none where it names none."""
    if document is None:
        if product is not None:
            refuse("product", "there are no samplers to combine: list them in samplers")
        return NO_SAMPLERS
    if not isinstance(document, Sequence) or isinstance(document, str):
        refuse("samplers", "list samplers with name, sampler_type and params")
        return NO_SAMPLERS
    if not 1 <= len(document) <= MAX_SAMPLERS:
        refuse("samplers", f"list 1 to {MAX_SAMPLERS} samplers")
        return NO_SAMPLERS
    earlier: dict[str, Sampler] = {}
    for number, each in enumerate(document, start=1):
        sampler = _Reading(refuse, earlier).sampler(f"sampler {number}", each)
        if sampler is None:
            continue
        if sampler.name in earlier:
            refuse(f'sampler "{sampler.name}"', "there is another one of this name: rename one")
        earlier[sampler.name] = sampler
    return Samplers(each=tuple(earlier.values()), product=_product(product, earlier, refuse))


def stored_samplers(document: object, product: object) -> Samplers:
    """Samplers that were checked before they were stored."""
    return read_samplers(document, product, lambda *_problem: None)


class _Reading:
    """Reads one sampler, which may look at the `earlier` ones."""

    def __init__(self, refuse: Refuse, earlier: Mapping[str, Sampler]) -> None:
        self._refuse_in_all = refuse
        self._earlier = earlier
        self._problems = 0

    def _refuse(self, place: str, problem: str) -> None:
        self._problems += 1
        self._refuse_in_all(place, problem)

    def sampler(self, place: str, document: object) -> Sampler | None:
        if not isinstance(document, Mapping):
            self._refuse(place, "a sampler is a mapping with name, sampler_type and params")
            return None
        name = document.get("name")
        if name == SEED:
            self._refuse(place, 'another name than "seed", which stands for the seeds in a product')
        elif isinstance(name, str) and _NAME.fullmatch(name):
            place = f'sampler "{name}"'
        else:
            self._refuse(f"{place}, name", "use a letter, then up to 63 letters, digits or _")
        for unknown in document.keys() - SAMPLER_FIELDS:
            shown = _shown(unknown)
            self._refuse(place, f'unknown field "{shown}"{hint_for(shown, SAMPLER_FIELDS)}')
        kind = document.get("sampler_type")
        if kind not in _TYPES:
            hint = hint_for(kind, _TYPES) if isinstance(kind, str) else ""
            self._refuse(place, f"sampler_type must be one of {', '.join(_TYPES)}{hint}")
            return None
        sampler_type = SamplerType(str(kind))
        params = self._params(f"{place}, params", sampler_type, document.get("params"))
        conditions = self._conditions(place, sampler_type, document.get("conditional_params"))
        convert_to = self._conversion(place, document.get("convert_to"))
        if params is None or self._problems:
            return None
        sampler = Sampler(
            name=str(name),
            sampler_type=sampler_type,
            params=params,
            conditions=conditions,
            convert_to=convert_to,
        )
        problem = _conversion_problem(sampler)
        if problem is not None:
            self._refuse(place, problem)
            return None
        return sampler

    def _params(self, place: str, sampler_type: SamplerType, document: object) -> Params | None:
        if document is None:
            document = {}
        if not isinstance(document, Mapping):
            self._refuse(place, "is a mapping of parameters")
            return None
        params = read_params(place, sampler_type, document, self._refuse)
        if isinstance(params, Subcategory):
            self._check_subcategory(place, params)
        return params

    def _check_subcategory(self, place: str, params: Subcategory) -> None:
        category = self._earlier.get(params.category)
        if category is None:
            self._refuse(f"{place}, category", self._no_earlier(params.category))
            return
        known = category.values
        if known is None:
            self._refuse(f"{place}, category", f"{params.category} is no category sampler")
            return
        texts = {as_text(converted(each, category.convert_to)) for each in known}
        missing = [each for each in sorted(texts) if each not in params.values]
        if missing:
            self._refuse(
                f"{place}, values", f'"{_shown(missing[0])}" of {params.category} is missing'
            )
        for each in sorted(params.values.keys() - texts):
            hint = hint_for(each, texts)
            self._refuse(f"{place}, values", f'{params.category} has no "{_shown(each)}"{hint}')

    def _no_earlier(self, name: str) -> str:
        known = ", ".join(self._earlier) or "none"
        hint = hint_for(name, self._earlier)
        return f'there is no sampler "{_shown(name)}" before this one{hint}; there is {known}'

    def _conditions(
        self, place: str, sampler_type: SamplerType, document: object
    ) -> tuple[tuple[Condition, Params], ...]:
        if document is None:
            return ()
        place = f"{place}, conditional_params"
        if not isinstance(document, Mapping) or not 1 <= len(document) <= MAX_CONDITIONS:
            self._refuse(place, f"map 1 to {MAX_CONDITIONS} conditions to params")
            return ()
        found: list[tuple[Condition, Params]] = []
        for text, each in document.items():
            here = f'{place}, "{_shown(text)}"'
            condition = self._condition(here, text)
            params = self._params(here, sampler_type, each)
            if condition is not None and params is not None:
                found.append((condition, params))
        return tuple(found)

    def _condition(self, place: str, text: object) -> Condition | None:
        try:
            condition = parse_condition(text if isinstance(text, str) else "")
        except ConditionError as error:
            self._refuse(place, f"{error}: write category == 'knife', with and between several")
            return None
        for each in condition.comparisons:
            problem = self._comparison_problem(each)
            if problem is not None:
                self._refuse(place, problem)
        return condition

    def _comparison_problem(self, comparison: Comparison) -> str | None:
        sampler = self._earlier.get(comparison.name)
        if sampler is None:
            return self._no_earlier(comparison.name)
        kind = sampler.kind
        if isinstance(kind, Struct):
            return f"{sampler.name} is a person, which can't be compared"
        texts = [isinstance(each, str) for each in comparison.literals]
        if kind is not Scalar.JSON and any(each != (kind is Scalar.STRING) for each in texts):
            is_text = kind is Scalar.STRING
            return (
                f"{sampler.name} is {'a text: put the value in quotes' if is_text else 'no text'}"
            )
        if comparison.operator in ORDERED:
            return None
        values = None if sampler.convert_to else sampler.values
        for each in comparison.literals:
            if values is not None and each not in values:
                hint = hint_for(str(each), [str(value) for value in values])
                return f'{sampler.name} is never "{_shown(each)}"{hint}'
        return None

    def _conversion(self, place: str, document: object) -> str | None:
        if document is None or document in tuple(CONVERSIONS):
            return document if isinstance(document, str) else None
        self._refuse(place, f"convert_to must be one of {', '.join(CONVERSIONS)}")
        return None


def _conversion_problem(sampler: Sampler) -> str | None:
    """Why values can't be converted: said now, and not of the record that draws one."""
    if sampler.convert_to is None:
        return None
    if sampler.sampler_type is SamplerType.PERSON:
        return "a person can't be converted: read a field of it"
    if sampler.convert_to == "str":
        return None
    if sampler.sampler_type in {SamplerType.DATETIME, SamplerType.UUID}:
        return f"a {sampler.sampler_type} is a text: convert_to can only be str"
    for each in sampler.values or ():
        try:
            converted(each, sampler.convert_to)
        except (ValueError, OverflowError):
            return f'"{_shown(each)}" can\'t be converted to {sampler.convert_to}'
    return None


def _product(document: object, known: Mapping[str, Sampler], refuse: Refuse) -> tuple[str, ...]:
    if document is None:
        return ()
    if (
        not isinstance(document, Sequence)
        or isinstance(document, str)
        or not 1 <= len(document) <= MAX_SAMPLERS
        or not all(isinstance(name, str) for name in document)
        or len(set(document)) < len(document)
    ):
        refuse("product", "list category samplers, each once, such as [label, style]")
        return ()
    names = tuple(str(name) for name in document)
    problems = [(name, problem) for name in names if (problem := _factor_problem(name, known))]
    for name, problem in problems:
        refuse("product", f"{_shown(name)} {problem}")
    if problems:
        return ()
    sizes = [len(known[name].values or ()) for name in names if name in known]
    if prod(sizes) > MAX_COMBINATIONS:
        refuse("product", f"has {prod(sizes)} combinations; at most {MAX_COMBINATIONS}")
        return ()
    return names


def _factor_problem(name: str, known: Mapping[str, Sampler]) -> str | None:
    """Why `name` can't be a part of a product."""
    if name == SEED:
        return None
    sampler = known.get(name)
    if sampler is None:
        return f"is no sampler{hint_for(name, [*known, SEED])}"
    if not isinstance(sampler.params, Category):
        return f"is a {sampler.sampler_type}: only category samplers and seed can be combined"
    if sampler.params.weights:
        return "has weights, and in a product each value comes equally often: leave one out"
    if sampler.conditions:
        return "has conditional_params, and in a product each value meets each other: leave one out"
    return None


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"

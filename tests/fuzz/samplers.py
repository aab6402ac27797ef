"""Samplers of a template: what is checked can be stored and drawn, with values of its types; all
else is refused in one line.
"""

import json
from pathlib import Path
from random import Random
from typing import Any, Final

from runtime.domain.errors import TemplateError
from runtime.domain.jobs.drawing import draw_record
from runtime.domain.jobs.sampling import Draws
from runtime.domain.outputs.fitting import UnfitError, fitter
from runtime.domain.samplers.kinds import SamplerType
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import Template
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line, pick, same

INDICES: Final = (0, 1, 7, 999_999)

_NAMES: Final = ("a", "b", "items", "seed", "samples", "x1")
_DATES: Final = ("0001-01-01", "1970-01-01", "2024-02-29", "2024-02-29T23:59:59", "9999-12-31")
_CONDITIONS: Final = ("{} == '{}'", "{} in ['{}']", "{} > 1 and a != 'b'", "not {}", "{}.__class__")


class SamplerDocuments:
    """Reads, stores and draws as templates, jobs and workers do."""

    name = "samplers"

    def make(self, rng: Random) -> Case:
        """The samplers and the product of a template."""
        samplers = [_sampler(rng) for _ in range(1 + words.short(rng) % 4)]
        if rng.random() < 0.1:
            samplers = words.value(rng, 3)
        product = [rng.choice(_NAMES) for _ in range(rng.randrange(1, 3))]
        return {"samplers": samplers, "product": product if rng.random() < 0.3 else None}

    def check(self, case: Case) -> str:
        """From the document to the samples of some records."""
        given = case if isinstance(case, dict) else {}
        steps = [{"id": "s", "prompt": "{{ samples | tojson }}"}]
        document: dict[str, Any] = {"name": "fuzzed", "steps": steps}
        document |= {name: given.get(name) for name in ("samplers", "product")}
        try:
            template = parse_template(document)
        except TemplateError as error:
            one_line(str(error))
            return "refused"
        if not template.samplers:
            return "none"
        _check_drawn(template)
        return "drawn"

    def close(self) -> None:
        pass


def open_kind(_folder: Path) -> SamplerDocuments:
    return SamplerDocuments()


def _check_drawn(template: Template) -> None:
    again = parse_template(json.loads(json.dumps(document_of(template))))
    stored = parse_stored(stored_text(template))
    demand(again == stored == template, "stored as something else")
    types = template.samplers.types()
    if any(each.sampler_type is SamplerType.PERSON for each in template.samplers.each):
        return  # what an extra draws is its own business
    for index in INDICES:
        one, other = (
            draw_record(each.samplers, "", index, rows=3, draws=Draws()).samples
            for each in (template, stored)
        )
        demand(same(dict(one), dict(other)), "two draws of one record differ")
        for name, value in one.items():
            json.dumps(value, allow_nan=False)
            try:
                fitter(types[name])(value)
            except UnfitError as error:
                raise AssertionError(f"{name} is no {types[name]}: {error}") from error


def _sampler(rng: Random) -> Any:
    kind = rng.choice([*SamplerType]).value if rng.random() < 0.95 else words.text(rng)
    document = {"name": rng.choice(_NAMES), "sampler_type": kind, "params": _params(rng, kind)}
    if rng.random() < 0.3:
        document["conditional_params"] = {_condition(rng): _params(rng, kind)}
    if rng.random() < 0.3:
        document["convert_to"] = rng.choice(("int", "float", "str", "bool", None))
    if rng.random() < 0.05:
        document[words.name(rng)] = words.value(rng, 1)
    return document


def _condition(rng: Random) -> str:
    if rng.random() < 0.3:
        return words.text(rng)
    return rng.choice(_CONDITIONS).format(
        rng.choice(_NAMES), rng.choice(("b", "1", words.word(rng)))
    )


def _params(rng: Random, kind: str) -> Any:
    """Mostly what the type takes."""
    if rng.random() < 0.05:
        return words.value(rng, 2)
    values = [rng.choice(("b", "c", "7", 1, 2.5, True, words.text(rng))) for _ in range(3)]
    low, high = sorted((words.number(rng), words.number(rng)))
    start, end = sorted(rng.sample(_DATES, k=2))
    kinds: dict[str, dict[str, Any]] = {
        "category": {"values": values},
        "subcategory": {"category": rng.choice(_NAMES), "values": {str(v): values for v in values}},
        "uniform": {"low": low, "high": high},
        "gaussian": {"mean": words.number(rng), "stddev": words.number(rng)},
        "bernoulli": {"p": rng.choice((0, 0.5, 1, words.number(rng)))},
        "datetime": {
            "start": start,
            "end": end,
            "unit": rng.choice(("Y", "M", "D", "h", "m", "s")),
        },
        "uuid": {"prefix": words.text(rng), "short_form": rng.random() < 0.5},
        "person_from_faker": {"locale": rng.choice(("de_DE", words.text(rng)))},
    }
    made = kinds.get(kind, {})
    more = pick(
        rng,
        (6, dict),
        (1, lambda: {"weights": [words.number(rng) for _ in range(3)]}),
        (1, lambda: {"decimal_places": words.number(rng)}),
        (1, lambda: {words.name(rng): words.value(rng, 1)}),
    )
    return {**made, **more}

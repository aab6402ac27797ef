"""Samples are pure functions of (random seed, name, index): the same for every number of records,
in any order, and by any process; and they are as frequent as their parameters say.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import product
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import TemplateError
from runtime.domain.jobs.drawing import draw_record
from runtime.domain.jobs.sampling import Draws, SeedStrategy, draw
from runtime.domain.samplers.conditions import ConditionError, parse_condition
from runtime.domain.samplers.kinds import Category, Datetime, TimeUnit
from runtime.domain.samplers.samplers import Samplers
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import Template

Document = dict[str, Any]

STEPS = [{"id": "text", "prompt": "Write."}]
MANY = 6_000


def sampler(
    name: str, sampler_type: str, conditional: Document | None = None, **more: Any
) -> Document:
    convert = {"convert_to": more.pop("convert_to")} if "convert_to" in more else {}
    conditions = {} if conditional is None else {"conditional_params": conditional}
    return {
        "name": name,
        "sampler_type": sampler_type,
        "params": more,
        **conditions,
        **convert,
    }


def template(*samplers: Document, **fields: Any) -> Template:
    return parse_template({"name": "t", "samplers": list(samplers), "steps": STEPS, **fields})


EACH_TYPE = template(
    sampler("label", "category", values=["praise", "complaint", "question"]),
    sampler(
        "part",
        "subcategory",
        category="label",
        values={"praise": ["a", "b"], "complaint": [1, 2.5], "question": [True]},
    ),
    sampler(
        "price",
        "uniform",
        {"label == 'praise'": {"low": 100, "high": 200}},
        low=0,
        high=9,
        decimal_places=2,
    ),
    sampler("size", "gaussian", mean=10, stddev=3, convert_to="int"),
    sampler("broken", "bernoulli", p=0.25),
    sampler("day", "datetime", start="2024-01-01", end="2025-01-01"),
    sampler("key", "uuid", prefix="K-", uppercase=True),
    sampler("style", "category", values=["plain", "formal"]),
    product=["style"],
)


def samples(
    of: Samplers, index: int, *, random_seed: int = 0, rows: int | None = None
) -> Mapping[str, Any]:
    draws = Draws(random_seed=random_seed)
    return draw_record(of, "job", index, rows=rows, draws=draws).samples


# ── pure ───────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_draws_of_an_index_are_the_same_in_any_order_and_after_storing(
    indices: list[int], random_seed: int
) -> None:
    first = {each: samples(EACH_TYPE.samplers, each, random_seed=random_seed) for each in indices}

    written = parse_template(json.loads(json.dumps(document_of(EACH_TYPE))))
    stored = parse_stored(stored_text(EACH_TYPE))

    assert written == stored == EACH_TYPE
    for index in sorted(indices, reverse=True):
        for again in (written, stored):
            assert samples(again.samplers, index, random_seed=random_seed) == first[index]


def test_samples_never_change_between_releases() -> None:
    """A dataset that goes on by a newer version has one set of draws."""
    assert samples(EACH_TYPE.samplers, 7, random_seed=3) == RELEASED


RELEASED: dict[str, Any] = {
    "label": "question",
    "part": True,
    "price": 0.31,
    "size": 10,
    "broken": 0,
    "day": "2024-05-03",
    "key": "K-FF5681BA-D5E4-4922-8F59-2C89CFE0DBB1",
    "style": "plain",
}


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_samples_leave_seed_and_entropy_alone_and_do_not_see_the_seeds(
    index: int, rows: int
) -> None:
    drawn = draw_record(EACH_TYPE.samplers, "job", index, rows=rows, draws=Draws())
    plain = draw("job", index, rows=rows, draws=Draws())

    assert (drawn.row, drawn.filter_entropy, drawn.model_seed) == (
        plain.row,
        plain.filter_entropy,
        plain.model_seed,
    )
    assert drawn.samples == samples(EACH_TYPE.samplers, index)


def test_a_sampler_draws_alike_whatever_stands_beside_it() -> None:
    alone = template(sampler("size", "gaussian", mean=10, stddev=3, convert_to="int"))

    for index in range(50):
        assert samples(alone.samplers, index)["size"] == samples(EACH_TYPE.samplers, index)["size"]


# ── frequencies ────────────────────────────────────────────────────────────────────────────────


def drawn(document: Document, count: int = MANY) -> list[Any]:
    of = template(document).samplers
    return [samples(of, index, random_seed=1)["x"] for index in range(count)]


def chi_square(observed: Sequence[float], expected: Sequence[float]) -> float:
    return sum((one - other) ** 2 / other for one, other in zip(observed, expected, strict=True))


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4], [0, 5, 0, 1]])
def test_categories_come_as_often_as_their_weights_say(weights: list[float] | None) -> None:
    more: Document = {} if weights is None else {"weights": weights}
    found = Counter(drawn(sampler("x", "category", values=[*"abcd"], **more)))

    sure = weights or [1, 1, 1, 1]
    shares = {letter: weight / sum(sure) for letter, weight in zip("abcd", sure, strict=True)}
    possible = [letter for letter, share in shares.items() if share]
    assert set(found) == set(possible)
    observed = [found[letter] for letter in possible]
    assert chi_square(observed, [shares[letter] * MANY for letter in possible]) < 21.1  # p 0.0001


def test_numbers_are_spread_as_their_distributions_say() -> None:
    """In twenty parts of equal probability."""
    uniform = drawn(sampler("x", "uniform", low=-5, high=15))
    normal = NormalDist(100, 15)
    gaussian = drawn(sampler("x", "gaussian", mean=100, stddev=15))

    assert min(uniform) >= -5
    assert max(uniform) <= 15
    for shares in ([(each + 5) / 20 for each in uniform], [normal.cdf(each) for each in gaussian]):
        parts = Counter(min(int(share * 20), 19) for share in shares)
        assert chi_square([parts[part] for part in range(20)], [MANY / 20] * 20) < 54  # p 0.00003


def test_bernoulli_is_one_as_often_as_p_says() -> None:
    found = Counter(drawn(sampler("x", "bernoulli", p=0.3)))

    assert chi_square([found[0], found[1]], [0.7 * MANY, 0.3 * MANY]) < 15
    assert set(drawn(sampler("x", "bernoulli", p=0), 50)) == {0}
    assert set(drawn(sampler("x", "bernoulli", p=1), 50)) == {1}


def test_rounding_and_conversion() -> None:
    assert set(drawn(sampler("x", "category", values=[2.6, -2.6], convert_to="int"), 99)) == {3, -3}
    assert all(
        round(each, 1) == each
        for each in drawn(sampler("x", "uniform", low=0, high=1, decimal_places=1), 99)
    )
    assert {
        type(each)
        for each in drawn(sampler("x", "gaussian", mean=0, stddev=9, convert_to="int"), 99)
    } == {int}
    assert set(drawn(sampler("x", "category", values=["1", "20"], convert_to="int"), 99)) == {1, 20}
    assert set(drawn(sampler("x", "category", values=[1, True, 2.5], convert_to="str"), 99)) == {
        "1",
        "true",
        "2.5",
    }
    assert {
        type(each) for each in drawn(sampler("x", "bernoulli", p=0.5, convert_to="float"), 9)
    } == {float}


@pytest.mark.parametrize(
    ("start", "end", "unit", "first", "last", "count"),
    [
        ("2024-02-27", "2024-03-02", "D", "2024-02-27", "2024-03-01", 4),
        ("2023-11-30", "2024-02-01", "M", "2023-11-01", "2024-01-01", 3),
        ("2023-11-30", "2024-02-02", "M", "2023-11-01", "2024-02-01", 4),
        ("2020-05-05", "2023-01-01", "Y", "2020-01-01", "2022-01-01", 3),
        (
            "2024-01-01T22:30",
            "2024-01-02T01:00",
            "h",
            "2024-01-01T22:00:00",
            "2024-01-02T00:00:00",
            3,
        ),
        (
            "2024-01-01T22:59:30",
            "2024-01-01T23:01",
            "m",
            "2024-01-01T22:59:00",
            "2024-01-01T23:00:00",
            2,
        ),
        ("2024-01-01", "2024-01-01T00:00:03", "s", "2024-01-01T00:00:00", "2024-01-01T00:00:02", 3),
    ],
)
def test_every_time_of_a_range_comes_and_no_other(
    start: str, end: str, unit: str, first: str, last: str, count: int
) -> None:
    found = set(drawn(sampler("x", "datetime", start=start, end=end, unit=unit), 300))

    assert (min(found), max(found), len(found)) == (first, last, count)


@given(st.datetimes(), st.datetimes(), st.sampled_from(TimeUnit), st.integers(0, 1000))
def test_a_time_is_before_the_end_whatever_the_range(
    one: datetime, other: datetime, unit: TimeUnit, index: int
) -> None:
    start, end = sorted((one, other))
    if start == end:
        return
    made = template(
        sampler("x", "datetime", start=start.isoformat(), end=end.isoformat(), unit=unit.value)
    )
    params = made.samplers.each[0].params
    assert isinstance(params, Datetime)

    found = datetime.fromisoformat(samples(made.samplers, index)["x"])

    assert found < end
    assert params.count >= 1


def test_ids_are_different_and_of_their_form() -> None:
    found = drawn(sampler("x", "uuid"), 2000)

    assert len(set(found)) == 2000
    assert {(len(each), each[14]) for each in found} == {(36, "4")}
    short = drawn(sampler("x", "uuid", prefix="ID-", short_form=True, uppercase=True), 50)
    assert all(each[:3] == "ID-" and len(each) == 11 and each == each.upper() for each in short)


# ── conditions ─────────────────────────────────────────────────────────────────────────────────


def test_the_first_condition_that_holds_gives_the_parameters() -> None:
    of = template(
        sampler("kind", "category", values=["knife", "cup", "lamp"]),
        sampler("n", "uniform", low=0, high=10),
        sampler(
            "price",
            "category",
            {
                "kind == 'knife' and n > 5": {"values": [1]},
                "kind in ['knife', \"cup\"]": {"values": [2]},
            },
            values=[3],
        ),
    ).samplers
    for index in range(300):
        one = samples(of, index)
        expected = {"knife": 1 if one["n"] > 5 else 2, "cup": 2, "lamp": 3}[one["kind"]]
        assert one["price"] == expected


def test_a_subcategory_goes_by_the_text_of_what_was_drawn() -> None:
    values = {"3": ["c"], "true": ["t"], "1": ["o"]}
    for drawn_from, convert_to in (([2.6, 1], "int"), ([True, "3", 1], "str")):
        category = sampler("of", "category", values=drawn_from, convert_to=convert_to)
        texts = [text for text in values if convert_to == "str" or text != "true"]
        own = {text: values[text] for text in texts}
        made = template(category, sampler("x", "subcategory", category="of", values=own))
        found = {samples(made.samplers, index)["x"] for index in range(99)}
        assert found == {each for text in texts for each in values[text]}


NAMES = st.sampled_from(["a", "n", "label_2"])
TEXTS = st.text(
    st.characters(exclude_characters="'\\", exclude_categories=["Cs", "Cc"]), max_size=9
)
LITERALS = st.one_of(
    TEXTS.map(lambda text: (f"'{text}'", text)),
    st.integers(-(10**17), 10**17).map(lambda number: (str(number), number)),
    st.booleans().map(lambda value: (str(value), value)),
)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["==", "!="]), LITERALS), min_size=1, max_size=5))
def test_a_condition_means_what_python_would_make_of_it(
    parts: list[tuple[str, str, tuple[str, Any]]],
) -> None:
    text = " and ".join(f"{name}  {sign}{literal}" for name, sign, (literal, _) in parts)
    values = {"a": "x", "n": 3, "label_2": True}

    found = parse_condition(text).holds(values)

    assert found == all(
        (values[name] == value) is (sign == "==") for name, sign, (_, value) in parts
    )


HOSTILE = [
    "", " ", "a", "a ==", "== 1", "a = 1", "a == 1 or b == 2", "a == 1 and", "not a == 1",
    "__import__('os').system('true')", "a.__class__ == 1", "a == b", "a == (1)", "a in 1",
    "a in []", "a in [1", "a in [1,]", "a == [1]", "1 < a < 2", "a == 1; b", "a == 'x' 'y'",
    "a == f'{b}'", "a == 'it\\'s'", "a == 0x10", "a == 1_000", "a == 1e999", "a == \u0661",
    "\uff41 == 1", "a\u00a0== 1", "a == 1\nand b == 2", "a == '\x00", "a == None", "lambda: 0",
    "a == " + "9" * 400, "(" * 400, "a == " + "[" * 300, "a == '" + "x" * 500 + "'",
    " and ".join(["a == 1"] * 11), "a in [" + ",".join(["1"] * 101) + "]", "in in [1]", "and == 1",
    "True == True", "a is 1", "a not in [1]", "a == -x", "a == - 1", "a == 1 # and b",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_condition_is_refused_and_never_evaluated(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_condition(text)


@given(st.text(max_size=80) | st.text("aand in=!<>'\"[](),.0159-+_", max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        found = parse_condition(text)
    except ConditionError:
        return
    for each in found.comparisons:
        assert all(isinstance(value, str | int | float) for value in each.literals)
    found.holds(dict.fromkeys((each.name for each in found.comparisons), 1))


# ── products ───────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(0, 2**63 - 1),
    st.integers(0, 3),
)
def test_each_combination_comes_once_before_one_comes_twice(
    sizes: list[int], random_seed: int, turn: int
) -> None:
    names = [f"s{number}" for number in range(len(sizes))]
    of = template(
        *(
            sampler(name, "category", values=list(range(size)))
            for name, size in zip(names, sizes, strict=True)
        ),
        product=names,
    ).samplers
    combinations = sorted(product(*map(range, sizes)))
    begin = turn * len(combinations)

    found = [
        tuple(samples(of, index, random_seed=random_seed).values())
        for index in range(begin, begin + len(combinations))
    ]

    assert sorted(found) == combinations


def test_passes_of_a_product_have_orders_of_their_own() -> None:
    of = template(
        sampler("a", "category", values=[*range(5)]),
        sampler("b", "category", values=[*range(3)]),
        product=["a", "b"],
    ).samplers
    passes = {
        tuple(tuple(samples(of, index).values()) for index in range(turn * 15, turn * 15 + 15))
        for turn in range(20)
    }
    assert len(passes) == 20


@pytest.mark.parametrize("strategy", SeedStrategy)
def test_a_product_may_multiply_the_seeds(strategy: SeedStrategy) -> None:
    of = template(
        sampler("style", "category", values=["x", "y"]), product=["seed", "style"]
    ).samplers
    draws = Draws(seed_strategy=strategy)

    found = [
        (each.row, each.samples["style"])
        for each in (draw_record(of, "job", index, rows=4, draws=draws) for index in range(16))
    ]

    written = [*product(range(4), "xy")]
    assert sorted(found[:8]) == sorted(found[8:]) == written
    is_ordered = strategy in {SeedStrategy.ORDERED, SeedStrategy.SEQUENTIAL}
    assert (found == written * 2) is is_ordered


# ── documents ──────────────────────────────────────────────────────────────────────────────────


def refused(*samplers: Any, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(TemplateError) as caught:
        parse_template({"name": "t", "samplers": list(samplers), "steps": STEPS, **fields})
    return list(caught.value.problems)


def test_all_problems_are_told_at_once_with_place_and_hint() -> None:
    found = refused(
        sampler("kind", "category", values=["knife", "cup"]),
        sampler("size", "categorie", values=[1]),
        sampler("part", "subcategory", category="kind", values={"knife": [1], "cupp": [2]}),
        sampler(
            "price",
            "uniform",
            {"kind == 'knive'": {"low": 0, "high": 1}, "size == 1": {}},
            low=5,
            hi=9,
        ),
        {"name": "9", "sampler_type": "uuid", "colour": 1},
        "text",
        sampler("w", "category", values=["a", "b"], weights=[1]),
        product=["kind", "siez", "seed", "w"],
    )
    text = "\n".join(f"{place}: {problem}" for place, problem in found)
    for each in (
        'sampler "size": sampler_type must be one of category,',
        'did you mean "category"?',
        'sampler "part", params, values: "cup" of kind is missing',
        'kind has no "cupp", did you mean "cup"?',
        'unknown parameter "hi", did you mean "high"?',
        'kind is never "knive", did you mean "knife"?',
        'there is no sampler "size" before this one',
        "sampler 5, name: use a letter",
        'unknown field "colour"',
        "sampler 6: a sampler is a mapping",
        "weights must be a number of at least 0 for each value",
        "siez is no sampler",
    ):
        assert each in text, text


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (sampler("x", "category", values=[]), "must be 1 to 1000 values"),
        (sampler("x", "category", values=["a", "a"]), "has a value twice"),
        (sampler("x", "category", values=[None]), "value 1, must be a text"),
        (sampler("x", "category", values=["a"], weights=[0]), "not all of them 0"),
        (sampler("x", "category", values=["a"], convert_to="int"), "can't be converted to int"),
        (sampler("x", "uniform", low=1, high=1), "low must be less than high"),
        (sampler("x", "uniform", low=True, high=2), "low must be a number"),
        (sampler("x", "gaussian", mean=0, stddev=-1), "stddev must be a number from 0"),
        (sampler("x", "bernoulli", p=1.5), "p must be a number from 0 to 1"),
        (sampler("x", "datetime", start="2024", end="soon"), "must be a date or time"),
        (sampler("x", "datetime", start="2024-01-02", end="2024-01-01"), "start must be before"),
        (sampler("x", "datetime", start="2024-01-01", end="2024-02-01T00:00Z"), "without a zone"),
        (sampler("x", "datetime", start="2024-01-01", end="2025-01-01", unit="W"), "unit must be"),
        (sampler("x", "uuid", prefix="x" * 101), "prefix must be a text"),
        (sampler("x", "uuid", convert_to="int"), "convert_to can only be str"),
        (sampler("x", "uuid", {"x == 'a'": {}}), 'there is no sampler "x" before'),
        (sampler("x", "person_from_faker", locale="../de"), "locale must be a language"),
        (sampler("x", "person_from_faker", age_range=[9, 3]), "age_range must be two"),
        (sampler("seed", "uuid"), "stands for the seeds in a product"),
    ],
)  # fmt: skip
def test_parameters_that_can_not_be_drawn_are_refused(document: Document, problem: str) -> None:
    assert problem in "\n".join(map(": ".join, refused(document)))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"weights": [1, 2]}, "each value comes equally often"),
        ({"conditional": {"first == 'a'": {"values": [1]}}}, "each value meets each other"),
    ],
)
def test_a_product_refuses_what_makes_no_sense_in_it(more: Document, problem: str) -> None:
    first = sampler("first", "category", values=["a", "b"])
    assert problem in str(
        refused(first, sampler("x", "category", values=[1, 2], **more), product=["x"])
    )
    assert "only category samplers" in str(refused(sampler("x", "uuid"), product=["x"]))
    large = [sampler(f"s{number}", "category", values=list(range(1000))) for number in range(4)]
    assert "combinations; at most" in str(refused(*large, product=[each["name"] for each in large]))


def test_weights_that_rounding_fills_still_choose_a_value_with_a_weight() -> None:
    class Edge:
        uniform = 1 - 2**-53

    # The smallest number there is, times almost 1, is itself.
    params = Category(values=("a", "b", "c"), weights=(0.0, 5e-324, 0.0))
    assert params.draw(Edge(), {}) == "b"  # type: ignore[arg-type]  # the largest chance there is

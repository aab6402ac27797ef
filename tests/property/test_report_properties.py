"""The report's counters against counting everything, and near repeats against all pairs."""

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.export.report.columns import MAX_COLUMNS, MAX_REPEAT_COLUMNS
from runtime.export.report.counters import (
    OPENINGS_KEPT,
    LabelCounter,
    OpeningCounter,
    SizeCounter,
)
from runtime.export.report.near_repeats import THRESHOLD, compared_text, find_near_repeats
from runtime.export.report.statistics import StatisticsCollector
from tests.fixtures.reports import JOB_ID, a_job, a_line, statistics_for

words = st.sampled_from(["tea", "Tea", "green", "is", "a", "cup", "of", "日本", "\u202e", "x\n y"])
texts = st.lists(words, max_size=6).map(" ".join)
outputs = st.fixed_dictionaries(
    {
        "ask": texts,
        "judge": st.fixed_dictionaries(
            {
                "label": st.sampled_from(["good", "bad"]),
                "score": st.none() | st.integers(-5, 5),
                "sure": st.booleans(),
                "tags": st.lists(texts, max_size=3),
            }
        ),
    }
)


shapes = st.dictionaries(
    st.sampled_from(["ask", "judge", "rate"]),
    texts
    | st.none()
    | st.integers(-9, 9)
    | st.booleans()
    | st.lists(texts, max_size=2)
    | st.fixed_dictionaries({"label": texts, "score": st.none() | st.integers(-5, 5)}),
    min_size=1,
)


@given(st.lists(shapes, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_n20_what_parts_have_counted_adds_up_to_the_whole(
    records: list[dict[str, Any]], cuts: list[int]
) -> None:
    lines = [a_line(index, each) for index, each in enumerate(records)]
    whole, sum_of_parts = StatisticsCollector(JOB_ID), StatisticsCollector(JOB_ID)
    whole.add_lines(lines)
    for start, stop in pairwise(sorted([0, *cuts, len(lines)])):
        part = StatisticsCollector(JOB_ID)
        part.add_lines(lines[start:stop])
        sum_of_parts.merge(orjson.loads(orjson.dumps(part.document())))

    job = a_job(len(lines))
    assert sum_of_parts.result(job, ()) == whole.result(job, ())


@pytest.mark.parametrize(
    ("outputs", "adds_up"),
    [
        ({f"c{number}": 1 for number in range(MAX_COLUMNS)}, True),
        ({f"c{number}": 1 for number in range(MAX_COLUMNS + 1)}, False),
        ({f"c{number}": "a text" for number in range(MAX_REPEAT_COLUMNS)}, True),
        ({f"c{number}": "a text" for number in range(MAX_REPEAT_COLUMNS + 1)}, False),
    ],
)
def test_n12_what_would_not_add_up_says_so(outputs: dict[str, Any], *, adds_up: bool) -> None:
    """A column beyond the bound is not counted here, and may be one of the first of another."""
    part = StatisticsCollector(JOB_ID)
    part.add_lines([a_line(0, outputs)])

    assert (part.document() is not None) is adds_up


def test_labels_of_a_part_that_had_too_many_are_none_of_the_whole() -> None:
    few, many = LabelCounter(), LabelCounter()
    for number in range(200):
        few.add(str(number % 2))
        many.add(str(number % 100))
    for one, other in ((few, many), (many, few)):
        one.merge(orjson.loads(orjson.dumps(other.document())))
        assert one.result() == ()


def test_openings_that_add_up_are_as_near_as_their_error_says() -> None:
    rng = random.Random(1)  # noqa: S311
    # More different ones in each part than are counted, among some that come often.
    texts_of = [
        [f"often{rng.randrange(5)}" if rng.random() < 0.3 else f"once{number}"]
        for number in range(12 * OPENINGS_KEPT)
    ]
    counters = []
    for part in range(3):
        counters.append(OpeningCounter())
        for words_of in texts_of[part::3]:
            counters[-1].add(words_of)
    errors = [each.result().error for each in counters]
    for other in counters[1:]:
        counters[0].merge(orjson.loads(orjson.dumps(other.document())))

    found, true = counters[0].result(), Counter(text[0] for text in texts_of)
    assert found.texts == len(texts_of)
    assert found.error >= sum(errors) > 0
    for share in found.most_frequent:
        assert true[share.value] - found.error <= share.count <= true[share.value]


def rank(values: list[int], part: float) -> int:
    """The smallest value that so large a part of all doesn't exceed."""
    return next(
        value
        for value in sorted(values)
        if sum(other <= value for other in values) >= part * len(values)
    )


def answered(text: str) -> dict[str, Any]:
    return {"ask": text, "judge": {"label": "good", "score": 1, "sure": True, "tags": []}}


@given(st.lists(outputs, min_size=1, max_size=40))
@example([answered("Green  tea"), answered("green tea "), answered("green tea too")])
def test_one_pass_counts_what_counting_everything_counts(records: list[dict[str, Any]]) -> None:
    found = statistics_for(records)

    columns = {column.name: column for column in found.columns}
    asked = [record["ask"] for record in records]
    normal = [" ".join(text.split()).casefold() for text in asked]
    ask = columns["ask"]
    assert (found.records, ask.values, ask.nulls) == (len(records), len(records), 0)
    for sizes, measured in (
        (ask.characters, [len(text) for text in asked]),
        (ask.words, [len(text.split()) for text in asked]),
        (columns["judge.tags"].items, [len(record["judge"]["tags"]) for record in records]),
    ):
        assert sizes is not None
        assert (sizes.count, sizes.total) == (len(measured), sum(measured))
        assert (sizes.minimum, sizes.maximum) == (min(measured), max(measured))
        assert (sizes.median, sizes.p95) == (rank(measured, 0.5), rank(measured, 0.95))
        assert sum(bar.count for bar in sizes.histogram) == len(measured)
    assert ask.openings is not None
    begun = Counter(" ".join(text.split()[:3]) for text in asked if text.split())
    assert (ask.openings.texts, ask.openings.error) == (begun.total(), 0)
    assert all(begun[share.value] == share.count for share in ask.openings.most_frequent)
    several = sorted((count for count in begun.values() if count > 1), reverse=True)
    assert [share.count for share in ask.openings.most_frequent] == several[:10]
    assert ask.repeats is not None
    assert ask.repeats.repeated == len(normal) - len(set(normal))
    assert ask.repeats.most == max(Counter(normal).values())

    labels = Counter(record["judge"]["label"] for record in records)
    if len(records) >= 2 * len(labels):
        shown = {share.value: share.count for share in columns["judge.label"].labels}
        assert shown == labels
    scores = [record["judge"]["score"] for record in records]
    numbers = [score for score in scores if score is not None]
    assert columns["judge.score"].nulls == scores.count(None)
    if numbers:
        counted = columns["judge.score"].numbers
        assert counted is not None
        assert (counted.minimum, counted.maximum) == (min(numbers), max(numbers))
        assert abs(counted.mean - sum(numbers) / len(numbers)) < 1e-9


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_sizes_are_as_exact_as_they_say(sizes: list[int]) -> None:
    counter = SizeCounter()
    for size in sizes:
        counter.add(size)

    found = counter.result()

    assert found is not None
    assert (found.minimum, found.maximum, found.total) == (min(sizes), max(sizes), sum(sizes))
    for shown, true in ((found.median, rank(sizes, 0.5)), (found.p95, rank(sizes, 0.95))):
        assert true - true * 0.002 <= shown <= true
        assert shown == true or true >= 1024


def test_an_opening_that_is_frequent_is_never_lost_among_many() -> None:
    """Counts are bounded; what they may be too low by is said."""
    counter, chance = OpeningCounter(), random.Random(7)  # noqa: S311 - test data
    frequent = 0
    for number in range(3 * OPENINGS_KEPT):
        counter.add([f"once-{number}"])
        if chance.random() < 0.05:
            counter.add(["again", "and", "again"])
            frequent += 1

    found = counter.result()

    assert found.most_frequent[0].value == "again and again"
    assert frequent - found.error <= found.most_frequent[0].count <= frequent
    assert 0 < found.error < found.texts / OPENINGS_KEPT


def alike(one: str, other: str) -> float:
    first, second = set(pairwise(one.split())), set(pairwise(other.split()))
    return len(first & second) / len(first | second)


@given(st.integers(0, 10**6), st.integers(0, 8))
def test_near_repeats_are_found_and_nothing_else(seed: int, planted: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    vocabulary = [f"w{number}" for number in range(400)]
    # They share openings and phrases, as generated texts do.
    texts = [
        compared_text(["In", "the", "end", *chance.choices(vocabulary, k=40), "would", "buy"])
        for _ in range(30)
    ]
    for text in texts[:planted]:
        changed = text.split()
        changed[chance.randrange(4, 40)] = "other"
        texts.append(" ".join(changed))
    chance.shuffle(texts)

    found = find_near_repeats(texts, of=1000)

    assert (found.sampled, found.of, found.complete) == (len(texts), 1000, True)
    assert (found.near, found.groups) == (planted, planted)
    assert len(found.pairs) == min(planted, 5)
    for pair in found.pairs:
        assert abs(alike(pair.first, pair.second) - pair.similarity) < 0.001
        assert pair.similarity >= THRESHOLD


def test_what_is_near_is_decided_by_the_threshold() -> None:
    """Long texts with one copy each, from nearly the same to half as alike."""
    chance = random.Random(5)  # noqa: S311 - test data
    texts, near = [], 0
    for number in range(120):
        words = [f"{number}-{place}" for place in range(150)]
        copy = list(words)
        for place in chance.sample(range(150), chance.randrange(5, 26)):
            copy[place] = "changed"
        texts += [" ".join(words), " ".join(copy)]
        near += alike(*texts[-2:]) >= THRESHOLD

    found = find_near_repeats(texts, of=len(texts))

    assert 20 < near < 100
    assert (found.near, found.groups, found.compared) == (near, near, 240)

"""The filters of templates."""

from random import Random

import pytest
from jinja2.exceptions import FilterArgumentError, UndefinedError

from runtime.domain.templates.policy import ALLOWED_FILTERS, OWN_FILTERS
from runtime.domain.texts import sentences
from runtime.engine.rendering.environment import Missing
from runtime.engine.rendering.filters import (
    STYLES,
    build_filters,
    extract_keywords,
    pick,
    random_sentence,
    tojson,
    truncate_tokens,
    writing_style,
)


def draws(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 - repeatable on purpose


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Who met J. R. Ix, e.g. here. Bye.", ["Dr. Who met J. R. Ix, e.g. here.", "Bye."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It costs 3.50 dollars. Yes.", ["It costs 3.50 dollars.", "Yes."]),
        ("first line\nsecond line\n\n", ["first line", "second line"]),
        ("一。二。三", ["一。", "二。", "三"]),
        ("Wait… what?", ["Wait…", "what?"]),
        ("  ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_random_sentence_draws_every_sentence_and_repeats_with_its_generator() -> None:
    text = "One. Two. Three."
    drawn = [random_sentence(text, draws(seed)) for seed in range(40)]
    assert set(drawn) == {"One.", "Two.", "Three."}
    assert drawn == [random_sentence(text, draws(seed)) for seed in range(40)]
    assert random_sentence(["a. b."], draws()) == "a. b."


def test_writing_style() -> None:
    assert writing_style(" Formal ", draws()) == STYLES["formal"]
    assert writing_style("dry wit", draws()) == "Write in this style: dry wit."
    of_list = {writing_style(["formal", "casual"], draws(seed)) for seed in range(20)}
    assert of_list == {STYLES["formal"], STYLES["casual"]}
    drawn = {writing_style(None, draws(seed)) for seed in range(200)}
    assert drawn == set(STYLES.values())
    assert writing_style("", draws(3)) == writing_style(None, draws(3))


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("one two three", 2, "one two"),
        ("one two three", 4, "one two three"),
        ("one  two\nthree ", 4, "one  two\nthree "),
        ("internationalization now", 4, ""),
        ("internationalization now", 5, "internationalization"),
        ("don't stop", 2, "don't"),
        ("word", 0, ""),
        ("", 5, ""),
        ("你好世界", 2, "你好"),
        ("abc你好", 2, "abc你"),
    ],
)
def test_truncate_tokens_keeps_words_whole(text: str, count: int, expected: str) -> None:
    assert truncate_tokens(text, count) == expected


def test_extract_keywords() -> None:
    text = "The battery of the phone: battery life! Phone, battery; it's 12 ok"
    assert extract_keywords(text, 2) == ["battery", "phone"]
    assert extract_keywords(text, 9) == ["battery", "phone", "life"]
    assert f"{extract_keywords(text, 2)}" == "battery, phone"
    assert extract_keywords("b a: beta alpha", 2) == ["beta", "alpha"]
    assert extract_keywords("tea at 電話 tv", 9) == ["tea", "電話"]
    assert extract_keywords("") == []


def test_tojson_is_compact_and_keeps_letters() -> None:
    assert tojson({"ä": [1, None, True], "b": extract_keywords("beta")}) == (
        '{"ä":[1,null,true],"b":["beta"]}'
    )


def test_pick() -> None:
    assert {pick([1, 2], draws(seed)) for seed in range(20)} == {1, 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda: random_sentence("", draws()),
        lambda: random_sentence([], draws()),
        lambda: random_sentence(5, draws()),
        lambda: writing_style([], draws()),
        lambda: writing_style([5], draws()),
        lambda: writing_style(5, draws()),
        lambda: pick([], draws()),
        lambda: pick({}, draws()),
        lambda: truncate_tokens("a", -1),
        lambda: truncate_tokens("a", "5"),
        lambda: truncate_tokens("a", True),
        lambda: extract_keywords("a", 0),
        lambda: extract_keywords("a", 101),
        lambda: extract_keywords(5),
        lambda: tojson({1, 2}),
    ],
)
def test_wrong_arguments_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(FilterArgumentError):
        call()


@pytest.mark.parametrize("name", sorted(OWN_FILTERS))
def test_a_missing_value_is_undefined_and_not_a_wrong_argument(name: str) -> None:
    with pytest.raises(UndefinedError):
        build_filters(draws)[name](Missing(name="x"))


def test_there_is_a_filter_for_every_allowed_name() -> None:
    assert build_filters(draws).keys() == ALLOWED_FILTERS
